import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { AttemptOptions, Endpoint } from '../../../src/core/etcd3/endpoint.js';
import { EndpointPool } from '../../../src/core/etcd3/pool.js';
import { prefixRange } from '../../../src/core/store/keys.js';
import { deferred } from '../../../src/core/time/deferred.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';
import { UnavailableError } from '../../../src/index.js';
import { waitFor } from '../../../src/testing/index.js';
import { useEtcd } from '../../support/etcd.js';
import { listen } from '../../support/listen.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 10 };

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

describe('a cluster of which every answer takes seconds', () => {
  it.each([
    ['from the beginning', 800],
    ['all at once', 1_000],
  ])('answers in time: %s', async (when, latency) => {
    const proxies = await Promise.all([1, 2, 3].map(() => etcd.startProxy(etcd.endpoint)));
    const store = etcd.open({ endpoints: proxies.map(({ endpoint }) => endpoint) });
    const lease = BigInt(Date.now());
    await etcd.admin.grant(lease, 60_000);
    const key = etcd.name();
    const put = { success: [{ put: { key, value: 'v' } }] };
    if (when === 'all at once') await store.commit(put);
    for (const proxy of proxies) proxy.delay(latency);
    await Promise.all([store.read({ key }), store.commit(put, { idempotent: true })]);
    // Now it is known how long to wait: also for what may be sent once only, and with little time left.
    await Promise.all([
      store.commit(put),
      store.read({ key }, { timeout: 3_500 }),
      waitFor(() => store.keepAlive(lease, { timeout: 800 }).catch(() => 0)),
    ]);
    for (const proxy of proxies) proxy.heal();
    await etcd.admin.revoke(lease);
    await etcd.admin.commit({ success: [{ delete: { key } }] });
  });
});

