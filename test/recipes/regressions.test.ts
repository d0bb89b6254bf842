import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  ClosedError,
  type Coordinator,
  type Hold,
  HoldLostError,
  type KeyValue,
  RefusedError,
  SessionLostError,
  type Term,
} from '../../src/index.js';
import { Call, enough } from '../support/call.js';
import { compact, useEtcd } from '../support/etcd.js';
import { has, override } from '../support/override.js';
import { type Awaited, awaited, held } from '../support/waits.js';

// What went wrong in other libraries, tried on every recipe of ours; whose fault it was is said above each.

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };

/** All keys that have to do with a name. */
async function keysOf(name: string): Promise<KeyValue[]> {
  const { kvs } = await etcd.admin.read({ key: '\0', end: '\0' });
  return kvs.filter(({ key }) => key.toString().includes(name));
}

/** A wait of each kind, with somebody in its way. */
interface Waiting {
  readonly what: string;
  readonly bound: boolean;
  readonly name: string;
  readonly call: Call<unknown>;
  readonly free: () => Promise<unknown>;
}

/** Has somebody wait for everything that there is to wait for. */
async function waitForAll(
  waiter: Coordinator,
  isMeant: (each: Awaited) => boolean = () => true,
): Promise<Waiting[]> {
  const blocker = await etcd.connect();
  const all: Waiting[] = [];
  for (const [what, each] of Object.entries(awaited).filter(([, one]) => isMeant(one))) {
    const name = etcd.name();
    etcd.defer(() => clear(name));
    const free = await each.block(blocker, name);
    const before = (await keysOf(name)).length;
    const call = new Call((wait) => each.wait(waiter, name, wait));
    const isThere = async (): Promise<boolean> => (await keysOf(name)).length > before;
    if (each.bound) await vi.waitUntil(isThere, patience);
    all.push({ what, bound: each.bound, name, call, free });
  }
  // Those that have no key are on their way.
  await delay(50);
  expect(states(all)).toEqual(all.map(({ what }) => [what, 'waiting']));
  return all;
}

async function clear(name: string): Promise<void> {
  const success = (await keysOf(name)).map(({ key }) => ({ delete: { key } }));
  if (success.length > 0) await etcd.admin.commit({ success });
}

const states = (all: readonly Waiting[]): [string, string][] =>
  all.map(({ what, call }) => [what, call.state]);

async function allEnd(all: readonly Waiting[], state: Call<unknown>['state']): Promise<void> {
  const expected = all.map(({ what }) => [what, state]);
  await vi.waitFor(() => expect(states(all)).toEqual(expected), patience);
}

/** One hold of each kind. */
async function holdAll(coordinator: Coordinator): Promise<[string, Hold][]> {
  const all: [string, Hold][] = [];
  for (const [what, { acquire }] of Object.entries(held)) {
    const name = etcd.name();
    etcd.defer(() => clear(name));
    all.push([what, await acquire(coordinator, name)]);
  }
  const name = etcd.name();
  etcd.defer(() => clear(name));
  all.push(['inside of a double barrier', await coordinator.doubleBarrier(name, 1).enter()]);
  return all;
}

