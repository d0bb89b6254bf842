import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  BrokenBarrierError,
  ClosedError,
  ConflictError,
  type Coordinator,
  type CyclicBarrier,
  HoldLostError,
  type Passage,
  SessionLostError,
  type Store,
  WaitTimeoutError,
  type Watch,
  type WatchEvent,
} from '../../src/index.js';
import { compact, useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { FaultyStore, faults } from '../support/faulty-store.js';
import { connectLossy } from '../support/lossy.js';
import { noAnswer, override } from '../support/override.js';
import { randomFrom } from '../support/random.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };
const folder = (name: string): string => folderOf('cyclic-barrier', name);

/** The same barrier in so many processes. */
async function processes(count: number, parties = count): Promise<CyclicBarrier[]> {
  const name = etcd.name('cyclic-barrier');
  const all = await etcd.connectAll(count);
  return all.map((each) => each.cyclicBarrier(name, parties));
}

async function waiting(barrier: CyclicBarrier, count: number): Promise<void> {
  await vi.waitFor(
    async () => expect((await barrier.inspect()).waiting.length).toBe(count),
    patience,
  );
}

/** Waits until nobody's key is left, and of the barrier's own only those of the last two rounds. */
async function isClean(name: string): Promise<void> {
  await vi.waitFor(async () => {
    const { kvs } = await etcd.admin.read(prefixRange(folder(name)));
    expect(kvs.filter(({ lease }) => lease > 0n)).toEqual([]);
  }, patience);
}

/** What a call rejects with; `undefined` if it does not. */
function rejection(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => undefined,
    (error: unknown) => error,
  );
}

function indexes(passages: readonly Passage[]): number[] {
  return passages.map(({ index }) => index).toSorted((a, b) => a - b);
}

describe('a cyclic barrier', () => {
  it('lets all go on when the last has come, and begins anew', async () => {
    const [a, b, c] = (await processes(3)) as [CyclicBarrier, CyclicBarrier, CyclicBarrier];
    expect(await a.inspect()).toEqual({ generation: undefined, count: undefined, waiting: [] });
    for (let generation = 1; generation <= 5; generation += 1) {
      let passed = 0;
      const pass = async (barrier: CyclicBarrier): Promise<Passage> => {
        const passage = await barrier.wait();
        passed += 1;
        return passage;
      };
      const first = pass(a);
      await waiting(c, 1);
      const second = pass(b);
      await waiting(c, 2);
      expect(passed).toBe(0);
      expect(await c.inspect()).toMatchObject({ generation, count: 3 });
      const third = pass(c);
      expect(await Promise.all([first, second, third])).toEqual([
        { generation, index: 0 },
        { generation, index: 1 },
        { generation, index: 2 },
      ]);
    }
    await isClean(a.name);
    expect(await etcd.count(folder(a.name))).toBeLessThanOrEqual(2);
  });

  it('shows who waits, and since when', async () => {
    const name = etcd.name('cyclic-barrier');
    const a = await etcd.connect({ session: { label: 'a' } });
    const controller = new AbortController();
    const wait = a.cyclicBarrier(name, 2).wait({ signal: controller.signal });
    await waiting(a.cyclicBarrier(name, 2), 1);
    const { waiting: parties } = await a.cyclicBarrier(name, 2).inspect();
    expect(parties).toMatchObject([{ owner: { label: 'a' }, age: expect.any(Number) as number }]);
    controller.abort(new Error('enough'));
    await expect(wait).rejects.toThrow('enough');
  });

  it('takes many at once, more than a transaction has operations', async () => {
    const [a] = (await processes(1, 150)) as [CyclicBarrier];
    for (let generation = 1; generation <= 2; generation += 1) {
      const passages = await Promise.all(Array.from({ length: 150 }, () => a.wait()));
      expect(new Set(passages.map((each) => each.generation))).toEqual(new Set([generation]));
      expect(indexes(passages)).toEqual(Array.from({ length: 150 }, (_, i) => i));
    }
    await isClean(a.name);
  });

  it('tells those who wait of nobody who comes', async () => {
    const name = etcd.name('cyclic-barrier');
    const told: string[] = [];
    const set: Watch[] = [];
    const listening = (store: Store): Store =>
      override(store, {
        watch: (range, below, options) => {
          const events = (batch: readonly WatchEvent[]): void => {
            told.push(...batch.map(({ kv }) => kv.key.toString()));
            below.events(batch);
          };
          const gap = (revision: bigint): void => below.gap(revision);
          const closed = (error: Error): void => below.closed(error);
          const watch = store.watch(range, { events, gap, closed }, options);
          set.push(watch);
          return watch;
        },
      });
    const parties: CyclicBarrier[] = [];
    for (let i = 0; i < 5; i += 1) {
      parties.push((await etcd.connect({}, listening)).cyclicBarrier(name, 5));
    }
    const [last, ...others] = parties as [CyclicBarrier, ...CyclicBarrier[]];
    const waits = others.map((each) => each.wait());
    await waiting(last, 4);
    // One for the round's end and one for who goes; whoever has none yet reads how it ended.
    await vi.waitFor(() => expect(set.length).toBe(8), patience);
    await Promise.all(set.map(({ ready }) => ready));
    expect(told).toEqual([]);
    expect(indexes(await Promise.all([...waits, last.wait()]))).toEqual([0, 1, 2, 3, 4]);
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(0), patience);
  });

  it('lets more than it waits for into as many rounds as that takes', async () => {
    const [a, b] = (await processes(2, 3)) as [CyclicBarrier, CyclicBarrier];
    const passages = await Promise.all(
      Array.from({ length: 12 }, (_, i) => (i % 2 ? a : b).wait()),
    );
    for (let generation = 1; generation <= 4; generation += 1) {
      const round = passages.filter((each) => each.generation === generation);
      expect(indexes(round)).toEqual([0, 1, 2]);
    }
    await isClean(a.name);
  });

  it('lets a party alone pass, if it waits for no other', async () => {
    const [a] = (await processes(1)) as [CyclicBarrier];
    expect(await a.wait()).toEqual({ generation: 1, index: 0 });
    expect(await a.wait()).toEqual({ generation: 2, index: 0 });
  });
});

