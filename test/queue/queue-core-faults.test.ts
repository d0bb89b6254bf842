import { describe, expect, it, vi } from 'vitest';
import { ExactlyOnceStore } from '../../src/core/commit/exactly-once-store.js';
import { Session } from '../../src/core/session/session.js';
import { type Clock, systemClock } from '../../src/core/time/clock.js';
import { deferred } from '../../src/core/time/deferred.js';
import {
  JobFailedError,
  type KeyValue,
  Queue,
  RefusedError,
  type Store,
  type Txn,
  UnavailableError,
} from '../../src/index.js';
import { Admission } from '../../src/queue/admission.js';
import { Affinity } from '../../src/queue/affinity.js';
import { Consumer } from '../../src/queue/consumer.js';
import { Dispenser } from '../../src/queue/dispenser.js';
import { Groups } from '../../src/queue/groups.js';
import { Keeper } from '../../src/queue/keeper.js';
import { Lane } from '../../src/queue/lane.js';
import { hintOf, idOf, QueueKeys } from '../../src/queue/queue-keys.js';
import type { Ready } from '../../src/queue/ready.js';
import { Results } from '../../src/queue/results.js';
import { collected } from '../support/collected.js';
import { compact, useEtcd } from '../support/etcd.js';
import { noAnswer, override, putsKey } from '../support/override.js';

const etcd = useEtcd();
const soon = { timeout: 60_000 };
const patience = { timeout: 60_000 };
const keys = new QueueKeys('jobs');

/** Whether a job is claimed by this. */
const isClaim = ({ success = [] }: Txn): boolean =>
  success.some((step) => 'put' in step && String(step.put.key).includes('!c/'));

/** Whether it deletes anything, at whatever depth. */
const deletes = ({ success = [] }: Txn): boolean =>
  success.some((step) => ('txn' in step ? deletes(step.txn) : 'delete' in step));

/** A queue of a process of its own, and how often it was read, so many keys at a time at least. */
async function readQueue(
  name: string,
  keysRead: number,
): Promise<{ readonly jobs: Queue<number>; readonly reads: () => number }> {
  let reads = 0;
  const isRead = ({ success = [] }: Txn): boolean =>
    success.some((step) => 'range' in step && (step.range.limit ?? 0) >= keysRead);
  const coordinator = await etcd.connect({}, (store) =>
    override(store, {
      commit: (txn, options) => {
        if (isRead(txn)) reads += 1;
        return store.commit(txn, options);
      },
    }),
  );
  return { jobs: coordinator.queue<number>(name), reads: () => reads };
}

/** Whether it puts a job. */
const putsJobs = (txn: Txn): boolean => putsKey('/ready/5-', txn);

describe('jobs that are put together', () => {
  it.each([
    ['applied', 'applied', 'applied'],
    ['applied', 'unknown', 'unknown'],
    ['unknown', 'not-applied', 'unknown'],
    ['applied', 'not-applied', 'unknown'],
    ['not-applied', 'applied', 'unknown'],
    ['not-applied', 'answered', 'unknown'],
    ['answered', 'not-applied', 'unknown'],
    ['not-applied', 'not-applied', 'not-applied'],
  ] as const)('are told to be put, or not, only where all are: %s and %s', async (...ends) => {
    const [first, second, outcome] = ends;
    let parts = 0;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: (txn, options) => {
          const end = parts === 0 ? first : second;
          if (putsJobs(txn)) parts += 1;
          if (!putsJobs(txn) || end === 'answered') return store.commit(txn, options);
          const failure = { endpoint: 'test', status: 'DEADLINE_EXCEEDED', message: 'no answer' };
          return Promise.reject(new UnavailableError(end, [failure]));
        },
      }),
    );
    const jobs = coordinator.queue<number>(etcd.name('queue'));
    const values = Array.from({ length: 150 }, (_, i) => i);
    await expect(jobs.putMany(values)).rejects.toMatchObject({ outcome });
    expect(parts).toBeGreaterThan(1);
  });
});

describe('who gives up taking a job', () => {
  it('has not tried it, though the claim came through', async () => {
    let isSlow = false;
    const answers: (() => void)[] = [];
    const slow = (store: Store): Store =>
      override(store, {
        commit: async (txn, options) => {
          const reply = await store.commit(txn, options);
          if (isSlow && isClaim(txn)) await new Promise<void>((resolve) => answers.push(resolve));
          return reply;
        },
      });
    const jobs = (await etcd.connect({}, slow)).queue<string>(etcd.name('queue'));
    await jobs.put('a');
    isSlow = true;
    const controller = new AbortController();
    const given = new Error('up');
    const taken = jobs.tryNext({ signal: controller.signal });
    await vi.waitFor(() => expect(answers).toHaveLength(1), patience);
    controller.abort(given);
    await expect(taken).rejects.toBe(given);
    isSlow = false;
    for (const answer of answers) answer();
    expect(await jobs.next(soon)).toMatchObject({ value: 'a', attempt: 1 });
  });
});

