import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type EtcdCluster, start } from '../../src/embed/index.js';
import { connect, RefusedError, UnavailableError } from '../../src/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { useEtcd } from '../support/etcd.js';
import { listen } from '../support/listen.js';

const etcd = useEtcd();
const patience = { timeout: 15_000, interval: 10 };

describe('with user and password', () => {
  it('logs in, and again when etcd has forgotten the token', { timeout: 60_000 }, async () => {
    const cluster = await start({
      engine: 'etcd',
      unsafeNoFsync: true,
      auth: { password: 'secret' },
    });
    etcd.defer(() => cluster.stop());
    const [endpoint = ''] = cluster.endpoints;
    const auth = { user: 'root', password: 'secret' };
    const coordinator = await connect({ endpoints: [endpoint], auth, session: { ttl: 60_000 } });
    etcd.defer(() => coordinator.close());
    const mutex = coordinator.mutex('m');
    expect(await (await mutex.acquire()).release()).toBe(true);
    // Simple tokens live in the member's memory.
    await cluster.members[0]?.restart();
    const hold = await mutex.acquire();
    const waiting = mutex.acquire();
    await expect.poll(async () => (await mutex.inspect()).waiters.length).toBe(1);
    expect(await hold.release()).toBe(true);
    expect(await (await waiting).release()).toBe(true);
  });

  it('says that they are wrong', { timeout: 60_000 }, async () => {
    const cluster = await start({
      engine: 'etcd',
      unsafeNoFsync: true,
      auth: { password: 'secret' },
    });
    etcd.defer(() => cluster.stop());
    const endpoints = cluster.endpoints;
    const wrong = connect({ endpoints, auth: { user: 'root', password: 'guess' } });
    await expect(wrong).rejects.toThrow(/authentication failed/);
    const nobody = etcd.open({ endpoints });
    await expect(nobody.read({ key: 'x' })).rejects.toThrow(RefusedError);
  });
});

describe('over TLS', () => {
  it('trusts the authority given, and nobody else', { timeout: 60_000 }, async () => {
    const cluster = await start({ engine: 'etcd', unsafeNoFsync: true, tls: 'auto' });
    etcd.defer(() => cluster.stop());
    const { endpoints } = cluster;
    const ca = await readFile(cluster.members[0]?.caFile ?? '');
    const store = etcd.open({ endpoints, tls: { ca } });
    await store.commit({ success: [{ put: { key: 'x', value: 'y' } }] });
    expect((await store.read({ key: 'x' })).count).toBe(1);
    const stranger = etcd.open({ endpoints, timeout: 1_000 });
    expect(await rejection(stranger.read({ key: 'x' }))).toBeInstanceOf(UnavailableError);
  });
});

describe('where etcd asks for user and password', () => {
  const auth = { user: 'root', password: 'secret' };
  let cluster: EtcdCluster;
  let endpoint: string;

  beforeAll(async () => {
    cluster = await start({
      engine: 'etcd',
      unsafeNoFsync: true,
      auth: { password: auth.password },
      bcryptCost: 4,
    });
    [endpoint = ''] = cluster.endpoints;
  });
  afterAll(() => cluster.stop());

  it('gets a new token for calls that found nobody first and then were refused the old one', {
    timeout: 60_000,
  }, async () => {
    const proxy = await etcd.startProxy(endpoint);
    const coordinator = await connect({
      endpoints: [proxy.endpoint],
      auth,
      session: { ttl: 60_000 },
    });
    etcd.defer(() => coordinator.close());
    const { store } = coordinator;
    const { watch, seen, closed } = listen(store, 'watched');
    await watch.ready;
    const hold = await coordinator.mutex('m').acquire();
    proxy.cut();
    const limit = { timeout: 20_000 };
    const put = { put: { key: 'written', value: '' } };
    const calls = Promise.all([
      store.read({ key: 'x' }, limit),
      store.read({ key: 'y' }, limit),
      store.commit({ success: [put] }, { ...limit, idempotent: true }),
      hold.release(),
      coordinator.mutex('n').acquire(),
    ]);
    // The calls fail to connect meanwhile. Simple tokens live in the member's memory.
    await Promise.all([cluster.members[0]?.restart(), delay(500)]);
    proxy.heal();
    const [, , , released, next] = await calls;
    expect(released).toBe(true);
    expect(await next.release()).toBe(true);
    const renew = (): Promise<number> => store.keepAlive(coordinator.session.id).catch(() => 0);
    await expect.poll(renew, patience).toBe(60_000);
    await store.commit({ success: [{ put: { key: 'watched', value: 'after' } }] });
    await vi.waitFor(() => expect(seen).toEqual(['after']), patience);
    expect(closed).toEqual([]);
    expect(hold.lost).toBe(undefined);
  });

  it('leaves a member that is silent from the first login on', { timeout: 60_000 }, async () => {
    const silent = await etcd.startProxy(endpoint);
    silent.blackhole();
    const endpoints = [silent.endpoint, endpoint];
    const watching = etcd.open({ endpoints, auth });
    const { watch, seen } = listen(watching, 'k');
    await watch.ready;
    await watching.commit({ success: [{ put: { key: 'k', value: 'v' } }] });
    await vi.waitFor(() => expect(seen).toEqual(['v']), patience);

    const lease = 0x5111n;
    const renewing = etcd.open({ endpoints, auth });
    await watching.grant(lease, 60_000);
    await expect.poll(() => renewing.keepAlive(lease).catch(() => 0), patience).toBe(60_000);
    await watching.revoke(lease);
  });

  it.each([
    { attemptTimeout: 200, timeout: 1_500 },
    { attemptTimeout: 1_000, timeout: 800 },
  ])('lets many calls at once leave a silent member, with %o', async (limits) => {
    const silent = await etcd.startProxy(endpoint);
    silent.blackhole();
    const store = etcd.open({ endpoints: [silent.endpoint, endpoint], auth, ...limits });
    const reads = Array.from({ length: 8 }, (_, i) => store.read({ key: `k${i}` }));
    const outcomes = await Promise.allSettled(reads);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
  });

  it('refuses a watch of somebody who did not say who they are', async () => {
    const store = etcd.open({ endpoints: [endpoint] });
    const { watch, closed } = listen(store, 'x');
    await expect(watch.ready).rejects.toThrow(RefusedError);
    expect(closed.length).toBe(1);
    expect(closed[0]).toBeInstanceOf(RefusedError);
  });
});
