import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { Endpoint } from '../../src/core/etcd3-endpoint.js';
import { EndpointPool } from '../../src/core/etcd3-pool.js';
import { prefixRange } from '../../src/core/keys.js';
import { VirtualClock } from '../../src/embed/virtual-clock.js';
import { UnavailableError } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { listen } from '../support/listen.js';

const etcd = useEtcd();
const patience = { timeout: 15_000, interval: 10 };

it('sets thousands of watches again after a cut, however short its patience is', async () => {
  const proxy = await etcd.startProxy(etcd.endpoint);
  proxy.delay(20);
  const store = etcd.open({ endpoints: [proxy.endpoint], attemptTimeout: 100 });
  const folder = `${etcd.name()}/`;
  const key = (i: number): string => `${folder}${i}`;
  const watches = Array.from({ length: 3_000 }, (_, i) => listen(store, key(i)));
  await Promise.all(watches.map(({ watch }) => watch.ready));
  proxy.cut();
  await delay(100);
  proxy.heal();
  proxy.delay(20);
  const writeAll = async (value: string): Promise<void> => {
    for (let i = 0; i < watches.length; i += 50) {
      const puts = Array.from({ length: 50 }, (_, j) => ({ put: { key: key(i + j), value } }));
      await etcd.admin.commit({ success: puts });
    }
  };
  await writeAll('after the cut');
  await vi.waitFor(() => {
    expect(watches.filter(({ seen }) => seen.join() !== 'after the cut').length).toBe(0);
  }, patience);
  await etcd.admin.commit({ success: [{ delete: prefixRange(folder) }] });
});

describe('an event loop that stands still for longer than an attempt may take', () => {
  const standStill = (ms: number): void => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  };
  /** Another endpoint, and how many connections it was asked for. */
  const spare = async (): Promise<{ endpoint: string; asked: () => number }> => {
    let asked = 0;
    const server = createServer((socket) => {
      asked += 1;
      socket.on('error', () => {}).resume();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref();
    etcd.defer(() => server.close());
    return {
      endpoint: `127.0.0.1:${(server.address() as { port: number }).port}`,
      asked: () => asked,
    };
  };

  const tick = (): Promise<void> =>
    new Promise((resolve) => {
      process.nextTick(resolve);
    });
  const turn = (): Promise<void> =>
    new Promise((resolve) => {
      setImmediate(resolve);
    });

  describe.each([
    ['on its way', turn],
    ['handed over', tick],
    ['just asked for', async () => {}],
  ])('with a request that was %s', (_, pass) => {
    it.each(['renewal', 'watch'])('does not take a healthy stream for broken: %s', async (what) => {
      const other = await spare();
      const store = etcd.open({ endpoints: [etcd.endpoint, other.endpoint], attemptTimeout: 300 });
      const lease = BigInt(Date.now());
      await store.grant(lease, 60_000);
      await store.keepAlive(lease);
      await listen(store, etcd.name()).watch.ready;
      for (let round = 0; round < 3; round += 1) {
        const answer: Promise<unknown> =
          what === 'renewal' ? store.keepAlive(lease) : listen(store, etcd.name()).watch.ready;
        await pass();
        standStill(400);
        await answer;
      }
      await store.keepAlive(lease);
      await store.revoke(lease);
      expect(other.asked()).toBe(0);
    });
  });
});

describe('calls that fail together', () => {
  const options = { endpoints: ['a:1', 'b:1', 'c:1'] };
  const refuse = (name: string) => async (endpoint: Endpoint) => {
    // The calls are on their way together.
    await Promise.resolve();
    if (endpoint.name !== name) return endpoint.name;
    throw Object.assign(new Error(), { code: 14, details: 'No connection established' });
  };
  const together = (pool: EndpointPool, name: string): Promise<string[]> =>
    Promise.all(Array.from({ length: 5 }, () => pool.call('once', {}, refuse(name))));

  it('set an endpoint aside once', async () => {
    const clock = new VirtualClock();
    const pool = new EndpointPool(options, clock);
    etcd.defer(() => pool.close());
    const told: string[] = [];
    pool.onSetAside.add(({ name }) => told.push(name));
    expect(await together(pool, 'a:1')).toEqual(Array.from({ length: 5 }, () => 'b:1'));
    expect(told).toEqual(['a:1']);
    expect(pool.best()?.name).toBe('b:1');
  });

  it('may use it again where the others have failed since', async () => {
    const pool = new EndpointPool(options, new VirtualClock());
    etcd.defer(() => pool.close());
    await together(pool, 'a:1');
    expect(await pool.call('none', {}, refuse('b:1'))).toBe('c:1');
    expect(await pool.call('none', {}, refuse('c:1'))).toBe('a:1');
  });

  it('say so when nobody is left', async () => {
    const store = etcd.open({ endpoints: ['127.0.0.1:1', '127.0.0.1:2'], timeout: 200 });
    const reads = Array.from({ length: 5 }, () => store.read({ key: 'x' }));
    for (const { reason } of (await Promise.allSettled(reads)) as PromiseRejectedResult[]) {
      expect(reason).toBeInstanceOf(UnavailableError);
      expect((reason as UnavailableError).failures.length).toBe(2);
    }
  });
});