describe('everything that waits', () => {
  // etcd#9715, etcd3#31, etcd3#78, kazoo#29: a watch that could not go on ended the wait, or nobody learned of it.
  it('goes on after it was cut off while history was compacted', async () => {
    const proxy = await etcd.startProxy();
    const waiter = await etcd.connect({ endpoints: [proxy.endpoint] });
    const all = await waitForAll(waiter);
    proxy.cut();
    const key = `noise/${etcd.name()}`;
    for (let i = 0; i < 3; i += 1)
      await etcd.admin.commit({ success: [{ put: { key, value: '' } }] });
    await etcd.admin.commit({ success: [{ delete: { key } }] });
    await compact(etcd.endpoint, etcd.admin);
    proxy.heal();
    await delay(100);
    expect(states(all)).toEqual(all.map(({ what }) => [what, 'waiting']));
    await Promise.all(all.map(({ free }) => free()));
    await allEnd(all, 'done');
  });

  // The same, where what is waited for came about meanwhile.
  it('learns what came about while it was cut off and history was compacted', async () => {
    const proxy = await etcd.startProxy();
    const waiter = await etcd.connect({ endpoints: [proxy.endpoint] });
    const all = await waitForAll(waiter);
    proxy.cut();
    const freed = Promise.all(all.map(({ free }) => free()));
    await delay(50);
    await compact(etcd.endpoint, etcd.admin);
    proxy.heal();
    await freed;
    await allEnd(all, 'done');
  });

  // etcd#19597, kazoo#282, charts#326: blocked until all who are before it are gone, or led without a key.
  it('is told within half a second that its session died, while those in its way go on', async () => {
    const waiter = await etcd.connect();
    const all = await waitForAll(waiter, ({ bound }) => bound);
    await etcd.admin.revoke(waiter.session.id);
    await vi.waitFor(
      () => expect(states(all).every(([, state]) => state === 'failed')).toBe(true),
      {
        timeout: 500,
        interval: 5,
      },
    );
    const lost = all.map(({ what, call: { error } }) => [
      what,
      error instanceof HoldLostError || error instanceof SessionLostError,
    ]);
    expect(lost).toEqual(all.map(({ what }) => [what, true]));
  });

  // The barriers of Go's recipes let through who waited when the client was closed.
  it('rejects when its session is closed, and passes by nobody', async () => {
    const waiter = await etcd.connect();
    const all = await waitForAll(waiter);
    await waiter.close(0);
    await allEnd(all, 'failed');
    const closed = all.map(({ what, call }) => [what, call.error instanceof ClosedError]);
    expect(closed).toEqual(all.map(({ what }) => [what, true]));
  });

  // CURATOR-79, CURATOR-205, redisson#2714: who gave up left a node behind, and nobody got past it.
  it('leaves nothing in the way of others when it is given up in an outage', async () => {
    const proxy = await etcd.startProxy();
    const waiter = await etcd.connect({ endpoints: [proxy.endpoint], session: { ttl: 60_000 } });
    const all = await waitForAll(waiter, ({ bound }) => bound);
    const others = await etcd.connect();
    proxy.cut();
    for (const { call } of all) call.abort();
    await allEnd(all, 'failed');
    expect(all.map(({ call }) => call.error)).toEqual(all.map(() => enough));
    proxy.heal();
    const { id } = waiter.session;
    await vi.waitFor(async () => {
      for (const { what, name } of all) {
        const left = (await keysOf(name)).filter(({ lease }) => lease === id);
        expect([what, left.length]).toEqual([what, 0]);
      }
    }, patience);
    const next = all.flatMap(({ what, name }) => {
      const by = what.includes('barrier') ? [others, waiter] : [others];
      return by.map((each) => (awaited[what] as Awaited).wait(each, name));
    });
    const holds = all.filter(({ what }) => !what.includes('barrier'));
    await Promise.all(holds.map(({ free }) => free()));
    await Promise.all(next);
  });
});

