import { describe, expect, it, vi } from 'vitest';
import {
  ArgumentError,
  type Coordinator,
  HoldLostError,
  type Job,
  JobCancelledError,
  type JobEvent,
  JobFailedError,
  type Queue,
  WaitTimeoutError,
  type WatchEvent,
} from '../../src/index.js';
import { compact, useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { connectLossy } from '../support/lossy.js';
import { override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 60_000 };

async function queue(options = {}, coordinator?: Coordinator): Promise<Queue<number>> {
  return (coordinator ?? (await etcd.connect())).queue<number>(etcd.name('queue'), options);
}

/** The same queue, as two processes have it. */
async function queues(options = {}): Promise<[Queue<number>, Queue<number>]> {
  const name = etcd.name('queue');
  const [a, b] = (await etcd.connectAll(2)) as [Coordinator, Coordinator];
  return [a.queue<number>(name, options), b.queue<number>(name, options)];
}

async function aborted({ signal }: Job<number>): Promise<HoldLostError> {
  await vi.waitFor(() => expect(signal.aborted).toBe(true), patience);
  return signal.reason as HoldLostError;
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe('dead letters', () => {
  async function withDead(count: number, coordinator?: Coordinator): Promise<Queue<number>> {
    const jobs = await queue({ attempts: 2 }, coordinator);
    await jobs.putMany(numbers(count));
    const consumer = jobs.consume((job) => job.deadLetter('bad'), { concurrency: 10 });
    await consumer.drain();
    return jobs;
  }

  it('are put again with new attempts, their history, and the name that they had', async () => {
    const jobs = await withDead(1);
    const [letter] = (await jobs.deadLetters.list()).jobs;
    const { id = '' } = letter ?? {};
    expect(await jobs.deadLetters.get(id)).toMatchObject({ value: 0, reason: 'bad' });
    await jobs.put(7);
    expect(await jobs.deadLetters.redrive([id])).toBe(1);
    expect(await jobs.deadLetters.get(id)).toBeUndefined();
    expect(await jobs.get(id)).toMatchObject({ id, state: 'ready', value: 0, attempts: 0 });
    const first = await jobs.next();
    expect(first.value).toBe(7);
    const again = await jobs.next();
    expect(again).toMatchObject({ id, value: 0, attempt: 1, attempts: 2 });
    expect(again.history).toMatchObject([{ reason: 'bad' }]);
    await again.deadLetter('still bad');
    expect(await jobs.deadLetters.get(id)).toMatchObject({
      history: [{}, { reason: 'still bad' }],
    });
    expect(await etcd.count(`queue/${jobs.name}/aliases/`)).toBe(0);
  });

  it('are each put again once, by many who do so while others take jobs', async () => {
    const jobs = await withDead(200);
    const others = await etcd.connectAll(3);
    const done: number[] = [];
    const consumer = jobs.consume((job) => done.push(job.value), { concurrency: 5 });
    const counts = await Promise.all(
      others.map((each) => each.queue<number>(jobs.name).deadLetters.redrive('all')),
    );
    expect(counts.reduce((a, b) => a + b, 0)).toBe(200);
    await vi.waitFor(() => expect(done.length).toBe(200), patience);
    expect(done.toSorted((a, b) => a - b)).toEqual(numbers(200));
    await consumer.close();
    expect(await etcd.count(`queue/${jobs.name}/aliases/`)).toBe(0);
    expect(await etcd.count(`queue/${jobs.name}/ready/`)).toBe(0);
  });

  it('are put again once where answers are lost', async () => {
    const healthy = await withDead(60);
    const lossy = await connectLossy(etcd, Math.random, { replies: 0.3, requests: 0.2 });
    const jobs = lossy.queue<number>(healthy.name);
    expect(await jobs.deadLetters.redrive('all', { limit: 50, timeout: 30_000 })).toBe(50);
    expect(await healthy.stats()).toMatchObject({ ready: 50, dead: 10 });
  });

  it('are deleted', async () => {
    const jobs = await withDead(12);
    const { jobs: letters } = await jobs.deadLetters.list({ limit: 2 });
    const ids = letters.map(({ id }) => id);
    expect(await jobs.deadLetters.purge([...ids, 'none'])).toBe(2);
    expect(await jobs.deadLetters.redrive(ids)).toBe(0);
    expect(await jobs.deadLetters.purge('all')).toBe(10);
    expect((await jobs.stats()).dead).toBe(0);
    await expect(jobs.deadLetters.purge('none' as 'all')).rejects.toThrow(ArgumentError);
  });
});

describe('a job that is cancelled', () => {
  it('is gone, where nobody works on it', async () => {
    const jobs = await queue();
    const { id } = await jobs.put(1);
    expect(await jobs.cancel(id)).toBe('ready');
    expect(await jobs.cancel(id)).toBeUndefined();
    expect(await jobs.tryNext()).toBeUndefined();
    const late = await jobs.put(2);
    await (await jobs.next()).nack({ delay: 60_000 });
    expect(await jobs.cancel(late.id)).toBe('delayed');
    expect(await etcd.count(`queue/${jobs.name}/delayed/`)).toBe(0);
  });

  it.each([0, 60])(
    'is taken from who has worked on it for %i ms (bullmq#3768, bull#114)',
    async (ms) => {
      const [jobs, others] = await queues();
      const { id } = await jobs.put(1);
      const job = await jobs.next();
      const { signal } = job;
      await new Promise((resolve) => setTimeout(resolve, ms));
      expect(await others.cancel(id, { reason: 'not needed' })).toBe('claimed');
      const error = await aborted(job);
      expect(error).toMatchObject({ code: 'ERR_HOLD_LOST', reason: 'deleted' });
      expect(error.cause).toBeInstanceOf(JobCancelledError);
      expect(error.cause).toMatchObject({ id, reason: 'not needed', by: { pid: process.pid } });
      expect(signal.aborted && job.isCancelled).toBe(true);
      await expect(job.ack()).rejects.toThrow(HoldLostError);
      await vi.waitFor(async () => {
        expect(await etcd.count(`queue/${jobs.name}/ready/`)).toBe(0);
      }, patience);
    },
  );

  it('is lost at once to who follows the queue, before its own watch tells', async () => {
    let isFollowed = false;
    const deaf = await etcd.connect({}, (store) =>
      override(store, {
        watch(range, listener, options) {
          const isOwn = range.key.toString().includes('/ready/5-');
          const events = (batch: readonly WatchEvent[]): void => {
            isFollowed ||= batch.some(({ kv }) => kv.key.includes('/ready/5-'));
            if (!isOwn) listener.events(batch);
          };
          const gap = (revision: bigint): void => listener.gap(revision);
          const closed = (error: Error): void => listener.closed(error);
          return store.watch(range, { events, gap, closed }, options);
        },
      }),
    );
    const jobs = await queue({}, deaf);
    const others = (await etcd.connect()).queue<number>(jobs.name);
    const taken: Job<number>[] = [];
    const work = async (job: Job<number>): Promise<void> => {
      if (job.value === 0) return;
      taken.push(job);
      await new Promise((resolve) => job.signal.addEventListener('abort', resolve));
    };
    const consumer = jobs.consume(work, { concurrency: 2 });
    await vi.waitFor(async () => {
      await others.put(0);
      expect(isFollowed).toBe(true);
    }, patience);
    const { id } = await others.put(1);
    await vi.waitFor(() => expect(taken).toHaveLength(1), patience);
    await others.cancel(id, { reason: 'enough' });
    const error = await aborted(taken[0] as Job<number>);
    expect(error.cause).toMatchObject({ id, reason: 'enough' });
    await consumer.close();
  });

  it('is known to be cancelled by who is told first by an acknowledgement in vain', async () => {
    const [jobs, others] = await queues();
    const { id } = await jobs.put(1);
    const job = await jobs.next();
    const { signal } = job;
    await others.cancel(id);
    // Before the watch of its claim begins.
    await expect(job.ack()).rejects.toMatchObject({
      reason: 'deleted',
      cause: { code: 'ERR_JOB_CANCELLED' },
    });
    expect(signal.aborted && job.isCancelled).toBe(true);
  });

  it('is not what a job is that was lost otherwise', async () => {
    const process = await etcd.connect();
    const jobs = await queue({}, process);
    await jobs.put(1);
    const job = await jobs.next();
    await etcd.admin.revoke(process.session.id);
    await aborted(job);
    expect(job.isCancelled).toBe(false);
  });

  it('may be kept as a dead letter', async () => {
    const jobs = await queue();
    const { id } = await jobs.put(1);
    await jobs.cancel(id, { keep: true });
    expect(await jobs.deadLetters.get(id)).toMatchObject({ value: 1, reason: 'cancelled' });
  });

  it('may be one that was put again', async () => {
    const jobs = await queue();
    const { id } = await jobs.put(1);
    await (await jobs.next()).deadLetter('bad');
    await jobs.deadLetters.redrive([id]);
    expect(await jobs.cancel(id)).toBe('ready');
    expect(await etcd.count(`queue/${jobs.name}/ready/`)).toBe(0);
    expect(await etcd.count(`queue/${jobs.name}/aliases/`)).toBe(0);
  });

  it.each(['loses its reply', 'is lost'] as const)(
    'is cancelled once where a request %s',
    async (fate) => {
      const { coordinator, below } = await connectFailing(etcd);
      const jobs = await queue({}, coordinator);
      const { id } = await jobs.put(1);
      below.plan(fate, fate);
      expect(await jobs.cancel(id)).toBe('ready');
    },
  );
});

describe('a queue', () => {
  it('gives nothing while it is paused, in any process', async () => {
    const [jobs, others] = await queues();
    expect(await jobs.paused()).toBeUndefined();
    expect(await jobs.pause('maintenance')).toBe(true);
    expect(await others.pause()).toBe(false);
    expect(await others.paused()).toMatchObject({
      reason: 'maintenance',
      owner: { pid: process.pid },
    });
    await jobs.put(1);
    const next = others.next({ timeout: 60_000 });
    await expect(jobs.next({ timeout: 100 })).rejects.toThrow(WaitTimeoutError);
    expect(await jobs.resume()).toBe(true);
    expect(await jobs.resume()).toBe(false);
    expect((await next).value).toBe(1);
  });

  it('is cleared of what waits, and not of what is worked on', async () => {
    const jobs = await queue();
    await jobs.putMany(numbers(2_500));
    const job = await jobs.next();
    expect(await jobs.clear()).toMatchObject({ ready: 2_499, claimed: 0, delayed: 0 });
    expect(await jobs.stats()).toMatchObject({ depth: 1, claimed: 1 });
    await job.ack();
    expect(await jobs.stats()).toMatchObject({ depth: 0 });
  });

  it('is told to be cleared of no job that ended meanwhile', async () => {
    const name = etcd.name('queue');
    const others = (await etcd.connect()).queue<number>(name);
    let isFirst = true;
    const process = await etcd.connect({}, (store) =>
      override(store, {
        async commit(txn, options) {
          if (isFirst) await (await others.next()).ack();
          isFirst = false;
          return store.commit(txn, options);
        },
      }),
    );
    await others.putMany(numbers(5));
    expect(await process.queue(name).clear()).toMatchObject({ ready: 4 });
    expect(isFirst).toBe(false);
  });

  it('is cleared of all else, too, if that is asked for', async () => {
    const jobs = await queue({ keepResults: true });
    await jobs.putMany(numbers(6));
    await (await jobs.next()).ack();
    await (await jobs.next()).deadLetter('bad');
    await (await jobs.next()).nack({ delay: 60_000 });
    const job = await jobs.next();
    expect(await jobs.clear({ claimed: true, dead: true, done: true })).toEqual({
      ready: 2,
      claimed: 1,
      delayed: 1,
      dead: 1,
      done: 1,
    });
    await aborted(job);
    expect(job.isCancelled).toBe(true);
  });

  it('is cleared once where answers are lost, while others put and take jobs', async () => {
    const name = etcd.name('queue');
    const losses = { replies: 0.2, requests: 0.2 };
    const lossy = (await connectLossy(etcd, Math.random, losses)).queue<number>(name);
    const jobs = (await etcd.connect()).queue<number>(name);
    await jobs.putMany(numbers(1_200));
    const done: number[] = [];
    const consumer = jobs.consume((job) => done.push(job.value), { concurrency: 4 });
    const [{ ready }] = await Promise.all([
      lossy.clear({ timeout: 30_000 }),
      jobs.putMany(numbers(50)),
    ]);
    await jobs.drained({ timeout: 20_000 });
    await consumer.close();
    // Nothing is both cleared and done.
    expect(ready + done.length).toBe(1_250);
    expect(await etcd.count(`queue/${name}/ready/`)).toBe(0);
  });

  it('tells when nothing is left to be finished', async () => {
    const [jobs, others] = await queues();
    await jobs.drained();
    await jobs.putMany(numbers(30));
    await expect(others.drained({ timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    const drained = others.drained({ timeout: 20_000 });
    let finished = 0;
    const consumer = jobs.consume(() => (finished += 1), { concurrency: 3 });
    await drained;
    expect(finished).toBe(30);
    expect((await others.stats()).depth).toBe(0);
    await consumer.close();
  });

  it('has something left as long as a job is only delayed', async () => {
    const [jobs, others] = await queues({ backoff: { type: 'fixed', delay: 300 } });
    await jobs.put(1);
    const attempts: number[] = [];
    const failOnce = ({ attempt }: Job<number>): void => {
      attempts.push(attempt);
      if (attempt === 1) throw new Error('once more');
    };
    const consumer = jobs.consume(failOnce);
    await others.drained({ timeout: 20_000 });
    expect(attempts).toEqual([1, 2]);
    await consumer.close();
  });

  it('is worked empty by a consumer that drains it', async () => {
    const jobs = await queue();
    const done: number[] = [];
    const consumer = jobs.consume((job) => done.push(job.value), { concurrency: 2 });
    await jobs.putMany(numbers(40));
    await consumer.drain();
    expect(done.toSorted((a, b) => a - b)).toEqual(numbers(40));
    expect((await jobs.stats()).depth).toBe(0);
    await jobs.put(41);
    expect((await jobs.stats()).ready).toBe(1);
  });
});

describe('the result of a job', () => {
  const keepResults = true;

  it('is what its handler gives, in whatever process, for as long as it is kept', async () => {
    const [jobs, others] = await queues({ keepResults });
    const consumer = others.consume((job) => ({ twice: job.value * 2 }));
    const receipts = await jobs.putMany([1, 2, 3]);
    expect(await Promise.all(receipts.map((each) => each.finished({ timeout: 60_000 })))).toEqual([
      { twice: 2 },
      { twice: 4 },
      { twice: 6 },
    ]);
    expect(await jobs.finished(receipts[0]?.id ?? '')).toEqual({ twice: 2 });
    await consumer.close();
  });

  it('is why it failed, or that it was cancelled', async () => {
    const jobs = await queue({ keepResults, attempts: 1 });
    const [bad, other] = [await jobs.put(1), await jobs.put(2)];
    const ends = Promise.allSettled([bad.finished(), other.finished()]);
    await (await jobs.next()).nack({ reason: 'no good' });
    await jobs.cancel(other.id, { reason: 'too late' });
    const [failed, cancelled] = (await ends).map((end) => end.status === 'rejected' && end.reason);
    expect(failed).toBeInstanceOf(JobFailedError);
    expect(failed).toMatchObject({ outcome: 'dead', history: [{ reason: 'no good' }] });
    expect(cancelled).toBeInstanceOf(JobCancelledError);
    expect(cancelled).toMatchObject({ reason: 'too late' });
    await expect(bad.finished()).rejects.toThrow('no good');
    await expect(other.finished()).rejects.toThrow('too late');
  });

  it('is not waited for where nothing is known of the job, or any more', async () => {
    const jobs = await queue({ keepResults });
    await expect(jobs.finished('5-none')).rejects.toMatchObject({ outcome: 'unknown' });
    const receipt = await jobs.put(1);
    await expect(receipt.finished({ timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    const end = receipt.finished({ timeout: 60_000 });
    end.catch(() => {});
    await jobs.clear();
    await expect(end).rejects.toMatchObject({ outcome: 'unknown' });
    await expect((await queue()).finished('x')).rejects.toThrow('keepResults');
  });

  it('of a job that was put again is that of its last end', async () => {
    const jobs = await queue({ keepResults });
    const { id } = await jobs.put(1);
    await (await jobs.next()).deadLetter('bad');
    await jobs.deadLetters.redrive([id]);
    const result = jobs.finished(id, { timeout: 60_000 });
    await (await jobs.next()).ack({ result: 'fine' });
    expect(await result).toBe('fine');
  });

  it('is heard of by one watch, however many wait', async () => {
    let watches = 0;
    const process = await etcd.connect({}, (store) =>
      override(store, {
        watch(range, ...rest) {
          if (String(range.key).endsWith('/dead/')) watches += 1;
          return store.watch(range, ...rest);
        },
      }),
    );
    const jobs = await queue({ keepResults }, process);
    const receipts = await jobs.putMany(numbers(50));
    const results = Promise.all(receipts.map((each) => each.finished({ timeout: 20_000 })));
    await jobs.consume((job) => job.value, { concurrency: 5 }).drain();
    expect(await results).toEqual(numbers(50));
    expect(watches).toBe(1);
  });

  it('has to be something that JSON can express, or the job has failed', async () => {
    const jobs = await queue({ keepResults, attempts: 1 });
    const receipt = await jobs.put(1);
    const consumer = jobs.consume(() => 1n);
    await expect(receipt.finished({ timeout: 60_000 })).rejects.toThrow('JSON');
    await consumer.close();
  });
});

describe('what becomes of jobs', () => {
  it('is heard by who waits for it, though etcd has forgotten when it happened', async () => {
    const own = await etcd.startOwn();
    const proxy = await etcd.startProxy(own);
    const options = { keepResults: true, attempts: 1 };
    const producer = await etcd.connect({ endpoints: [proxy.endpoint] });
    const worker = await etcd.connect({ endpoints: [own] });
    const name = etcd.name();
    const jobs = producer.queue<number>(name, options);
    const others = worker.queue<number>(name, options);
    const receipts = await jobs.putMany([1, 2, 3]);
    const ends = Promise.allSettled(receipts.map(({ id }) => jobs.finished(id)));
    const watched: JobEvent[] = [];
    const watch = jobs.watch();
    const watching = (async () => {
      for await (const event of watch) watched.push(event);
    })();
    watching.catch(() => {});
    await watch.ready;
    await others.put(4, { priority: 9 });
    await vi.waitFor(() => expect(watched.length).toBe(1), patience);
    proxy.cut();
    await (await others.next()).ack({ result: 'fine' });
    await (await others.next()).deadLetter('bad');
    await others.cancel((await others.next()).id);
    await compact(own, worker.session.store);
    proxy.heal();
    const said = (await ends).map((end) => (end.status === 'fulfilled' ? end.value : end.reason));
    expect(said).toMatchObject(['fine', { outcome: 'dead' }, { code: 'ERR_JOB_CANCELLED' }]);
    const last = (id = ''): JobEvent | undefined => watched.findLast((event) => event.id === id);
    await vi.waitFor(() => {
      const types = receipts.map(({ id }) => last(id)?.type);
      expect(types).toEqual(['done', 'dead', 'cancelled']);
    }, patience);
  });
});

describe('who works on a job', () => {
  it('hears who cancelled it, also where etcd has forgotten that', async () => {
    const own = await etcd.startOwn();
    const proxy = await etcd.startProxy(own);
    const far = { endpoints: [proxy.endpoint], session: { ttl: 60_000 } };
    const [near, worker] = [await etcd.connect({ endpoints: [own] }), await etcd.connect(far)];
    const jobs = near.queue<number>('x');
    await jobs.put(1);
    const job = await worker.queue<number>('x').next();
    const { signal } = job;
    proxy.cut();
    await jobs.cancel(job.id, { reason: 'enough' });
    await compact(own, near.session.store);
    proxy.heal();
    await vi.waitFor(() => expect(signal.aborted).toBe(true), patience);
    expect(job.isCancelled).toBe(true);
    expect(signal.reason.cause).toMatchObject({ code: 'ERR_JOB_CANCELLED', reason: 'enough' });
  });
});

describe('the progress of a job', () => {
  it('is a sign of life, and seen by others (pg-boss#237, #421, #436, #579)', async () => {
    const [jobs, others] = await queues({ visibility: 1_000 });
    const { id } = await jobs.put(1);
    const job = await jobs.next();
    for (let i = 0; i < 8; i += 1) {
      await job.progress({ step: i });
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(job.isHeld).toBe(true);
    expect(await others.get(id)).toMatchObject({ state: 'claimed', progress: { step: 7 } });
    await expect(job.progress(1n)).rejects.toThrow(ArgumentError);
    await job.ack();
    expect(await etcd.count(`queue/${jobs.name}/ready/`)).toBe(0);
    await expect(job.progress(1)).rejects.toThrow(HoldLostError);
  });
});

describe('who watches a queue', () => {
  it('is told of all that happens to its jobs, in all processes', async () => {
    const [jobs, others] = await queues({ keepResults: true });
    const stop = new AbortController();
    const told: JobEvent[] = [];
    const watch = others.watch({ signal: stop.signal });
    const watching = (async () => {
      for await (const event of watch) told.push(event);
    })();
    watching.catch(() => {});
    await watch.ready;
    const names = new Map<string, string>();
    const put = async (name: string): Promise<Job<number>> => {
      names.set((await jobs.put(1)).id, name);
      return jobs.next();
    };
    const a = await put('a');
    await a.progress(50);
    await a.nack({ delay: 0 });
    await (await jobs.next()).ack({ result: 'fine' });
    const b = await put('b');
    await b.deadLetter('bad');
    await jobs.deadLetters.redrive([b.id]);
    await (await jobs.next()).nack({ delay: 60_000 });
    await jobs.cancel(b.id, { reason: 'enough' });
    const c = await put('c');
    await jobs.cancel(c.id, { reason: 'stop' });
    const story = (): string[] =>
      told.map(({ id, type, ...rest }) => {
        const said = Object.values(rest).filter((each) => /string|number/.test(typeof each));
        return [names.get(id) ?? id, type, ...said].join(' ');
      });
    const expected = [
      'a put',
      'a claimed',
      'a progress 50',
      'a returned',
      'a claimed',
      'a done fine',
      'b put',
      'b claimed',
      'b dead bad',
      'b returned',
      'b claimed',
      'b delayed',
      'b cancelled enough',
      'c put',
      'c claimed',
      'c cancelled stop',
    ];
    await vi.waitFor(() => expect(story()).toEqual(expected), patience);
    stop.abort();
    await expect(watching).rejects.toThrow('abort');
  });

  it('knows the names of jobs that were put again before', async () => {
    const jobs = await queue();
    const { id } = await jobs.put(1);
    await (await jobs.next()).deadLetter('bad');
    await jobs.deadLetters.redrive([id]);
    const watch = jobs.watch();
    const told: JobEvent[] = [];
    const watching = (async () => {
      for await (const event of watch) {
        told.push(event);
        if (event.type === 'done') break;
      }
    })();
    await watch.ready;
    await (await jobs.next()).ack();
    await watching;
    expect(told.map((event) => [event.id, event.type])).toEqual([
      [id, 'claimed'],
      [id, 'done'],
    ]);
  });

  it('leaves the loop without an error by closing it', async () => {
    const watch = (await queue()).watch();
    const told: JobEvent[] = [];
    const watching = (async () => {
      for await (const event of watch) told.push(event);
    })();
    await watch.ready;
    watch.close();
    await watching;
    expect(told).toEqual([]);
  });
});
