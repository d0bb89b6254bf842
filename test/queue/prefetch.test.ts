import { describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/core/time/clock.js';
import { deferred } from '../../src/core/time/deferred.js';
import { abortable } from '../../src/core/time/signals.js';
import { type Job, type Session, WaitTimeoutError, type WatchEvent } from '../../src/index.js';
import { Consumer, type JobSource, type Jobs } from '../../src/queue/consumer.js';
import { Hand } from '../../src/queue/hand.js';
import { VirtualClock } from '../../src/testing/index.js';
import { collected } from '../support/collected.js';
import {
  type CountedQueue,
  claims,
  counted,
  ends,
  nothingIsLeft,
  patience,
  upTo,
} from '../support/counted-queue.js';
import { useEtcd } from '../support/etcd.js';
import { noAnswer, override } from '../support/override.js';

const etcd = useEtcd();

type Calls = readonly Jobs<number>[];
const callsOf = (jobs: readonly Job<number>[]): Calls => jobs.map((job) => [job] as const);
const never = new AbortController().signal;
const noJobs: JobSource<number> = {
  size: 1,
  next: () => new Promise<never>(() => {}),
  tryNext: () => Promise.resolve([]),
  isLeft: () => Promise.resolve(false),
};

/** Puts jobs until some were claimed that have to wait for the one handler: so that is held by the first of a claim of several. */
async function holding({ queue, claimed }: CountedQueue) {
  const begun: number[] = [];
  const go = deferred<void>();
  const held = new AbortController();
  const consumer = queue.consume(async ({ value }) => {
    begun.push(value);
    if (held.signal.aborted || (claimed.at(-1) ?? 0) === 1) return;
    held.abort();
    await go.promise;
  });
  let count = 0;
  while (!held.signal.aborted) {
    await queue.putMany(upTo(100).map((i) => count + i));
    count += 100;
    await queue.drained({ ...patience, signal: held.signal }).catch(() => {});
  }
  return { consumer, begun, go, count };
}

/** A process that hears of nothing, and gets no answer so many times, once that `isOn`. */
async function lateProcess() {
  const late = { isOn: false, answers: 0, lost: 0, go: deferred<void>() };
  const process = await etcd.connect({ session: { ttl: 2_000 } }, (store) =>
    override(store, {
      watch: (range, listener, options) => {
        const events = (changes: readonly WatchEvent[]): void =>
          void (late.isOn
            ? late.go.promise.then(() => listener.events(changes))
            : listener.events(changes));
        const gap = (revision: bigint): void => listener.gap(revision);
        const closed = (error: Error): void => listener.closed(error);
        return store.watch(range, { events, gap, closed }, options);
      },
      commit: async (txn, options) => {
        const reply = await store.commit(txn, options);
        if (!late.isOn || late.lost >= late.answers) return reply;
        late.lost += 1;
        throw noAnswer();
      },
    }),
  );
  return { process, late };
}

describe('jobs that are taken before there is a handler for them', () => {
  it('are those of handlers that take no time: several in one step, begun in their order', async () => {
    const own = await counted(etcd);
    const { consumer, begun, go, count } = await holding(own);
    go.resolve();
    await nothingIsLeft(etcd, own.queue);
    await consumer.close();
    expect(begun).toEqual(upTo(count));
    expect(Math.max(...own.claimed)).toBeGreaterThan(1);
    expect(Math.max(...own.claimed)).toBeLessThanOrEqual(64);
  });

  it('go back where a handler takes longer: others get them, as if nobody had', async () => {
    const own = await counted(etcd);
    const { consumer, begun, go, count } = await holding(own);
    const other = await etcd.connect();
    const left: Job<number>[] = [];
    const before = [...begun];
    while (before.length + left.length < count) {
      left.push(await other.queue<number>(own.queue.name).next(patience));
    }
    expect(begun).toEqual(before);
    const values = left.map(({ value }) => value).toSorted((a, b) => a - b);
    expect([...before, ...values]).toEqual(upTo(count));
    expect(left.every(({ attempt }) => attempt === 1)).toBe(true);
    await Promise.all(left.map((job) => job.ack()));
    go.resolve();
    await nothingIsLeft(etcd, own.queue);
    await consumer.close();
  });

  it('go back where a handler lets nothing else happen meanwhile', async () => {
    const given: number[] = [];
    const left = [upTo(3), [3]];
    let now = 0;
    const clock = { ...systemClock, now: () => now, after: () => () => {} };
    const hand = new Hand<number>(clock, 8, {
      take: () => Promise.resolve(left.shift() ?? []),
      giveBack: (items) => Promise.resolve(given.push(...items)),
    });
    expect(await hand.next()).toBe(0);
    now += 19;
    expect(await hand.next()).toBe(1);
    now += 20;
    expect(await hand.next()).toBe(3);
    expect(given).toEqual([2]);
  });

  it('leave nothing behind where they went back', async () => {
    const left = [upTo(2), upTo(2)];
    const results: WeakRef<object>[] = [];
    const hand = new Hand<number>(systemClock, 8, {
      take: () => Promise.resolve(left.shift() ?? []),
      giveBack: () => {
        const result = {};
        results.push(new WeakRef(result));
        return Promise.resolve(result);
      },
    });
    for (const given of [1, 2]) {
      await hand.next();
      await hand.empty();
      expect(results).toHaveLength(given);
    }
    expect(await collected(() => results.every((each) => each.deref() === undefined))).toBe(true);
    await hand.empty();
  });

  it('go back with the session of a consumer that nobody has closed', async () => {
    const own = await counted(etcd);
    const { begun, go, count } = await holding(own);
    const [name, before] = [own.queue.name, [...begun]];
    const closed = own.coordinator.close();
    go.resolve();
    await closed;
    expect(begun).toEqual(before);
    const left = (await etcd.connect()).queue<number>(name);
    const attempts: number[][] = [];
    while (attempts.length <= count - before.length) {
      const job = await left.next(patience);
      attempts.push([job.value, job.attempt]);
      await job.ack();
    }
    const [first, ...others] = attempts;
    expect(first).toEqual([before.at(-1), 2]);
    expect(others).toEqual(
      upTo(count)
        .slice(before.length)
        .map((value) => [value, 1]),
    );
  });

  it('are begun in their order where they went back, and came again', async () => {
    const own = await counted(etcd);
    const { consumer, begun, go, count } = await holding(own);
    const parts = own.claimed.length;
    const folder = `queue/${own.queue.name}/ready/`;
    const claimed = async (): Promise<number> => {
      const { kvs } = await etcd.admin.read({ key: folder, end: folder.replace(/.$/, '0') });
      return kvs.filter(({ key }) => key.toString().includes('!c/')).length;
    };
    await vi.waitFor(async () => expect(await claimed()).toBe(1), patience);
    go.resolve();
    await nothingIsLeft(etcd, own.queue);
    await consumer.close();
    expect(own.claimed.length).toBeGreaterThan(parts);
    expect(begun).toEqual(upTo(count));
  });

  it.each(['arrives', 'is lost', 'is lost with the session'] as const)(
    'are begun in their order where they went back, the answer to that %s, and nothing is told of it yet',
    async (answer) => {
      const { process, late } = await lateProcess();
      const queue = process.queue<number>(etcd.name('queue'));
      await queue.putMany(upTo(3));
      const other = await etcd.connect();
      await other.queue<number>(queue.name).next(patience);
      await other.close(0);
      // Who has waited in vain is told of what comes.
      await queue.pause('for a moment');
      await expect(queue.next({ timeout: 50 })).rejects.toThrow(WaitTimeoutError);
      await queue.resume();
      const told = (jobs: readonly Job<number>[]): number[][] =>
        jobs.map(({ value, attempt }) => [value, attempt]);
      // One of them was lost before: that is written with its end.
      const taken = await queue.nextMany(2, patience);
      expect(told(taken)).toEqual([
        [0, 2],
        [1, 1],
      ]);
      late.answers = { arrives: 0, 'is lost': 1, 'is lost with the session': Infinity }[answer];
      late.isOn = true;
      const released = Promise.allSettled(taken.map((job) => job.release()));
      await vi.waitFor(() => expect(late.lost > 0 || late.answers === 0).toBe(true), patience);
      if (late.answers > 1) await etcd.admin.revoke(process.session.id);
      await released;
      late.answers = 0;
      expect(told(await queue.nextMany(2, patience))).toEqual(told(taken));
      late.go.resolve();
    },
  );

  it('go back before their consumer is closed, though they come when its handlers have ended', async () => {
    const { queue } = await counted(etcd);
    await queue.putMany(upTo(3));
    const jobs = await queue.nextMany(3, patience);
    const late = deferred<Calls>();
    const given = [Promise.resolve(callsOf(jobs.slice(0, 2))), late.promise];
    const next: JobSource<number>['next'] = (_, { signal = never }) =>
      given.shift() ?? abortable(new Promise(() => {}), signal);
    const go = deferred<void>();
    const { session } = await etcd.connect();
    const handler = (): Promise<void> => go.promise;
    const consumer = new Consumer(session, { ...noJobs, next }, handler, { concurrency: 2 });
    await vi.waitFor(() => expect(consumer.size).toBe(2), patience);
    const closed = consumer.close(60_000);
    go.resolve();
    await Promise.race([closed, vi.waitFor(() => expect(consumer.size).toBe(0), patience)]);
    late.resolve(callsOf(jobs.slice(2)));
    await closed;
    expect(await queue.tryNext(patience)).toMatchObject({ value: 2, attempt: 1 });
  });

  it('go back before their consumer is closed, though they are still being claimed', async () => {
    const [asked, go] = [deferred<void>(), deferred<void>()];
    const { queue } = await counted(etcd, {}, (txn) => {
      if (claims(txn) === 0) return undefined;
      asked.resolve();
      return go.promise;
    });
    const consumer = queue.consume(() => {});
    await queue.put(1);
    await asked.promise;
    const closed = consumer.close();
    const first = await Promise.race([closed, etcd.count(`queue/${queue.name}/ready/`)]);
    expect(first).toBeTypeOf('number');
    go.resolve();
    await closed;
    expect(await queue.tryNext(patience)).toMatchObject({ value: 1, attempt: 1 });
  });

  it.each(['pause', 'close'] as const)('go back at once with `%s`', async (how) => {
    const own = await counted(etcd);
    const { consumer, begun, go, count } = await holding(own);
    const closed = how === 'close' ? consumer.close(60_000) : consumer.pause();
    go.resolve();
    await closed;
    const left: number[] = [];
    for (
      let job = await own.queue.tryNext(patience);
      job;
      job = await own.queue.tryNext(patience)
    ) {
      expect(job.attempt).toBe(1);
      left.push(job.value);
      await job.ack();
    }
    if (how === 'pause') await nothingIsLeft(etcd, own.queue);
    await consumer.close();
    expect([...begun, ...left].toSorted((a, b) => a - b)).toEqual(upTo(count));
    expect(left.length).toBeGreaterThan(0);
  });

  it('are for all handlers of who drains: none ends before', async () => {
    const { queue } = await counted(etcd);
    await queue.putMany(upTo(2));
    const calls = callsOf(await queue.nextMany(2, patience));
    const looked = deferred<void>();
    const all = deferred<void>();
    const tries = [Promise.resolve<Calls>([]), looked.promise.then(() => calls)];
    const tryNext = (): Promise<Calls> => tries.shift() ?? Promise.resolve([]);
    const left = deferred<boolean>();
    const isLeft = (): Promise<boolean> => {
      looked.resolve();
      return left.promise;
    };
    const begun: number[] = [];
    const handler = ([job]: Jobs<number>): unknown => {
      if (begun.push(job.value) === 2) all.resolve();
      left.resolve(false);
      return job.value === 0 ? all.promise : undefined;
    };
    const { session } = await etcd.connect();
    const source = { ...noJobs, tryNext, isLeft };
    const consumer = new Consumer(session, source, handler, { concurrency: 2 });
    await consumer.drain();
    expect(begun).toEqual(upTo(2));
  });

  it('are not begun once they were lost', async () => {
    const { queue } = await counted(etcd);
    await queue.putMany(upTo(3));
    const jobs = await queue.nextMany(3, patience);
    const [, second] = jobs;
    await second?.release();
    const { clock, closing } = (await etcd.connect()).session;
    // No handler is ever late.
    const timeless = {
      ...clock,
      now: () => 0,
      sleep: clock.sleep.bind(clock),
      after: () => () => {},
    };
    const session = { clock: timeless, closing, track: <W>(work: W): W => work };
    const given = [jobs.map((job) => [job] as const)];
    const source = {
      size: 1,
      next: () => Promise.resolve(given.shift() ?? new Promise<never>(() => {})),
      tryNext: () => Promise.resolve(given.shift() ?? []),
      isLeft: () => Promise.resolve(false),
    };
    const begun: number[] = [];
    const handler = ([job]: Jobs<number>): void => void begun.push(job.value);
    const consumer = new Consumer(session as unknown as Session, source, handler, {});
    await consumer.drain();
    expect(begun).toEqual([0, 2]);
  });

  it('are not begun once they were lost while the end of another was being written', async () => {
    const blocked = deferred<void>();
    const { queue } = await counted(etcd, { visibility: 100 }, (txn) =>
      ends(txn) > 0 ? blocked.promise : undefined,
    );
    await queue.putMany(upTo(2));
    const begun: [number, boolean][] = [];
    const consumer = queue.consume(({ value, isHeld }) => void begun.push([value, isHeld]), {
      prefetch: 1,
    });
    await vi.waitFor(() => expect(begun).toHaveLength(1), patience);
    const other = (await etcd.connect()).queue<number>(queue.name);
    const left = await Promise.all([other.next(patience), other.next(patience)]);
    expect(left.map(({ value }) => value).toSorted((a, b) => a - b)).toEqual(upTo(2));
    blocked.resolve();
    await Promise.all(left.map((job) => job.ack()));
    await nothingIsLeft(etcd, queue);
    await consumer.close();
    expect(begun).toEqual([[0, true]]);
  });

  it('are no more than may be on their way to their end', async () => {
    const blocked = deferred<void>();
    let isBlocked = false;
    const { queue } = await counted(etcd, {}, (txn) =>
      isBlocked && ends(txn) > 0 ? blocked.promise : undefined,
    );
    const begun: number[] = [];
    const consumer = queue.consume(({ value }) => void begun.push(value), { prefetch: 4 });
    await queue.putMany(upTo(200));
    await vi.waitFor(() => expect(begun.length).toBeGreaterThan(50), patience);
    isBlocked = true;
    const before = begun.length;
    await queue.putMany(upTo(200));
    await vi.waitFor(() => expect(begun.length).toBeGreaterThan(before), patience);
    expect(begun.length).toBeLessThanOrEqual(before + 16);
    blocked.resolve();
    await nothingIsLeft(etcd, queue);
    await consumer.close();
    expect(begun).toHaveLength(400);
  });

  it('are none with 1: nothing is begun before the end of the one before is written', async () => {
    let isEnding = 0;
    let isDone = 0;
    const { queue, claimed } = await counted(etcd);
    const begun: number[] = [];
    const consumer = queue.consume(
      ({ value }) => {
        begun.push(value);
        isEnding = Math.max(isEnding, begun.length - isDone);
      },
      { prefetch: 1 },
    );
    consumer.on('done', () => {
      isDone += 1;
    });
    await queue.putMany(upTo(100));
    await nothingIsLeft(etcd, queue);
    await consumer.close();
    expect(begun).toEqual(upTo(100));
    expect(Math.max(...claimed)).toBe(1);
    expect(isEnding).toBe(1);
  });

  it('want a whole number', async () => {
    const { queue } = await counted(etcd);
    for (const prefetch of [0, -1, 1.5, Number.NaN, '5', null]) {
      expect(() => queue.consume(() => {}, { prefetch: prefetch as number })).toThrow(
        /^prefetch must be/,
      );
    }
  });
});

describe('how many are taken for a handler', () => {
  const none = { take: () => Promise.resolve([]), giveBack: () => Promise.resolve() };
  const handOf = (limit: number): Hand<number> => new Hand(new VirtualClock(), limit, none);

  it('is one until it is known how long they take', () => {
    const hand = handOf(64);
    expect(hand.most).toBe(1);
    hand.ended(5);
    expect(hand.most).toBe(1);
    hand.handled(1);
    expect(hand.most).toBe(5);
  });

  it.each([
    { what: 'handle while one acknowledgement is on its way', handled: 2, ended: 9, most: 4 },
    { what: 'may be', handled: 0, ended: 3, most: 8 },
    { what: 'can, and one at least', handled: 20, ended: 3, most: 1 },
    { what: 'can where no time passes, and one at least', handled: 0, ended: 0, most: 1 },
    { what: 'could if etcd answered', handled: 10, ended: 60_000, limit: 64, most: 2 },
    { what: 'may be, and one at least', handled: 0, ended: 5, limit: 0, most: 1 },
  ])('is as many as they $what', ({ handled, ended, limit = 8, most }) => {
    const hand = handOf(limit);
    hand.handled(handled);
    hand.ended(ended);
    expect(hand.most).toBe(most);
  });
});