describe('a job that is put with the end of another', () => {
  it('is named after what was there when that was taken, so that its queue is read page by page', async () => {
    const coordinator = await etcd.connect();
    const from = coordinator.queue<string>(etcd.name('queue'));
    const to = coordinator.queue<string>(etcd.name('queue'));
    await (await etcd.connect()).queue<string>(from.name).put('a');
    const job = await from.next(soon);
    await job.ack({ txn: (txn) => txn.enqueue(to, 'b') });
    const other = (await etcd.connect()).queue<string>(to.name);
    expect(hintOf((await other.next(soon)).id)).toBeGreaterThanOrEqual(job.token);
  });
});

describe('the end of a job', () => {
  it('is told to be so, though its answer is lost and etcd has forgotten what it was', async () => {
    let isToBeLost = false;
    const coordinator = await etcd.connect({}, (store) => {
      const commit: Store['commit'] = async (txn, options) => {
        const reply = await store.commit(txn, options);
        if (!isToBeLost || !deletes(txn)) return reply;
        isToBeLost = false;
        await compact(etcd.endpoint, etcd.admin);
        throw noAnswer();
      };
      return new ExactlyOnceStore(override(store, { commit }));
    });
    const jobs = coordinator.queue<number>(etcd.name('queue'));
    await jobs.put(1);
    const job = await jobs.next(soon);
    isToBeLost = true;
    await job.ack();
    expect([isToBeLost, job.isLost, job.signal.aborted]).toEqual([false, false, false]);
    expect((await jobs.stats()).depth).toBe(0);
  });
});

describe('a job whose time is over', () => {
  it.each([
    ['idle', { visibility: 60_000 }],
    ['max-hold', { maxTime: 60_000 }],
  ] as const)('is lost to whoever looks (`%s`), though timers are late', async (reason, caps) => {
    let late = 0;
    const clock: Clock = { ...systemClock, now: () => systemClock.now() + late };
    const session = await Session.open(etcd.admin, { ttl: 3_600_000 }, clock);
    etcd.defer(() => session.close(0));
    const jobs = new Queue<number>(session, etcd.name('queue'), caps);
    await jobs.put(1);
    const job = await jobs.next(soon);
    expect([job.isHeld, job.isLost]).toEqual([true, false]);
    late = 60_000;
    expect([job.isHeld, job.isLost]).toEqual([false, true]);
    expect(job.signal.reason).toMatchObject({ name: 'HoldLostError', reason });
  });
});

describe('a queue that nobody has used for a while', () => {
  it('leaves nothing of what was known of it (kazoo#175)', async () => {
    const rests: (() => void)[] = [];
    const clock: Clock = {
      ...systemClock,
      after: (ms, callback) => {
        if (ms !== 5_000) return systemClock.after(ms, callback);
        rests.push(callback);
        return () => rests.splice(rests.indexOf(callback), 1);
      },
    };
    const session = await Session.open(etcd.admin, {}, clock);
    etcd.defer(() => session.close(0));
    const name = etcd.name('queue');
    const at = (): Dispenser => Dispenser.at(session, name, new QueueKeys(name), Infinity);
    const first = at();
    const given = new AbortController();
    const waiting = first.take({ signal: given.signal }, { most: 1 });
    expect(at()).toBe(first);
    given.abort();
    await expect(waiting).rejects.toBe(given.signal.reason);
    await vi.waitFor(() => expect(rests).toHaveLength(1), patience);
    rests[0]?.();
    expect(at()).not.toBe(first);
    const second = at();
    expect(await second.tryTake({}, 1)).toEqual([]);
    expect(at()).toBe(second);
    rests[0]?.();
    expect(at()).not.toBe(second);
    const keeperAt = (): Keeper => Keeper.at(session, name, new QueueKeys(name));
    const keeper = ((): WeakRef<Keeper> => {
      const made = keeperAt();
      made.join({ id: Symbol(), retention: {}, onSkew: () => {}, onError: () => {} })();
      expect(keeperAt()).toBe(made);
      return new WeakRef(made);
    })();
    const resultsAt = (): Results => Results.at(session, name, new QueueKeys(name));
    const results = resultsAt();
    await expect(results.finished('none', {})).rejects.toThrow(JobFailedError);
    expect(resultsAt()).toBe(results);
    for (const rest of rests.slice()) rest();
    expect(resultsAt()).not.toBe(results);
    await vi.waitFor(
      async () => expect(await collected(() => !keeper.deref())).toBe(true),
      patience,
    );
  });
});