describe('a round of a cyclic barrier', () => {
  it('is broken by a party whose limit passes: the others are told who, and the next is clean', async () => {
    const name = etcd.name('cyclic-barrier');
    const [a, b] = [await etcd.connect({ session: { label: 'a' } }), await etcd.connect()];
    const [one, other] = [a.cyclicBarrier(name, 3), b.cyclicBarrier(name, 3)];
    const staying = other.wait();
    await waiting(one, 1);
    const leaving = rejection(one.wait({ timeout: 50 }));
    await expect(staying).rejects.toMatchObject({
      code: 'ERR_BARRIER_BROKEN',
      generation: 1,
      reason: 'timeout',
      party: { label: 'a', pid: process.pid },
    });
    expect(await leaving).toBeInstanceOf(WaitTimeoutError);
    const passages = await Promise.all([one.wait(), other.wait(), other.wait()]);
    expect(new Set(passages.map(({ generation }) => generation))).toEqual(new Set([2]));
    await isClean(name);
  });

  it('is broken by a party whose wait is aborted', async () => {
    const [a, b] = (await processes(2, 3)) as [CyclicBarrier, CyclicBarrier];
    const staying = a.wait();
    await waiting(a, 1);
    const controller = new AbortController();
    const leaving = b.wait({ signal: controller.signal });
    await waiting(a, 2);
    controller.abort(new Error('enough'));
    await expect(leaving).rejects.toThrow('enough');
    await expect(staying).rejects.toMatchObject({ reason: 'aborted', generation: 1 });
    await isClean(a.name);
  });

  it('is broken by a party whose session ends', async () => {
    const name = etcd.name('cyclic-barrier');
    const all = await Promise.all(
      ['dies', 'closes', 'stays'].map((label) => etcd.connect({ session: { label } })),
    );
    const [dies, closes, stays] = all as [Coordinator, Coordinator, Coordinator];
    const barrier = stays.cyclicBarrier(name, 3);
    for (const each of [dies, closes]) {
      const label = each === dies ? 'dies' : 'closes';
      const staying = rejection(barrier.wait());
      await waiting(barrier, 1);
      const leaving = each.cyclicBarrier(name, 3).wait();
      await waiting(barrier, 2);
      const end = each === dies ? SessionLostError : ClosedError;
      const told = rejection(leaving);
      await (each === dies ? etcd.admin.revoke(each.session.id) : each.close(0));
      expect(await told).toBeInstanceOf(end);
      expect(await staying).toMatchObject({ reason: 'lost', party: { label } });
    }
    expect(await barrier.inspect()).toMatchObject({ generation: 3, waiting: [] });
  });

  it('is broken where the key of a party is deleted', async () => {
    const [a, b] = (await processes(2, 3)) as [CyclicBarrier, CyclicBarrier];
    const waits = [a.wait(), b.wait()];
    const told = Promise.allSettled(waits);
    await waiting(a, 2);
    const { kvs } = await etcd.admin.read(prefixRange(folder(a.name)));
    const { key } = kvs.find(({ lease }) => lease > 0n) as { key: Buffer };
    await etcd.admin.commit({ success: [{ delete: { key } }] });
    const errors = (await told).map((each) => (each as PromiseRejectedResult).reason as Error);
    expect(errors.map(({ name }) => name).toSorted()).toEqual([
      'BrokenBarrierError',
      'HoldLostError',
    ]);
    await isClean(a.name);
  });

  it.each([1, 2])(
    'concerns nobody who comes when others have died in it unseen (%i)',
    async (dead) => {
      const [a, b] = (await processes(2, 2)) as [CyclicBarrier, CyclicBarrier];
      const round = `${folder(a.name)}000000000001/`;
      const open = { key: `${round}round`, value: '{"count":2}' };
      await etcd.admin.commit({ success: [{ put: open }] });
      const arrival = { key: `${round}arrivals`, value: '' };
      for (let i = 0; i < dead; i += 1) await etcd.admin.commit({ success: [{ put: arrival }] });
      const passages = await Promise.all([a.wait(), b.wait()]);
      expect(passages.map(({ generation }) => generation)).toEqual([2, 2]);
      expect(indexes(passages)).toEqual([0, 1]);
    },
  );

  it('stays tripped when a party that was counted in dies before the others learn of it', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const name = etcd.name('cyclic-barrier');
    const [one, other] = [await etcd.connect(), coordinator];
    const first = one.cyclicBarrier(name, 2).wait();
    await waiting(one.cyclicBarrier(name, 2), 1);
    // The trip arrives; the session of who sent it ends before the answer.
    below.plan('arrives', async (txn) => {
      const reply = await etcd.admin.commit(txn);
      await etcd.admin.revoke(coordinator.session.id);
      return reply;
    });
    const second = other.cyclicBarrier(name, 2).wait();
    await expect(first).resolves.toEqual({ generation: 1, index: 0 });
    await Promise.allSettled([second]);
  });

  it('tells a party of its own when everything is deleted under it', async () => {
    const [a] = (await processes(1, 2)) as [CyclicBarrier];
    const wait = a.wait();
    await waiting(a, 1);
    const told = rejection(wait);
    await etcd.admin.commit({ success: [{ delete: prefixRange(folder(a.name)) }] });
    expect(await told).toBeInstanceOf(HoldLostError);
    const passages = await Promise.all([a.wait(), a.wait()]);
    expect(indexes(passages)).toEqual([0, 1]);
  });

  it('is found again by who waits when history is compacted', async () => {
    const [a, b] = (await processes(2, 2)) as [CyclicBarrier, CyclicBarrier];
    for (let i = 0; i < 3; i += 1) {
      const first = a.wait();
      await waiting(a, 1);
      await compact(etcd.endpoint, etcd.admin);
      const passages = await Promise.all([first, b.wait()]);
      expect(indexes(passages)).toEqual([0, 1]);
    }
  });
});

