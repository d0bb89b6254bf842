import { describe, expect, it } from 'vitest';
import { folderOf } from '../../../src/core/store/keys.js';
import {
  connect,
  SessionLostError,
  UnavailableError,
  WaitTimeoutError,
} from '../../../src/index.js';
import { waitFor } from '../../../src/testing/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { useEtcd } from '../../support/etcd.js';
import { override } from '../../support/override.js';

const etcd = useEtcd();
/** So long that no renewal is due within a test: what is noticed is noticed by other means. */
const session = { ttl: 120_000 };

const standStill = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
};

describe('a session whose lease is revoked', () => {
  it('learns it from the watch of a hold, and says why all of them are lost', async () => {
    const coordinator = await etcd.connect({ session });
    const holds = [];
    for (let i = 0; i < 5; i += 1) holds.push(await coordinator.mutex(etcd.name()).acquire());
    const told: string[] = [];
    const mutex = coordinator.mutex(etcd.name()).on('lost', ({ reason }) => told.push(reason));
    const last = await mutex.acquire();
    const aborted = new Promise((resolve) => {
      last.signal.addEventListener('abort', resolve);
    });
    await etcd.admin.revoke(coordinator.session.id);
    await aborted;
    await waitFor(() => coordinator.session.state === 'lost');
    await waitFor(() => told.length > 0);
    expect(told).toEqual(['revoked']);
    expect(holds.map(({ lost }) => lost)).toEqual(holds.map(() => 'revoked'));
    expect(coordinator.session.signal.reason).toEqual(new SessionLostError('revoked'));
  });

  it('learns it from a guarded transaction, whose error says so', async () => {
    const coordinator = await etcd.connect({ session });
    const hold = await coordinator.mutex(etcd.name()).acquire();
    await etcd.admin.revoke(coordinator.session.id);
    const error = await rejection(hold.txn().put('never', '').commit());
    expect(error).toMatchObject({ code: 'ERR_HOLD_LOST', reason: 'revoked' });
    expect(coordinator.session.state).toBe('lost');
  });

  it('learns it from a release that finds nothing', async () => {
    const coordinator = await etcd.connect({ session });
    const hold = await coordinator.mutex(etcd.name()).acquire();
    await etcd.admin.revoke(coordinator.session.id);
    expect(await hold.release()).toBe(false);
    await waitFor(() => coordinator.session.state === 'lost');
  });

  it('learns it from a wait, which rejects', async () => {
    const [holder, waiter] = [await etcd.connect(), await etcd.connect({ session })];
    const name = etcd.name();
    await holder.mutex(name).acquire();
    const wait = rejection(waiter.mutex(name).acquire());
    await waitFor(async () => (await etcd.count(folderOf('mutex', name))) === 2);
    await etcd.admin.revoke(waiter.session.id);
    expect(await wait).toEqual(new SessionLostError('revoked'));
  });

  it('goes on when only the key of a hold is deleted', async () => {
    const coordinator = await etcd.connect({ session });
    const [mutex, other] = [coordinator.mutex(etcd.name()), coordinator.mutex(etcd.name())];
    const told: string[] = [];
    mutex.on('lost', ({ reason }) => told.push(reason));
    const [hold, kept] = [await mutex.acquire(), await other.acquire()];
    await etcd.admin.commit({ success: [{ delete: { key: hold.key } }] });
    await waitFor(() => told.length > 0);
    expect([told, hold.lost, hold.signal.reason.reason]).toEqual([
      ['deleted'],
      'deleted',
      'deleted',
    ]);
    expect([coordinator.session.state, kept.lost]).toEqual(['open', undefined]);
  });

  it('is open again for the next use', async () => {
    const coordinator = await etcd.connect({ session });
    const before = await coordinator.mutex(etcd.name()).acquire();
    await etcd.admin.revoke(coordinator.session.id);
    await waitFor(() => coordinator.session.state === 'lost');
    const hold = await coordinator.mutex(etcd.name()).acquire();
    expect([coordinator.session.state, hold.lost, before.lost]).toEqual([
      'open',
      undefined,
      'revoked',
    ]);
    expect(await hold.release()).toBe(true);
  });
});