describe('who takes jobs no more', () => {
  it('is not there for others, also if he was just about to come', async () => {
    const [asked, answer] = [deferred<void>(), deferred<void>()];
    const commit: Store['commit'] = async (txn, options) => {
      asked.resolve();
      await answer.promise;
      return etcd.admin.commit(txn, options);
    };
    const session = await Session.open(override(etcd.admin, { commit }));
    etcd.defer(() => session.close(0));
    const where = new QueueKeys(etcd.name('queue'));
    const affinity = new Affinity(session, where, { consumers: new Set() });
    const joined = affinity.join();
    await asked.promise;
    affinity.leave();
    answer.resolve();
    await joined;
    await vi.waitFor(async () => expect(await etcd.count(where.consumers)).toBe(0), patience);
  });
});

describe('a lane', () => {
  it('keeps nothing of jobs that came and went behind one that has to wait', () => {
    const lane = new Lane(keys, 5, { hasRoom: ({ group }) => group === undefined });
    const { key, end } = lane.next('all');
    expect([key, end]).toEqual([keys.lane(5), `${keys.ready}5.`]);
    lane.learn([], 0, 1n, 0);
    const put = (number: number, label: string): void => {
      const revision = BigInt(number + 1);
      const record = keys.ready + idOf({ priority: 5, label }, 1n, number, 'p');
      const at = { createRevision: revision, modRevision: revision, version: 1n, lease: 0n };
      const kv: KeyValue = { key: Buffer.from(record), value: Buffer.alloc(0), ...at };
      lane.put(record, kv, 0);
    };
    put(1, ':busy');
    const seen: Ready[] = [];
    for (let i = 2; i < 5_000; i += 1) {
      put(i, '');
      const [job] = lane.claimable();
      seen.push(job as Ready);
      lane.drop(job as Ready, 0);
    }
    expect(seen.filter(({ isListed }) => isListed).length).toBeLessThan(1_500);
    expect(lane.size).toBe(1);
  });
});

describe('groups', () => {
  it('keep no jobs that somebody else took, where there is no limit', () => {
    const groups = new Groups(keys.slots, Infinity);
    groups.refused({ group: 'a' } as Ready);
    groups.heard(`${keys.slots}a/0/1-1`, true);
    expect([...groups.heardOf()]).toEqual([]);
  });
});

describe('admission', () => {
  let depth = 0;
  let now = 0;

  function enter(limit: number): Admission {
    const store = {
      commit: () => Promise.resolve({ revision: 1n, replies: [{ count: depth }, { count: 0 }] }),
    };
    const clock = { ...systemClock, now: () => now };
    const session = { store, clock, closing: new AbortController().signal };
    return Admission.at(session as unknown as Session, keys, limit);
  }

  it('lets the next in once a put has failed that would have filled the queue', async () => {
    const { signal } = new AbortController();
    const admission = enter(40);
    depth = 8;
    const pass = await admission.enter(false, signal);
    now += 2_000;
    depth = 39;
    const next = admission.enter(false, signal);
    await new Promise(setImmediate);
    pass.end();
    (await next).end();
  });

  it('goes on after somebody else was closed who used the same store', async () => {
    const store = etcd.open({});
    const [one, other] = await Promise.all([0, 1].map(() => etcd.connect({}, () => store)));
    const name = etcd.name('queue');
    await one?.queue<number>(name, { limit: 2 }).put(1);
    await one?.close();
    await other?.queue<number>(name, { limit: 2 }).put(2);
    expect(await etcd.count(`queue/${name}/ready/`)).toBe(2);
  });

  it('goes on after its watch was refused', async () => {
    const { signal } = new AbortController();
    const admission = enter(40);
    depth = 0;
    const refused = new RefusedError('PERMISSION_DENIED', 'no');
    admission.closed(refused);
    await expect(admission.enter(false, signal)).rejects.toBe(refused);
    (await admission.enter(false, signal)).end();
  });
});