describe('who uses a cyclic barrier wrongly', () => {
  it('learns that others wait for another number', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name('cyclic-barrier');
    const first = coordinator.cyclicBarrier(name, 2).wait();
    await waiting(coordinator.cyclicBarrier(name, 2), 1);
    const other = coordinator.cyclicBarrier(name, 3);
    await expect(other.wait()).rejects.toThrow(ConflictError);
    await expect(other.wait()).rejects.toThrow(/waits for 2 parties, not 3/);
    expect(await coordinator.cyclicBarrier(name, 2).wait()).toMatchObject({ index: 1 });
    await first;
  });

  it('is told at once what cannot be a barrier', async () => {
    const coordinator = await etcd.connect();
    expect(() => coordinator.cyclicBarrier('', 1)).toThrow(ArgumentError);
    for (const count of [0, 1.5, '2' as unknown as number]) {
      expect(() => coordinator.cyclicBarrier('x', count)).toThrow(/count must be a whole number/);
    }
    await expect(coordinator.cyclicBarrier('x', 1).wait({ timeout: -1 })).rejects.toThrow(
      ArgumentError,
    );
  });
});

describe('a cyclic barrier whose requests go wrong', () => {
  it.each(faults)('lets all go on, each once, with each call meeting a %s', async (fault) => {
    const name = etcd.name('cyclic-barrier');
    let strikes = 0;
    let isFaulty = false;
    const faulty = await etcd.connect({}, (store) => {
      const bad = new FaultyStore(store, fault, () => (strikes += 1));
      const now = (): Store => (isFaulty ? bad : store);
      return override(store, {
        read: (...args) => now().read(...args),
        commit: (...args) => now().commit(...args),
      });
    });
    isFaulty = true;
    const [one, other] = [faulty.cyclicBarrier(name, 2), faulty.cyclicBarrier(name, 2)];
    for (let generation = 1; generation <= 3; generation += 1) {
      const passages = await Promise.all([one.wait(), other.wait()]);
      expect(indexes(passages)).toEqual([0, 1]);
      expect(new Set(passages.map((each) => each.generation)).size).toBe(1);
    }
    expect(strikes).toBeGreaterThan(3);
    await isClean(name);
  });

  const fates = ['loses its reply', 'is lost', 'comes late'] as const;
  const steps = [0, 1, 2, 3];
  it.each(steps.flatMap((step) => fates.map((fate) => [step, fate] as const)))(
    'goes on when write number %i %s',
    async (step, fate) => {
      const { coordinator, below } = await connectFailing(etcd);
      const name = etcd.name('cyclic-barrier');
      const [one, other] = [coordinator.cyclicBarrier(name, 2), coordinator.cyclicBarrier(name, 2)];
      below.plan(...Array.from({ length: step }, () => 'arrives' as const), fate);
      const passages = await Promise.all([one.wait(), other.wait()]);
      expect(indexes(passages)).toEqual([0, 1]);
      for (const arrive of below.arrive) await arrive();
      expect(indexes(await Promise.all([one.wait(), other.wait()]))).toEqual([0, 1]);
      await isClean(name);
    },
  );

  it.each(steps.flatMap((step) => [true, false].map((arrives) => [step, arrives] as const)))(
    'leaves a clean round behind when a wait is aborted at write number %i, which arrives: %s',
    async (step, arrives) => {
      const { coordinator, below } = await connectFailing(etcd);
      const name = etcd.name('cyclic-barrier');
      const healthy = (await etcd.connect()).cyclicBarrier(name, 2);
      const controller = new AbortController();
      let late: (() => Promise<unknown>) | undefined;
      below.plan(...Array.from({ length: step }, () => 'arrives' as const), async (txn) => {
        controller.abort(new Error('enough'));
        if (arrives) return etcd.admin.commit(txn);
        late = () => etcd.admin.commit(txn);
        throw noAnswer();
      });
      const barrier = coordinator.cyclicBarrier(name, 2);
      const leaving = barrier.wait({ signal: controller.signal });
      const first = await Promise.allSettled([
        leaving,
        ...(step > 1 ? [healthy.wait({ timeout: 1_000 })] : []),
      ]);
      // Until the key is given up for good, it may be there again, and count.
      const { oldestLease } = coordinator.session;
      await vi.waitFor(() => expect(oldestLease.size).toBe(0), patience);
      await late?.();
      controller.abort(new Error('enough'));
      const why = first[0].status === 'rejected' ? String(first[0].reason) : 'enough';
      expect(why).toContain('enough');
      await isClean(name);
      const passages = await Promise.all([healthy.wait(), healthy.wait()]);
      expect(indexes(passages)).toEqual([0, 1]);
    },
  );
});

