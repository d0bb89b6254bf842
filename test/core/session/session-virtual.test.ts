import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { containerWith } from '../../../src/container.js';
import { deferred } from '../../../src/core/time/deferred.js';
import { start, VirtualClock } from '../../../src/embed/index.js';
import {
  ClosedError,
  type Coordinator,
  connect as connectTo,
  type Hold,
  Mutex,
  type Session,
  SessionLostError,
  type Store,
  WaitTimeoutError,
} from '../../../src/index.js';
import {
  startTestEtcd,
  type TestConnectOptions,
  type TestEtcd,
} from '../../../src/testing/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { override } from '../../support/override.js';

let etcd: TestEtcd;
beforeEach(async () => {
  etcd = await startTestEtcd({ time: 'virtual' });
});
afterEach(() => etcd.stop());

const connect = (options?: TestConnectOptions): Promise<Coordinator> => etcd.connect(options);
/** Lets everything run that is due. */
const settle = (): Promise<void> => etcd.advance(0);

const leases = (): number => etcd.server.stats.leases;
const take = (coordinator: Coordinator, n: number): Promise<Hold[]> =>
  Promise.all(Array.from({ length: n }, () => coordinator.mutex(etcd.name()).acquire()));
const leaseOf = async ({ key }: Hold): Promise<bigint> =>
  (await etcd.store.read({ key })).kvs[0]?.lease ?? 0n;
const record = (session: Session): string[] => {
  const told: string[] = [];
  session
    .on('suspended', () => told.push('suspended'))
    .on('resumed', () => told.push('resumed'))
    .on('lost', ({ reason }) => told.push(`lost: ${reason}`))
    .on('reopened', () => told.push('reopened'))
    .on('stalled', ({ ms }) => told.push(`stalled: ${ms}`))
    .on('closed', () => told.push('closed'));
  return told;
};

describe('the leases of a session', () => {
  const few = { keysPerLease: 3 };

  it('are as many as its keys need, granted once for all who come at the same time', async () => {
    let grants = 0;
    const counting = (store: Store): Store =>
      override(store, {
        grant: (...args) => {
          grants += 1;
          return store.grant(...args);
        },
      });
    const coordinator = await connect({ session: few, decorate: counting });
    const holds = await take(coordinator, 7);
    expect([grants, leases()]).toEqual([3, 3]);
    const used = await Promise.all(holds.map(leaseOf));
    expect(used.filter((lease) => lease === coordinator.session.id).length).toBe(3);
    expect(new Set(used).size).toBe(3);
  });

  it.each<[string, (coordinator: Coordinator, i: number) => Promise<unknown>]>([
    ['parties of a barrier', (coordinator) => coordinator.cyclicBarrier('b', 8).wait()],
    [
      'shares of tenants',
      async ({ tenants }, i) => {
        await tenants.create(`t${i}`, { isolation: 'prefix', quota: { keys: 9 } });
        const store = await tenants.open(`t${i}`);
        await store.commit({ success: [{ put: { key: 'k', value: '' } }] });
      },
    ],
  ])('have no more keys than they may where many %s come at the same time', async (_, come) => {
    const coordinator = await connect({ session: few });
    await take(coordinator, 3);
    for (let i = 0; i < 7; i += 1) come(coordinator, i).catch(() => {});
    await settle();
    const { kvs } = await etcd.store.read({ key: '\0', end: '\0' });
    const bound = kvs.map(({ lease }) => lease).filter((lease) => lease > 0n);
    const sizes = [...new Set(bound)].map((each) => bound.filter((lease) => lease === each).length);
    expect(sizes.toSorted((a, b) => a - b)).toEqual([1, 3, 3, 3]);
  });

  it('do not keep a caller waiting who finds room in one of them', async () => {
    const coordinator = await connect({ session: few });
    const [first] = await take(coordinator, 6);
    const stuck = etcd.faults.add({ rpc: 'Lease.LeaseGrant', kind: 'hang' });
    const next = take(coordinator, 1);
    await settle();
    expect(stuck.hits).toBe(1);
    await first?.release();
    await take(coordinator, 1);
    stuck.remove();
    await etcd.advance(1_000);
    await next;
    expect(leases()).toBe(3);
  });

  it('are given back when nothing hangs on them, but for one', async () => {
    const coordinator = await connect({ session: few });
    const holds = await take(coordinator, 9);
    for (const hold of holds.slice(3)) await hold.release();
    await settle();
    expect(leases()).toBe(2);
    for (const hold of holds.slice(0, 3)) await hold.release();
    await settle();
    expect(leases()).toBe(1);
    expect(coordinator.session.state).toBe('open');
    await etcd.advance(60_000);
    expect(leases()).toBe(1);
    await take(coordinator, 4);
    expect(leases()).toBe(2);
  });

  it('count no key that somebody deleted, whether its hold is released or not', async () => {
    const coordinator = await connect({ session: few });
    for (let i = 0; i < 4; i += 1) {
      const holds = await take(coordinator, 3);
      for (const { key } of holds) await etcd.store.commit({ success: [{ delete: { key } }] });
      await etcd.advance(30);
      expect(holds.map(({ lost }) => lost)).toEqual(['deleted', 'deleted', 'deleted']);
      await holds[i % 3]?.release();
    }
    expect(leases()).toBe(1);
  });

  it('share one fate: who looks at anything held finds it lost before anybody is told', async () => {
    const coordinator = await connect({ session: few });
    const { session } = coordinator;
    const told = record(session);
    const holds = await take(coordinator, 7);
    await etcd.advance(100);
    const seen: boolean[][] = [];
    for (const { signal } of holds) {
      signal.addEventListener('abort', () => {
        seen.push([...holds.map((hold) => hold.signal.aborted), session.signal.aborted]);
      });
    }
    const waiting = rejection(coordinator.mutex(holds[0]?.key.split('/')[1] ?? '').acquire());
    await settle();
    await etcd.store.revoke(await leaseOf(holds[4] as Hold));
    await settle();
    expect(new Set(holds.map(({ lost }) => lost))).toEqual(new Set(['revoked']));
    expect(seen.slice(3)).toEqual(
      Array.from({ length: 4 }, () => Array.from({ length: 8 }, () => true)),
    );
    expect(await waiting).toEqual(new SessionLostError('revoked'));
    expect(told).toEqual(['lost: revoked']);
    await settle();
    expect(leases()).toBe(0);
  });
});