describe('everything that is held', () => {
  // redisson#4698, kazoo#565, CURATOR-604, go-zookeeper#20, etcd#6127, etcd3#158, etcd-java#49: the holder was never told;
  // cilium#42920: or too late.
  it('is told lost before etcd removes its key, where contact is lost', {
    timeout: 180_000,
  }, async () => {
    const proxy = await etcd.startProxy();
    const coordinator = await etcd.connect({
      endpoints: [proxy.endpoint],
      session: { ttl: 2_000 },
    });
    const all = await holdAll(coordinator);
    const said = all.map(
      ([what, hold]) =>
        new Promise((resolve) => {
          const listener = {
            events: () => resolve([what, hold.signal.aborted && hold.lost]),
            gap: () => {},
            closed: () => {},
          };
          const options = { from: hold.token, only: 'delete' } as const;
          const watch = etcd.admin.watch({ key: hold.key }, listener, options);
          etcd.defer(() => watch.close());
        }),
    );
    await delay(500 + 500 * Math.random());
    proxy.blackhole();
    expect(await Promise.all(said)).toEqual(all.map(([what]) => [what, 'no-contact']));
  });

  // The same, where somebody ended the session.
  it('is told lost when its lease is revoked', async () => {
    const coordinator = await etcd.connect();
    const all = await holdAll(coordinator);
    await etcd.admin.revoke(coordinator.session.id);
    await vi.waitFor(() => {
      expect(all.map(([what, { signal }]) => [what, signal.aborted])).toEqual(
        all.map(([what]) => [what, true]),
      );
    }, patience);
    const released = await Promise.all(
      all.map(async ([what, hold]) => [what, await hold.release()]),
    );
    expect(released).toEqual(all.map(([what]) => [what, false]));
  });

  // bullmq#3056, bullmq#3183, bull#1416, redis-semaphore#24, kazoo#241, redlock#309: a process that stood still goes on as if it
  // held it.
  it('is found lost by the first code that runs after the event loop stood still too long', async () => {
    const coordinator = await etcd.connect({ session: { ttl: 2_000 } });
    const all = await holdAll(coordinator);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_700);
    const found = all.map(([what, hold]) => [what, hold.signal.aborted, hold.remaining()]);
    expect(found).toEqual(all.map(([what]) => [what, true, 0]));
  });

  // CURATOR-678: a release in an outage left the lock taken for ever.
  it('is given back when the outage is over in which it was released', async () => {
    const proxy = await etcd.startProxy();
    const coordinator = await etcd.connect({
      endpoints: [proxy.endpoint],
      session: { ttl: 60_000 },
    });
    const all = await holdAll(coordinator);
    proxy.cut();
    const released = all.map(async ([what, hold]) => [what, await hold.release()]);
    await delay(200);
    for (const [what, { key }] of all) expect([what, await etcd.count(key)]).toEqual([what, 1]);
    proxy.heal();
    expect(await Promise.all(released)).toEqual(all.map(([what]) => [what, true]));
    for (const [what, { key }] of all) expect([what, await etcd.count(key)]).toEqual([what, 0]);
  });

  // controller-runtime#1774, VictoriaMetrics/operator#165: everybody was dropped whenever the store was slow.
  it('stays held while etcd is slow, but not too slow', async () => {
    const proxy = await etcd.startProxy();
    const coordinator = await etcd.connect({
      endpoints: [proxy.endpoint],
      session: { ttl: 3_000 },
    });
    const all = await holdAll(coordinator);
    proxy.delay(100);
    await delay(4_000);
    expect(all.map(([what, { lost }]) => [what, lost])).toEqual(
      all.map(([what]) => [what, undefined]),
    );
    proxy.heal();
  });

  // consul#1162: one loss took everything along.
  it('is not lost with the session of somebody else in the same process', async () => {
    const [one, other] = [await etcd.connect(), await etcd.connect()];
    const [lost, kept] = [await holdAll(one), await holdAll(other)];
    await etcd.admin.revoke(one.session.id);
    await vi.waitFor(
      () => expect(lost.every(([, { signal }]) => signal.aborted)).toBe(true),
      patience,
    );
    const released = await Promise.all(
      kept.map(async ([what, hold]) => [what, await hold.release()]),
    );
    expect(released).toEqual(kept.map(([what]) => [what, true]));
  });

  // Delays by the clocks of several hosts, as those of bullmq, and time that is set back.
  it('is held and handed over whatever the wall clock says', async () => {
    const day = 86_400_000;
    const [coordinator, other] = [await etcd.connect(), await etcd.connect()];
    const now = Date.now();
    let off = 0;
    const spy = vi.spyOn(Date, 'now').mockImplementation(() => now + (off = off > 0 ? -day : day));
    onTestFinished(() => spy.mockRestore());
    const all = await holdAll(coordinator);
    await delay(100);
    expect(all.map(([what, { lost }]) => [what, lost])).toEqual(
      all.map(([what]) => [what, undefined]),
    );
    const name = etcd.name();
    const hold = await coordinator.mutex(name).acquire();
    const next = other.mutex(name).acquire({ timeout: 60_000 });
    expect(await hold.release()).toBe(true);
    expect(await (await next).release()).toBe(true);
  });
});

