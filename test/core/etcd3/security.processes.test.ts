import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { start } from '../../../src/embed/index.js';
import { connect, UnavailableError } from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { useEtcd } from '../../support/etcd.js';
import { listen } from '../../support/listen.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 10 };

describe('with user and password', () => {
  const auth = { user: 'root', password: 'secret' };

  it('logs in, and again when etcd has forgotten the token', { timeout: 180_000 }, async () => {
    const cluster = await start({
      engine: 'etcd',
      unsafeNoFsync: true,
      auth: { password: auth.password },
    });
    etcd.defer(() => cluster.stop());
    const { endpoints } = cluster;
    const coordinator = await connect({ endpoints, auth, session: { ttl: 60_000 } });
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

  it('gets a new token for calls that found nobody first and then were refused the old one', {
    timeout: 180_000,
  }, async () => {
    const cluster = await start({
      engine: 'etcd',
      unsafeNoFsync: true,
      auth: { password: auth.password },
      bcryptCost: 4,
    });
    etcd.defer(() => cluster.stop());
    const proxy = await etcd.startProxy(cluster.endpoints[0]);
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
});

describe('over TLS', () => {
  it('trusts the authority given, and nobody else', { timeout: 180_000 }, async () => {
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
