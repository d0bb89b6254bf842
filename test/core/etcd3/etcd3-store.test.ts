import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { describe, expect, it } from 'vitest';
import { onTold } from '../../../src/core/trace.js';
import { FaultProxy } from '../../../src/embed/index.js';
import {
  ArgumentError,
  ClosedError,
  Etcd3Store,
  RefusedError,
  UnavailableError,
} from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();
/** A port at which connections are made and nothing is ever answered. */
const silent = async (): Promise<string> => {
  const server: Server = createServer(() => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  etcd.defer(() => server.close());
  server.unref();
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
};
const refused = '127.0.0.1:1';

describe('a transaction', () => {
  it('is refused with etcd’s own words', async () => {
    const lease = 12345n;
    const put = etcd.admin.commit({ success: [{ put: { key: 'x', value: '', lease } }] });
    const error = await rejection(put);
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toMatchObject({ status: 'NOT_FOUND', code: 'ERR_REFUSED' });
    expect((error as Error).message).toMatch(/requested lease not found/);
  });
});

describe('a lease', () => {
  it('can be granted again with the same ID, as after a lost answer', async () => {
    const lease = 0x1234_5678_9abcn;
    expect(await etcd.admin.grant(lease, 29_500)).toBe(30_000);
    expect(await etcd.admin.grant(lease, 29_500)).toBe(30_000);
    expect(await etcd.admin.keepAlive(lease)).toBe(30_000);
    await etcd.admin.revoke(lease);
  });

  it('is renewed with many others over one stream, through a cut', async () => {
    const proxy = await FaultProxy.start(etcd.endpoint);
    etcd.defer(() => proxy.close());
    const store = etcd.open({ endpoints: [proxy.endpoint] });
    const leases = Array.from({ length: 100 }, (_, i) => BigInt(i) + 0x4_0000_0000n);
    await Promise.all(leases.map((lease) => store.grant(lease, 30_000)));
    const renew = (): Promise<number[]> => Promise.all(leases.map((id) => store.keepAlive(id)));
    expect(new Set(await renew())).toEqual(new Set([30_000]));
    // One for calls, and one for streams.
    expect(proxy.connections).toBeLessThanOrEqual(2);
    proxy.cut();
    expect(await rejection(renew())).toBeInstanceOf(UnavailableError);
    proxy.heal();
    await expect.poll(renew).toContain(30_000);
    await Promise.all(leases.map((lease) => store.revoke(lease)));
  });

  it('is renewed though somebody has no time for the renewal of another', async () => {
    const proxy = await etcd.startProxy(etcd.endpoint);
    const store = etcd.open({ endpoints: [proxy.endpoint], attemptTimeout: 5_000 });
    const leases = [0x5_0000_0001n, 0x5_0000_0002n] as const;
    for (const lease of leases) await store.grant(lease, 30_000);
    await store.keepAlive(leases[0]);
    proxy.delay(50);
    const renewal = store.keepAlive(leases[0]);
    const hasty = store.keepAlive(leases[1], { timeout: 1 });
    expect(await rejection(hasty)).toBeInstanceOf(UnavailableError);
    expect(await renewal).toBe(30_000);
    for (const lease of leases) await store.revoke(lease);
  });
});

describe('with several endpoints', () => {
  it.each(['refused', 'silent'])('goes to the next when the first is %s', async (how) => {
    const first = how === 'silent' ? await silent() : refused;
    const store = etcd.open({ endpoints: [first, etcd.endpoint] });
    await store.read({ key: 'x' });
    const key = etcd.name();
    await store.commit({ success: [{ put: { key, value: '' } }] }, { idempotent: true });
    expect(await etcd.count(key)).toBe(1);
  });

  it('says what each of them said when none answers', async () => {
    const endpoints = [refused, await silent()];
    const store = etcd.open({ endpoints, timeout: 1_000, attemptTimeout: 300 });
    const error = await rejection(store.read({ key: 'x' }));
    expect(error).toBeInstanceOf(UnavailableError);
    const { failures, outcome } = error as UnavailableError;
    expect(outcome).toBe('not-applied');
    expect(failures.map(({ endpoint }) => endpoint)).toEqual(endpoints);
    expect(failures[0]).toMatchObject({ status: 'UNAVAILABLE', phase: 'connect' });
    expect(failures[1]?.status).toMatch(/^(UNAVAILABLE|DEADLINE_EXCEEDED)$/);
  });

  it('does not send a write twice that may have been applied', async () => {
    const proxy = await etcd.startProxy();
    const store = etcd.open({ endpoints: [proxy.endpoint, etcd.endpoint], timeout: 600 });
    await store.read({ key: 'x' });
    proxy.blackhole();
    const key = etcd.name();
    const error = await rejection(store.commit({ success: [{ put: { key, value: '' } }] }));
    expect(error).toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'unknown' });
    expect(await etcd.count(key)).toBe(0);
  });

  it('sends a write that surely was not applied to the next', async () => {
    const store = etcd.open({ endpoints: [refused, etcd.endpoint] });
    const key = etcd.name();
    await store.commit({ success: [{ put: { key, value: '' } }] });
    expect(await etcd.count(key)).toBe(1);
  });
});

