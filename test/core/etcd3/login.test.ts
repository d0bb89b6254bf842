import { beforeEach, expect, it, vi } from 'vitest';
import { connect, RefusedError, type Store } from '../../../src/index.js';
import { useEtcd } from '../../support/etcd.js';
import { listen } from '../../support/listen.js';
import { RawClient } from '../../support/raw-client.js';

const etcd = useEtcd();
const auth = { user: 'root', password: 'secret' };
const patience = { timeout: 60_000, interval: 10 };

let endpoint: string;

beforeEach(async () => {
  endpoint = await etcd.startOwn({ auth: { password: auth.password } });
});

/** Does what only `root` may. */
async function asRoot(act: (raw: RawClient, token: string) => Promise<unknown>): Promise<void> {
  const raw = new RawClient(endpoint);
  etcd.defer(() => raw.close());
  const { token } = await raw.call('Auth.Authenticate', {
    name: auth.user,
    password: auth.password,
  });
  await act(raw, token);
}

/** Has etcd forget all tokens of `root`. */
async function forgetTokens(): Promise<void> {
  const who = { name: auth.user, password: auth.password };
  await asRoot((raw, token) => raw.call('Auth.UserChangePassword', who, token));
}

it('logs in, and again when etcd has forgotten the token', async () => {
  const coordinator = await connect({ endpoints: [endpoint], auth, session: { ttl: 60_000 } });
  etcd.defer(() => coordinator.close());
  const { store } = coordinator;
  const mutex = coordinator.mutex('m');
  const { watch, seen, closed } = listen(store, 'watched');
  await watch.ready;
  const hold = await mutex.acquire();
  await forgetTokens();
  const waiting = mutex.acquire();
  await expect.poll(async () => (await mutex.inspect()).waiters.length).toBe(1);
  expect(await hold.release()).toBe(true);
  const next = await waiting;
  await forgetTokens();
  const renew = (): Promise<number> => store.keepAlive(coordinator.session.id).catch(() => 0);
  await expect.poll(renew, patience).toBe(60_000);
  expect(await next.release()).toBe(true);
  await put(store, 'watched');
  await vi.waitFor(() => expect(seen).toEqual(['v']), patience);
  expect(closed).toEqual([]);
});

it('says that user or password is wrong', async () => {
  const wrong = connect({ endpoints: [endpoint], auth: { user: 'root', password: 'guess' } });
  await expect(wrong).rejects.toThrow(/authentication failed/);
  const nobody = etcd.open({ endpoints: [endpoint] });
  await expect(nobody.read({ key: 'x' })).rejects.toThrow(RefusedError);
});

it('says at once that a user has no password to log in with', async () => {
  const user = 'certified';
  const added = { name: user, options: { noPassword: true } };
  await asRoot((raw, token) => raw.call('Auth.UserAdd', added, token));
  const store = etcd.open({ endpoints: [endpoint], auth: { user, password: 'guess' } });
  // Who tries again until time is up is unavailable instead.
  await expect(store.read({ key: 'x' })).rejects.toThrow(RefusedError);
});

it('refuses a watch of somebody who did not say who they are', async () => {
  const store = etcd.open({ endpoints: [endpoint] });
  const { watch, closed } = listen(store, 'x');
  await expect(watch.ready).rejects.toThrow(RefusedError);
  expect(closed.length).toBe(1);
  expect(closed[0]).toBeInstanceOf(RefusedError);
});

it('leaves a member that is silent from the first login on', async () => {
  const silent = await etcd.startProxy(endpoint);
  silent.blackhole();
  const endpoints = [silent.endpoint, endpoint];
  const watching = etcd.open({ endpoints, auth });
  const { watch, seen } = listen(watching, 'k');
  await watch.ready;
  await put(watching, 'k');
  await vi.waitFor(() => expect(seen).toEqual(['v']), patience);

  const lease = 0x5111n;
  const renewing = etcd.open({ endpoints, auth });
  await watching.grant(lease, 60_000);
  await expect.poll(() => renewing.keepAlive(lease).catch(() => 0), patience).toBe(60_000);
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

async function put(store: Store, key: string): Promise<void> {
  await store.commit({ success: [{ put: { key, value: 'v' } }] });
}
