import { status } from '@grpc/grpc-js';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type InProcessEtcd, start, VirtualClock } from '../../../src/embed/index.js';
import { ArgumentError } from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { RawClient } from '../../support/raw-client.js';

const patience = { timeout: 60_000, interval: 5 };
const invalid = { code: status.UNAUTHENTICATED, details: 'etcdserver: invalid auth token' };
const denied = { code: status.PERMISSION_DENIED, details: 'etcdserver: permission denied' };

let etcd: InProcessEtcd;
let raw: RawClient;
let root: string;

beforeEach(async () => {
  etcd = await start({
    clock: new VirtualClock(),
    auth: { password: 'secret' },
    authTokenTtl: 10_000,
  });
  raw = new RawClient(etcd.endpoints[0] ?? '');
  onTestFinished(async () => {
    raw.close();
    await etcd.stop();
  });
  root = await logIn('root', 'secret');
});

async function logIn(name: string, password: string): Promise<string> {
  return (await raw.call('Auth.Authenticate', { name, password })).token;
}

/** A user whose role may do all with the keys from `a` up to `b`. */
async function addUser(): Promise<string> {
  await raw.call('Auth.UserAdd', { name: 'u', password: 'x' }, root);
  await raw.call('Auth.RoleAdd', { name: 'r' }, root);
  const permission = { type: 2, key: 'a', rangeEnd: 'b' };
  await raw.call('Auth.RoleGrantPermission', { role: 'r', permission }, root);
  await raw.call('Auth.UserGrantRole', { user: 'u', role: 'r' }, root);
  return logIn('u', 'x');
}

describe('a token', () => {
  it('is valid until it was not used for its time', async () => {
    const used = await addUser();
    const unused = await logIn('u', 'x');
    const read = (token: string): Promise<unknown> => raw.call('KV.Range', { key: 'a' }, token);
    for (const _ of [1, 2, 3]) {
      await etcd.advance(9_000);
      await read(used);
    }
    expect(await rejection(read(unused))).toMatchObject(invalid);
    await etcd.advance(10_000);
    await read(used);
    await etcd.advance(10_001);
    expect(await rejection(read(used))).toMatchObject(invalid);
  });

  it('from elsewhere is refused at once, whatever number it has', async () => {
    for (const token of ['', 'x', 'abcdefghijklmnop.99999999999']) {
      expect(await rejection(raw.call('KV.Range', { key: 'a' }, token))).toMatchObject(invalid);
    }
  });
});

it('goes on with a watch whose user lost the right to it, as etcd does', async () => {
  const user = await addUser();
  const stream = raw.open('Watch.Watch', user);
  onTestFinished(() => stream.close());
  const said: string[] = [];
  const asked = { create: { key: 'a', rangeEnd: 'b' } };
  stream.listen(
    ({ events, created, cancelReason }) => {
      if (created) said.push(cancelReason || 'created');
      said.push(...events.map(({ kv }) => kv?.key ?? ''));
    },
    (error) => said.push(error.details),
  );
  stream.send(asked);
  await vi.waitFor(() => expect(said).toEqual(['created']), patience);
  await raw.call('Auth.UserRevokeRole', { user: 'u', role: 'r' }, root);
  await raw.call('KV.Put', { key: 'a' }, root);
  await vi.waitFor(() => expect(said).toEqual(['created', 'a']), patience);
  stream.send(asked);
  const reason = 'rpc error: code = PermissionDenied desc = etcdserver: permission denied';
  await vi.waitFor(() => expect(said).toEqual(['created', 'a', reason]), patience);
});

it('takes several roles together for one range, without a gap', async () => {
  const user = await addUser();
  const range = (rangeEnd: string): Promise<unknown> =>
    raw.call('KV.Range', { key: 'a', rangeEnd }, user);
  await raw.call('Auth.RoleAdd', { name: 's' }, root);
  const grant = (key: string, rangeEnd: string): Promise<unknown> => {
    const permission = { type: 0, key, rangeEnd };
    return raw.call('Auth.RoleGrantPermission', { role: 's', permission }, root);
  };
  await raw.call('Auth.UserGrantRole', { user: 'u', role: 's' }, root);
  await grant('b\0', 'c');
  expect(await rejection(range('c'))).toMatchObject(denied);
  await grant('b', '');
  await range('c');
  expect(await rejection(range('\0'))).toMatchObject(denied);
  await grant('c', '\0');
  await range('\0');
});

it('lets its own store do everything', async () => {
  const store = etcd.store();
  await store.commit({ success: [{ put: { key: 'z', value: '' } }] });
  expect((await store.read({ key: 'z' })).count).toBe(1);
});

it.each([
  [{ auth: {} }, 'auth.password'],
  [{ auth: { password: '' } }, 'auth.password'],
  [{ auth: { password: 'é'.repeat(37) } }, 'auth.password'],
  [{ authTokenTtl: 999 }, 'authTokenTtl'],
  [{ authTokenTtl: Number.NaN }, 'authTokenTtl'],
])('is not started with %o', async (options, named) => {
  const starting = start(options as object);
  await expect(starting).rejects.toThrow(ArgumentError);
  await expect(starting).rejects.toThrow(named);
});