describe('a session that was lost', () => {
  const lose = async (coordinator: Coordinator): Promise<void> => {
    await etcd.expire(coordinator.session);
    await rejection(coordinator.mutex(etcd.name()).acquire());
    expect(coordinator.session.state).toBe('lost');
  };

  it('is open again when it is used, while what was lost stays lost', async () => {
    const coordinator = await connect();
    const { session } = coordinator;
    const told = record(session);
    const before = { id: session.id, signal: session.signal };
    const [old] = await take(coordinator, 1);
    const { signal } = old as Hold;
    await lose(coordinator);
    expect(session.remaining()).toBe(0);

    const tenant = coordinator.namespace('tenant/');
    const [hold] = await take(tenant, 1);
    expect(told).toEqual(['lost: revoked', 'reopened']);
    expect([session.state, tenant.session.state]).toEqual(['open', 'open']);
    expect(session.id).not.toBe(before.id);
    expect(session.signal.aborted).toBe(false);
    expect(session.remaining()).toBeGreaterThan(0);
    expect(hold?.lost).toBe(undefined);

    expect(before.signal.reason).toEqual(new SessionLostError('revoked'));
    expect([old?.lost, signal.aborted, old?.remaining()]).toEqual(['revoked', true, 0]);
    expect(await old?.release()).toBe(false);
    await etcd.advance(60_000);
    expect(hold?.lost).toBe(undefined);
    expect(leases()).toBe(1);
  });

  it('gets one lease for all who use it at the same time', async () => {
    const coordinator = await connect();
    await lose(coordinator);
    const told = record(coordinator.session);
    await take(coordinator, 20);
    expect(leases()).toBe(1);
    expect(told).toEqual(['reopened']);
  });

  it('gets a lease through an outage, for who has the patience', async () => {
    const coordinator = await connect();
    await lose(coordinator);
    const outage = etcd.faults.add({ rpc: '*', kind: 'drop-request' });
    const controller = new AbortController();
    const mutex = coordinator.mutex('patience');
    const reason = new Error('enough');
    const outcomes = [
      rejection(mutex.acquire({ timeout: 5_000 })),
      rejection(mutex.tryAcquire({ signal: controller.signal })),
    ];
    const patient = mutex.acquire();
    await etcd.advance(5_000);
    controller.abort(reason);
    expect(await Promise.all(outcomes)).toEqual([
      new WaitTimeoutError(5_000, 'mutex patience'),
      reason,
    ]);
    await etcd.advance(60_000);
    expect(coordinator.session.state).toBe('lost');
    outage.remove();
    await etcd.advance(2_000);
    expect((await patient).lost).toBe(undefined);
    await etcd.advance(30_000);
    expect(leases()).toBe(1);
  });

  it('counts the time of a wait from when it began, before the session was open again', async () => {
    const coordinator = await connect();
    const other = await connect();
    await other.mutex('taken').acquire();
    await lose(coordinator);
    const outage = etcd.faults.add({ rpc: 'Lease.LeaseGrant', kind: 'drop-request' });
    let ended = false;
    const wait = rejection(coordinator.mutex('taken').acquire({ timeout: 10_000 })).finally(() => {
      ended = true;
    });
    await etcd.advance(8_000);
    outage.remove();
    await etcd.advance(1_500);
    expect([coordinator.session.state, ended]).toEqual(['open', false]);
    await etcd.advance(500);
    expect(await wait).toBeInstanceOf(WaitTimeoutError);
  });

  it('is not opened again by looking at who holds a lock', async () => {
    const coordinator = await connect();
    await lose(coordinator);
    expect(await coordinator.mutex('x').inspect()).toEqual({ holder: undefined, waiters: [] });
    expect(coordinator.session.state).toBe('lost');
  });

  it('has waits rejected that were on their way, and not those that come later', async () => {
    const coordinator = await connect();
    await (await connect()).mutex('taken').acquire();
    const wait = rejection(coordinator.mutex('taken').acquire());
    await settle();
    etcd.faults.add({ rpc: 'Lease.LeaseKeepAlive', kind: 'error' });
    await etcd.advance(13_000);
    expect(await wait).toEqual(new SessionLostError('no-contact'));
    await take(coordinator, 1);
  });
});