it('gets another lease after an outage that was longer than its TTL', async () => {
  const proxy = await etcd.startProxy();
  const name = etcd.name();
  const coordinator = await etcd.connect({ endpoints: [proxy.endpoint], session: { ttl: 2_000 } });
  const old = await coordinator.mutex(name).acquire();
  proxy.cut();
  await waitFor(() => coordinator.session.state === 'lost');
  const mutex = coordinator.mutex(name);
  expect(await rejection(mutex.acquire({ timeout: 200 }))).toEqual(
    new WaitTimeoutError(200, `mutex ${name}`),
  );
  const wait = mutex.acquire();
  proxy.heal();
  const hold = await wait;
  expect(hold.token).toBeGreaterThan(old.token);
  expect(old.lost).toBe('no-contact');
  expect(await old.release()).toBe(false);
  expect(await hold.release()).toBe(true);
});

it('keeps keys on as many leases as it takes, and gives all of them back', async () => {
  const coordinator = await etcd.connect({ session: { keysPerLease: 10 } });
  const name = etcd.name();
  const take = (_: unknown, i: number): Promise<unknown> =>
    coordinator.mutex(`${name}-${i}`).acquire();
  await Promise.all(Array.from({ length: 45 }, take));
  const { kvs } = await etcd.admin.read({ key: `mutex/${name}`, end: `mutex/${name}~` });
  const leases = new Map<bigint, number>();
  for (const { lease } of kvs) leases.set(lease, (leases.get(lease) ?? 0) + 1);
  expect([...leases.values()].toSorted((a, b) => a - b)).toEqual([5, 10, 10, 10, 10]);
  await coordinator.close();
  for (const lease of leases.keys()) expect(await etcd.admin.keepAlive(lease)).toBe(0);
});

describe('an event loop that is blocked for twice the TTL', () => {
  it('ends what is held before any code sees it, and gives no hold that is over', async () => {
    const coordinator = await etcd.connect({ session: { ttl: 2_000 } });
    const told: number[] = [];
    coordinator.session.on('stalled', ({ ms }) => told.push(ms));
    const { signal } = await coordinator.mutex(etcd.name()).acquire();
    const wanted = [{}, { timeout: 60_000 }].map((wait) =>
      rejection(coordinator.mutex(etcd.name()).acquire(wait)),
    );
    const seen = new Promise<boolean>((resolve) => {
      setTimeout(() => resolve(signal.aborted), 1);
    });
    // The requests leave, and their answers come while we are not there.
    await new Promise(setImmediate);
    standStill(4_000);
    expect(await seen).toBe(true);
    for (const error of await Promise.all(wanted)) expect(error).toBeInstanceOf(SessionLostError);
    await waitFor(() => told.length > 0);
    expect(told[0]).toBeGreaterThan(3_000);
    const hold = await coordinator.mutex(etcd.name()).acquire();
    expect(await hold.release()).toBe(true);
  });
});

describe('connecting', () => {
  it('can be given up', async () => {
    const proxy = await etcd.startProxy();
    proxy.blackhole();
    const reason = new Error('enough');
    const controller = new AbortController();
    const endpoints = [proxy.endpoint];
    const connecting = rejection(connect({ endpoints, signal: controller.signal }));
    controller.abort(reason);
    expect(await connecting).toBe(reason);
    expect(await rejection(connect({ endpoints, signal: controller.signal }))).toBe(reason);
  });

  it('leaves no lease behind whose grant got no answer', async () => {
    let granted = 0n;
    const connecting = etcd.connect({}, (store) =>
      override(store, {
        grant: async (lease, ttl) => {
          granted = lease;
          await store.grant(lease, ttl);
          throw new UnavailableError('unknown', []);
        },
      }),
    );
    expect(await rejection(connecting)).toBeInstanceOf(UnavailableError);
    await waitFor(async () => (await etcd.admin.keepAlive(granted)) === 0);
  });
});