describe('giving up', () => {
  it('rejects at once with the reason of the signal', async () => {
    const store = etcd.open({ endpoints: [await silent()] });
    const controller = new AbortController();
    const reason = new Error('enough');
    const reading = store.read({ key: 'x' }, { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    await expect(reading).rejects.toBe(reason);
    const aborted = AbortSignal.abort(reason);
    await expect(store.read({ key: 'x' }, { signal: aborted })).rejects.toBe(reason);
  });

  it.each([-1, Infinity, Number.NaN])('is not possible after %d ms', async (timeout) => {
    const calls = [
      etcd.admin.commit({ success: [{ put: { key: etcd.name(), value: '' } }] }, { timeout }),
      etcd.admin.read({ key: 'x' }, { timeout }),
      etcd.admin.health({ timeout }),
    ];
    for (const call of calls) await expect(call).rejects.toThrow(/^timeout must be/);
  });

  it('rejects what is on its way when the store is closed', async () => {
    const store = etcd.open({ endpoints: [await silent()] });
    const calls = [store.read({ key: 'x' }), store.keepAlive(1n)].map(rejection);
    setTimeout(() => store.close(), 20);
    for (const error of await Promise.all(calls)) expect(error).toBeInstanceOf(ClosedError);
    await expect(store.read({ key: 'x' })).rejects.toThrow(ClosedError);
  });
});

it.each([
  [{ endpoints: [] }, /endpoints must be a non-empty list of host:port, got \[\]/],
  [{ endpoints: ['localhost'] }, /endpoints must be host:port, .* got 'localhost'/],
  [{ endpoints: ['http://a:1'], tls: {} }, /endpoints must be https/],
  [{ endpoints: ['a:1'], tls: { cert: 'x' } }, /tls must be given both cert and key/],
  [{ endpoints: ['a:1'], timeout: 0 }, /timeout must be .* from 1 to .*, got 0/],
  [{ endpoints: ['a:1'], auth: { user: '', password: 'x' } }, /auth.user must be a non-empty/],
])('refuses %o', (options, message) => {
  expect(() => new Etcd3Store(options)).toThrow(ArgumentError);
  expect(() => new Etcd3Store(options)).toThrow(message);
});

it('what is no range is refused at once, and no endpoint is blamed', async () => {
  const store = etcd.open({ timeout: 2_000 });
  const told: unknown[] = [];
  const stop = onTold('endpoint', (note) => told.push(note));
  await expect(store.read({ key: undefined as never })).rejects.toThrow(TypeError);
  await expect(store.read({ key: 'x', limit: Infinity })).rejects.toThrow(RangeError);
  stop();
  expect(told).toEqual([]);
});