interface Call {
  readonly began: number;
  ended: number;
  passage?: Passage;
  error?: unknown;
}

describe('parties that come and go at random', () => {
  it.each([1, 2, 3, 4, 5, 6])(
    'never go on early, nor in two rounds at once, and leave nothing behind (%i)',
    { timeout: 60_000 },
    async (seed) => {
      const random = randomFrom(seed);
      const name = etcd.name('cyclic-barrier');
      const count = 2 + Math.floor(random() * 3);
      const coordinators: Coordinator[] = [];
      for (let i = 0; i < 4; i += 1) {
        const losses = i % 2 === 1 ? { replies: 0.1, requests: 0.1 } : {};
        coordinators.push(await connectLossy(etcd, random, losses));
      }
      let now = 0;
      const tick = (): number => (now += 1);
      const calls: Call[][] = [];
      const [stop, end] = [Date.now() + 1_000, Date.now() + 30_000];
      const seen = new Set<number>();
      const party = async (i: number): Promise<void> => {
        const coordinator = coordinators[i % coordinators.length] as Coordinator;
        const barrier = coordinator.cyclicBarrier(name, count);
        const mine: Call[] = [];
        calls.push(mine);
        while (Date.now() < (seen.size < 2 ? end : stop)) {
          const limit = random() < 0.2 ? random() * 20 : 1_000;
          const call: Call = { began: tick(), ended: 0 };
          mine.push(call);
          try {
            call.passage = await barrier.wait({ timeout: limit });
            seen.add(call.passage.generation);
          } catch (error) {
            call.error = error;
          }
          call.ended = tick();
          if (random() < 0.02) await etcd.admin.revoke(coordinator.session.id);
          await delay(random() * 5);
        }
      };
      await Promise.all(Array.from({ length: count * 2 + 1 }, (_, i) => party(i)));
      judge(calls, count);
      await isClean(name);
      const barrier = (await etcd.connect()).cyclicBarrier(name, count);
      const last = await Promise.all(Array.from({ length: count }, () => barrier.wait()));
      expect(indexes(last)).toEqual(Array.from({ length: count }, (_, i) => i));
    },
  );
});