it('is told of a loss in time that is due sooner since another lease was granted, late', async () => {
  const late = deferred<void>();
  let grants = 0;
  const slow = (store: Store): Store =>
    override(store, {
      grant: async (...args) => {
        grants += 1;
        const granted = await store.grant(...args);
        if (grants > 1) await late.promise;
        return granted;
      },
    });
  const coordinator = await connect({ session: { keysPerLease: 1 }, decorate: slow });
  await take(coordinator, 1);
  await etcd.advance(5_600);
  const second = take(coordinator, 1);
  // The first lease is renewed meanwhile.
  await etcd.advance(6_500);
  late.resolve();
  await settle();
  const [{ signal }] = (await second) as [Hold];
  let isTold = false;
  signal.addEventListener('abort', () => (isTold = true));
  etcd.faults.add({ rpc: '*', kind: 'hang' });
  await etcd.advance(coordinator.session.remaining());
  expect(isTold).toBe(true);
});

describe('closing a session', () => {
  it('gives all leases back at once, and rejects what waits', async () => {
    const coordinator = await connect({ session: { keysPerLease: 2 } });
    const told = record(coordinator.session);
    const holds = await take(coordinator, 6);
    const slow = etcd.faults.add({ rpc: 'Lease.LeaseRevoke', kind: 'delay', delay: 500 });
    const closing = Promise.all([coordinator.session.close(), coordinator.session.close()]);
    expect(holds.map(({ lost }) => lost)).toEqual(Array.from({ length: 6 }, () => 'closed'));
    await settle();
    expect(slow.hits).toBe(3);
    await etcd.advance(500);
    await closing;
    expect(leases()).toBe(0);
    expect(told).toEqual(['closed']);
    await expect(coordinator.session.close()).resolves.toBe(undefined);
    await expect(new Mutex(coordinator.session, 'x').acquire()).rejects.toThrow(ClosedError);
  });

  it('leaves nothing when a lease is just being granted', async () => {
    for (const state of ['full', 'lost'] as const) {
      const coordinator = await connect({ session: { keysPerLease: 1 } });
      const mutex = coordinator.mutex('x');
      await take(coordinator, 1);
      if (state === 'lost') {
        await etcd.expire(coordinator.session);
        await rejection(take(coordinator, 1));
      }
      const slow = etcd.faults.add({ rpc: 'Lease.LeaseGrant', kind: 'delay', delay: 500 });
      const wait = rejection(mutex.acquire());
      await settle();
      expect(slow.hits).toBe(1);
      const closing = coordinator.session.close();
      expect(await wait).toBeInstanceOf(ClosedError);
      await etcd.advance(500);
      await closing;
      slow.remove();
      expect(leases()).toBe(0);
      expect(coordinator.session.state).toBe('closed');
    }
  });

  it('takes no longer than 5 s in an outage, whatever is lost, granted or held', async () => {
    const coordinator = await connect({ session: { keysPerLease: 2 } });
    await take(coordinator, 3);
    const outage = etcd.faults.add({ rpc: '*', kind: 'hang' });
    const wait = rejection(take(coordinator, 3));
    await etcd.advance(2_000);
    let closed = false;
    const closing = coordinator.session.close().finally(() => {
      closed = true;
    });
    expect(await wait).toBeInstanceOf(ClosedError);
    await etcd.advance(4_999);
    expect(closed).toBe(false);
    await etcd.advance(1);
    await closing;
    const { hits } = outage;
    await etcd.advance(10_000);
    expect(outage.hits).toBe(hits);
  });

  it('is final after a loss too', async () => {
    const coordinator = await connect();
    const mutex = coordinator.mutex('x');
    await etcd.expire(coordinator.session);
    await rejection(take(coordinator, 1));
    await coordinator.session.close();
    expect(coordinator.session.state).toBe('closed');
    await expect(mutex.acquire()).rejects.toThrow(ClosedError);
    expect(leases()).toBe(0);
  });
});