it('an endpoint without others that has too much to do gets two requests for one call, and the time to answer', async () => {
  const clock = new VirtualClock();
  const pool = new EndpointPool({ endpoints: ['127.0.0.1:1'] }, clock);
  etcd.defer(() => pool.close());
  let sent = 0;
  const slow = async (_: Endpoint, { limit = Infinity }: AttemptOptions): Promise<string> => {
    sent += 1;
    await clock.sleep(Math.min(limit, 3_000));
    if (limit >= 3_000) return 'answer';
    throw Object.assign(new Error('too late'), { code: 4 });
  };
  const call = pool.call('idempotent', {}, slow);
  const run = setInterval(() => void clock.advance(10), 0);
  etcd.defer(() => clearInterval(run));
  expect(await call).toBe('answer');
  expect(sent).toBe(2);
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

describe('a call that waits for an answer, when another endpoint is known to be well', () => {
  const options = { endpoints: ['a:1', 'b:1'] };
  const abandon = (pool: EndpointPool): void => {
    for (const hear of pool.rotation.onAbandon) hear(({ name }) => name === 'a:1');
  };
  const open = () => {
    const clock = new VirtualClock();
    const pool = new EndpointPool(options, clock);
    etcd.defer(() => pool.close());
    const asked: string[] = [];
    const silentAtFirst = ({ name }: Endpoint): Promise<string> => {
      asked.push(name);
      return asked.length === 1 ? new Promise(() => {}) : Promise.resolve(name);
    };
    return { clock, pool, asked, silentAtFirst };
  };

  it('makes another attempt without waiting any longer', async () => {
    const { pool, asked, silentAtFirst } = open();
    const call = pool.call('idempotent', {}, silentAtFirst);
    pool.rotation.setAside(pool.rotation.best() as Endpoint);
    abandon(pool);
    expect(await call).toBe('b:1');
    expect(asked).toEqual(['a:1', 'b:1']);
  });

  it('goes on waiting if it can be made once only, whatever the limit for attempts', async () => {
    const { pool, silentAtFirst } = open();
    const call = pool.call('once', { attemptTimeout: 5_000 }, silentAtFirst);
    abandon(pool);
    const first = await Promise.race([
      call,
      new Promise((resolve) => setTimeout(resolve, 10, 'waits')),
    ]);
    expect(first).toBe('waits');
  });

  it('tells who repeats it that the outcome is unknown', async () => {
    const { pool, silentAtFirst } = open();
    const call = pool.call('once', { repeated: true }, silentAtFirst);
    abandon(pool);
    await expect(call).rejects.toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'unknown' });
  });

  it('does not send what it gave up before it had logged in', async () => {
    const auth = { user: 'u', password: 'p' };
    const pool = new EndpointPool({ ...options, auth }, new VirtualClock());
    etcd.defer(() => pool.close());
    const login = deferred<{ token: string }>();
    for (const endpoint of pool.rotation.endpoints) {
      vi.spyOn(endpoint.auth, 'authenticate').mockReturnValue(login.promise as never);
    }
    const asked: string[] = [];
    const call = pool.call('once', { repeated: true }, async ({ name }) => {
      asked.push(name);
    });
    pool.rotation.setAside(pool.rotation.best() as Endpoint);
    abandon(pool);
    await new Promise(setImmediate);
    login.resolve({ token: 't' });
    await call;
    await new Promise(setImmediate);
    expect(asked).toEqual(['b:1']);
  });

  it('asks who is well apart from what its caller does, who may be traced', async () => {
    const caller = new AsyncLocalStorage<string>();
    const pool = new EndpointPool(options, new VirtualClock());
    etcd.defer(() => pool.close());
    const askers: unknown[] = [];
    for (const endpoint of pool.rotation.endpoints) {
      vi.spyOn(endpoint.kv, 'range').mockImplementation(async () => {
        askers.push(caller.getStore());
        return {} as never;
      });
    }
    const call = caller.run('a caller', () =>
      pool.call('none', {}, async ({ name }) => {
        if (name !== 'a:1') return caller.getStore();
        throw Object.assign(new Error(), { code: 14, details: 'No connection established' });
      }),
    );
    expect(await call).toBe('a caller');
    await vi.waitFor(() => expect(askers).toEqual([undefined, undefined]));
  });

  it('does not take the endpoint that it leaves for ill', async () => {
    const { pool, silentAtFirst } = open();
    const call = pool.call('none', {}, silentAtFirst);
    abandon(pool);
    expect(await call).toBe('a:1');
  });

  it('cuts its pause short', async () => {
    const { pool, asked } = open();
    const call = pool.call('none', {}, async ({ name }) => {
      asked.push(name);
      if (asked.length > 2) return name;
      throw Object.assign(new Error(), { code: 14, details: 'No connection established' });
    });
    await vi.waitFor(() => expect(asked.length).toBe(2));
    await new Promise(setImmediate);
    for (const hear of pool.rotation.onAbandon) hear(() => true);
    // No time has passed on its clock.
    expect(await call).toBe(asked[2]);
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
    pool.rotation.onSetAside.add(({ name }) => told.push(name));
    expect(await together(pool, 'a:1')).toEqual(Array.from({ length: 5 }, () => 'b:1'));
    expect(told).toEqual(['a:1']);
    expect(pool.rotation.best()?.name).toBe('b:1');
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

it('a look at the health of endpoints ends in time though each step of it is slow', async () => {
  const clock = new VirtualClock();
  const auth = { user: 'root', password: 'secret' };
  const pool = new EndpointPool({ endpoints: ['127.0.0.1:1'], auth }, clock);
  etcd.defer(() => pool.close());
  const [endpoint] = pool.rotation.endpoints as [Endpoint];
  const limits: (number | undefined)[] = [];
  vi.spyOn(endpoint.auth, 'authenticate').mockImplementation(async (_, options) => {
    limits.push((options as AttemptOptions).limit);
    await clock.advance(400);
    throw new Error('no token');
  });
  vi.spyOn(endpoint.kv, 'range').mockImplementation(async (_, options) => {
    limits.push((options as AttemptOptions).limit);
    throw new Error('no answer');
  });
  const health = await pool.health({ timeout: 1_000 });
  expect(health.map(({ healthy }) => healthy)).toEqual([false]);
  expect(limits).toEqual([500, 600]);
});