function judge(calls: readonly Call[][], count: number): void {
  const rounds = new Map<number, Call[]>();
  for (const mine of calls) {
    let before = 0;
    for (const call of mine) {
      const { passage, error } = call;
      const expected = [BrokenBarrierError, WaitTimeoutError, SessionLostError];
      expect(passage !== undefined || expected.some((each) => error instanceof each)).toBe(true);
      if (!passage) continue;
      expect(passage.generation).toBeGreaterThan(before);
      before = passage.generation;
      rounds.set(before, [...(rounds.get(before) ?? []), call]);
    }
  }
  const all = calls.flat();
  const broken = new Set(
    all.map(({ error }) => (error instanceof BrokenBarrierError ? error.generation : 0)),
  );
  expect(rounds.size).toBeGreaterThan(1);
  for (const [generation, passed] of rounds) {
    expect(broken.has(generation)).toBe(false);
    const found = passed.map(({ passage }) => (passage as Passage).index);
    expect(new Set(found).size).toBe(found.length);
    expect(found.every((index) => index >= 0 && index < count)).toBe(true);
    const first = Math.min(...passed.map(({ ended }) => ended));
    expect(passed.every(({ began }) => began < first)).toBe(true);
    const gaveUp = all.filter(
      ({ began, passage, error }) =>
        !passage && !(error instanceof BrokenBarrierError) && began < first,
    );
    expect(passed.length + gaveUp.length).toBeGreaterThanOrEqual(count);
  }
}