describe('a consumer that drains', () => {
  it('asks less and less often where what is left may not be taken yet', async () => {
    const pauses: number[] = [];
    const clock = {
      ...systemClock,
      sleep: async (ms: number) => {
        pauses.push(ms);
        await new Promise(setImmediate);
      },
    };
    const closing = new AbortController().signal;
    const session = { clock, closing, track: <T>(work: T): T => work };
    const source = {
      size: 1,
      next: () => Promise.reject(new Error('not while it drains')),
      tryNext: () => Promise.resolve([]),
      isLeft: () => Promise.resolve(pauses.length < 30),
    };
    const consumer = new Consumer<string>(session as unknown as Session, source, () => {}, {});
    await consumer.drain();
    expect(Math.max(...pauses.slice(0, 30))).toBeGreaterThan(100);
  });

  it('does not read the queue again for each job', async () => {
    const { jobs, reads } = await readQueue(etcd.name('queue'), 1_000);
    const values = Array.from({ length: 300 }, (_, i) => i);
    await jobs.putMany(values);
    const done: number[] = [];
    const consumer = jobs.consume(async (job) => {
      await job.ack();
      done.push(job.value);
    });
    await consumer.drain();
    expect(done).toEqual(values);
    expect(reads()).toBeLessThan(50);
  });

  it('takes a job of a group as soon as that has room again', async () => {
    const options = { groupConcurrency: 1 };
    const [ours, theirs] = await Promise.all([etcd.connect(), etcd.connect()]);
    const jobs = ours.queue<string>(etcd.name('queue'), options);
    await jobs.put('first', { group: 'g', priority: 0 });
    const first = await theirs.queue<string>(jobs.name, options).next(patience);
    await jobs.put('second', { group: 'g', priority: 0 });
    await jobs.putMany(Array.from({ length: 400 }, (_, i) => `${i}`));
    const done: string[] = [];
    const consumer = jobs.consume(async (job) => {
      done.push(job.value);
      await job.ack();
      if (job.value === '100') await first.ack();
    });
    await consumer.drain();
    expect(done).toHaveLength(401);
    expect(done.indexOf('second')).toBeLessThan(400);
  });
});

describe('a queue that is paused', () => {
  it.each([
    ['drains it', (consumer: Consumer<number>) => consumer.drain(), () => undefined],
    ['has looked before', () => undefined, (jobs: Queue<number>) => jobs.tryNext()],
  ] as const)('is heeded by who %s', async (_, drain, look) => {
    const [ours, theirs] = await Promise.all([etcd.connect(), etcd.connect()]);
    const jobs = ours.queue<number>(etcd.name('queue'));
    await jobs.putMany(Array.from({ length: 500 }, (_each, i) => i));
    await (await look(jobs))?.ack();
    const done: number[] = [];
    const consumer = jobs.consume(async (job) => {
      done.push(job.value);
      await job.ack();
      if (done.length === 100) await theirs.queue<number>(jobs.name).pause('for now');
    });
    const drained = drain(consumer);
    await vi.waitFor(() => expect(done.length).toBeGreaterThanOrEqual(100), patience);
    // Until nothing was begun for a while.
    for (let last = 0; last < done.length; ) {
      last = done.length;
      for (let i = 0; i < 100; i += 1) await etcd.count(`queue/${jobs.name}/ready/`);
    }
    expect(done.length).toBeLessThan(490);
    await jobs.resume();
    await drained;
    await jobs.drained(patience);
    await consumer.close();
  });
});

describe('a queue in which thousands are worked on', () => {
  it('is followed by one who waits, and not read again and again', async () => {
    const name = etcd.name('queue');
    const own = new QueueKeys(name);
    const records = Array.from(
      { length: 2_600 },
      (_, i) => own.ready + idOf({ priority: 5 }, 1n, i, 'p'),
    );
    const all = records.flatMap((record) => ['', '!c/1-1', '!p', '!t'].map((end) => record + end));
    while (all.length > 0) {
      const success = all.splice(0, 100).map((key) => ({ put: { key, value: '{}\n' } }));
      await etcd.admin.commit({ success });
    }
    const { jobs, reads } = await readQueue(name, 10_000);
    let next = jobs.next(patience);
    await vi.waitFor(() => expect(reads()).toBeGreaterThan(0), patience);
    for (let i = 0; i < 4; i += 1) {
      await jobs.put(i);
      await (await next).ack();
      if (i < 3) next = jobs.next(patience);
    }
    expect(reads()).toBe(1);
  });
});

describe('what somebody else has written among the jobs', () => {
  it.each(['rubbish', 'null\nrubbish'])('is given up: %j', async (value) => {
    const jobs = (await etcd.connect()).queue<number>(etcd.name('queue'));
    const id = idOf({ priority: 0 }, 0n, 1, 'x');
    await etcd.admin.commit({
      success: [{ put: { key: new QueueKeys(jobs.name).ready + id, value } }],
    });
    await jobs.put(1);
    const job = await jobs.next(patience);
    expect(job.value).toBe(1);
    await job.ack();
    expect((await jobs.deadLetters.list()).jobs).toMatchObject([{ id, reason: 'no job' }]);
    expect(await etcd.count(new QueueKeys(jobs.name).ready)).toBe(0);
  });
});