describe('an event loop that stands still for twice the TTL', () => {
  let clock: VirtualClock;
  /** The server's time and ours, which can be jumped over. */
  const connectJumping = async (): Promise<Coordinator> => {
    clock = new VirtualClock();
    const server = await start({ clock });
    onTestFinished(() => server.stop());
    const store = server.store();
    const coordinator = await connectTo({
      endpoints: server.endpoints,
      container: containerWith({ clock, store }),
    });
    onTestFinished(() => coordinator.close(0));
    return coordinator;
  };
  const ttl = 15_000;

  it('finds a hold lost before anybody looks at it, and says how long it stood', async () => {
    const coordinator = await connectJumping();
    const told = record(coordinator.session);
    const hold = await coordinator.mutex('m').acquire();
    const { signal } = hold;
    await clock.advance(100);
    clock.jump(2 * ttl);
    expect(signal.aborted).toBe(true);
    expect(hold.lost).toBe('no-contact');
    await clock.advance(0);
    expect(told[0]).toBe('lost: no-contact');
    expect(Number(/^stalled: (\d+)/.exec(told[1] ?? '')?.[1])).toBeGreaterThan(2 * ttl - 3_000);
    expect(told.length).toBe(2);
  });

  it.each([{}, { timeout: 10 * ttl }])('gives no hold that is over (%o)', async (wait) => {
    const coordinator = await connectJumping();
    const wanted = [
      rejection(coordinator.mutex('m').acquire(wait)),
      rejection(coordinator.mutex('n').tryAcquire(wait)),
    ];
    clock.jump(2 * ttl);
    for (const error of await Promise.all(wanted)) {
      expect(error).toEqual(new SessionLostError('no-contact'));
    }
  });

  it('is brought back by no renewal that is answered late', async () => {
    const coordinator = await connectJumping();
    const hold = await coordinator.mutex('m').acquire();
    clock.jump(2 * ttl);
    await clock.advance(4 * ttl);
    // Which of our timers is first to run late: that of the deadline, or that of the next renewal.
    expect(hold.lost).toMatch(/^(no-contact|expired)$/);
    expect(coordinator.session.state).toBe('lost');
  });

  it('is told only when it is long enough to matter, and something is held', async () => {
    const coordinator = await connectJumping();
    const told = record(coordinator.session);
    await clock.advance(10_000);
    clock.jump(4_000);
    await clock.advance(5_000);
    expect(told).toEqual([]);
    const hold = await coordinator.mutex('m').acquire();
    clock.jump(1_000);
    await clock.advance(5_000);
    expect(told).toEqual([]);
    clock.jump(4_000);
    await clock.advance(0);
    expect(told.length).toBe(1);
    expect(hold.lost).toBe(undefined);
  });
});