describe.each(Object.entries(held))('%s', (what, { acquire }) => {
  // etcd#6278: who waited for `a` waited for whoever had `a/b`. In Go's layout names contain one another, as in Go's package.
  it.skipIf(what.includes('Go'))(
    'has nothing to do with one whose name lies inside its own',
    async () => {
      const [a, b] = [await etcd.connect(), await etcd.connect()];
      const name = etcd.name();
      etcd.defer(() => clear(name));
      for (const [outer, inner] of [
        [name, `${name}/b`],
        [`${name}x/`, `${name}x//`],
        [`${name}y`, `${name}y%2F`],
      ] as const) {
        await using first = await acquire(a, inner);
        await using second = await acquire(b, outer, { timeout: 60_000 });
        expect([first.lost, second.lost]).toEqual([undefined, undefined]);
      }
    },
  );

  // curator#307, kubernetes#109554, and a read lock of Go's that is taken twice: keys that nobody ever removed.
  it('leaves no key behind of one object that was used twice, and by many', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name();
    etcd.defer(() => clear(name));
    for (let i = 0; i < 2; i += 1) {
      const holds = [
        acquire(coordinator, name),
        acquire(coordinator, name),
        acquire(coordinator, name),
      ];
      await Promise.all(holds.map(async (hold) => (await hold).release()));
    }
    // What a semaphore's users have agreed on stays.
    const left = what === 'permits' ? 1 : 0;
    await vi.waitFor(async () => expect((await keysOf(name)).length).toBe(left), patience);
  });

  // redisson#3580, redisson#4956, redisson#6878, CURATOR-604: it belonged to a thread, and tasks of one thread were one owner.
  it.skipIf(what === 'read side')(
    'belongs to who has the hold in hands, whichever task asked for it',
    async () => {
      const coordinator = await etcd.connect();
      const name = etcd.name();
      etcd.defer(() => clear(name));
      const hold = await acquire(coordinator, name);
      const next = new Call((wait) => acquire(coordinator, name, wait));
      await delay(50);
      expect(next.state).toBe('waiting');
      const elsewhere = new Promise((resolve) => setTimeout(() => resolve(hold.release()), 1));
      expect(await elsewhere).toBe(true);
      await vi.waitFor(() => expect(next.state).toBe('done'), patience);
      expect(await next.value?.release()).toBe(true);
    },
  );
});

// redlock#309, redis-semaphore#199, redlock#283: an error of the lock's own hid that of the work, or ended the process.
describe('work that fails', () => {
  const works = ['mutex', 'election'] as const;
  it.each(works)('is told by its own error, whatever becomes of the %s', async (what) => {
    let isRefused = false;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: (txn, options) =>
          isRefused && has('delete', txn)
            ? Promise.reject(new RefusedError('PERMISSION_DENIED', 'not now'))
            : store.commit(txn, options),
      }),
    );
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', note);
    onTestFinished(() => void process.off('unhandledRejection', note));
    const run = (work: (hold: Hold) => Promise<void>): Promise<void> =>
      what === 'mutex'
        ? coordinator.mutex(etcd.name()).run(work)
        : coordinator.election(etcd.name()).run('me', work);
    const error = new Error('the work failed');
    const refused = run(() => {
      isRefused = true;
      return Promise.reject(error);
    });
    await expect(refused).rejects.toBe(error);
    isRefused = false;
    const lost = run(async (hold) => {
      await etcd.admin.commit({ success: [{ delete: { key: hold.key } }] });
      await vi.waitFor(() => expect(hold.lost).toBe('deleted'), patience);
      throw error;
    });
    await expect(lost).rejects.toBe(error);
    await delay(20);
    expect(unhandled).toEqual([]);
  });
});

describe.each(['recipes', 'go'] as const)('an election in the layout %s', (layout) => {
  // CURATOR-444, CURATOR-620, CURATOR-653, CURATOR-696, etcd-client#14, kubernetes#23731: several led at once; etcd3#176: who was
  // behind one that gave up took the lead.
  it('has one leader, however many campaign at once and whoever among them gives up', async () => {
    const name = etcd.name();
    const coordinators = await Promise.all(Array.from({ length: 8 }, () => etcd.connect()));
    const leading = new Set<Term>();
    let most = 0;
    let led = 0;
    const campaigns = coordinators.map((coordinator, i) => {
      return new Call(async (wait) => {
        const term = await coordinator.election(name, { layout }).campaign(`${i}`, wait);
        leading.add(term);
        most = Math.max(most, leading.size);
        led += 1;
        await delay(20);
        leading.delete(term);
        await term.resign();
      });
    });
    const election = (coordinators[0] as Coordinator).election(name, { layout });
    await vi.waitFor(async () => {
      expect((await election.inspect()).candidates.length + led).toBeGreaterThanOrEqual(8);
    }, patience);
    const waiting = campaigns.filter(({ state }) => state === 'waiting');
    // One who waits before others, and who does not lead yet.
    const { candidates } = await election.inspect();
    const middle = Number(candidates[2]?.value);
    campaigns[middle]?.abort();
    await vi.waitFor(() => {
      expect(campaigns.every(({ state }) => state !== 'waiting')).toBe(true);
    }, patience);
    expect(waiting.length).toBeGreaterThan(2);
    expect(most).toBe(1);
    expect(led).toBeGreaterThanOrEqual(7);
  });
});
