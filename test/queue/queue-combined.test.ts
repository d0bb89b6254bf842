import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ArgumentError,
  JobCancelledError,
  type JobEvent,
  JobFailedError,
  type Queue,
  type QueueOptions,
} from '../../src/index.js';
import { startTestEtcd, type TestEtcd } from '../../src/testing/index.js';

const minute = 60_000;
const hour = 60 * minute;
/** Renewals are what most of virtual time is spent on. */
const session = { ttl: hour };

let etcd: TestEtcd;
beforeEach(async () => {
  etcd = await startTestEtcd({ time: 'virtual' });
});
afterEach(() => etcd.stop());

async function queue<T = number>(options: QueueOptions<T> = {}): Promise<Queue<T>> {
  return (await etcd.connect({ session })).queue<T>('q', options);
}

/** Lets everything that is on its way arrive. */
async function settle(ms = 0): Promise<void> {
  await etcd.advance(ms);
  for (let i = 0; i < 20; i += 1) await etcd.advance(0);
}

/** What there is of the jobs of the queue, without what is there of those who take them. */
async function traces(): Promise<string[]> {
  const { kvs } = await etcd.store.read({ key: 'queue/q/', end: 'queue/q0' });
  const all = kvs.map(({ key }) => key.toString().slice('queue/q/'.length));
  return all.filter((key) => !/^(keepers\/|ready!consumers\/|delayed!time$|done!)/.test(key));
}

/** Has the queue be kept, though nobody takes jobs of it. */
async function keep(jobs: Queue<never> | Queue<number> | Queue<string>): Promise<void> {
  await jobs.pause();
  void jobs.next().catch(() => {});
  await settle();
}

describe('who waits for the result of a job', () => {
  const options = { keepResults: true, attempts: 1 };

  /** Why there is none, if it is known. */
  function failureOf(result: Promise<unknown>): { readonly error: () => unknown } {
    let failure: unknown;
    result.catch((error: unknown) => (failure = error));
    return { error: () => failure };
  }

  it.each([{ delay: 0 }, { delay: 5 }])(
    'hears that it was dropped after its time (%o)',
    async (more) => {
      const jobs = await queue(options);
      await keep(jobs);
      const put = await jobs.put(1, { ttl: 10, onExpiry: 'delete', ...more });
      const { error } = failureOf(put.finished());
      await settle(100);
      await settle(1_000);
      expect(error()).toBeInstanceOf(JobFailedError);
    },
  );

  it('hears that it was dropped by who took it too late', async () => {
    const jobs = await queue(options);
    await etcd.store.commit({ success: [{ put: { key: 'queue/q/keepers/0000', value: '' } }] });
    await jobs.pause();
    const next = jobs.next();
    next.catch(() => {});
    const put = await jobs.put(1, { ttl: 10, onExpiry: 'delete' });
    const { error } = failureOf(put.finished());
    await settle(100);
    await jobs.resume();
    await settle(1_000);
    expect(error()).toBeInstanceOf(JobFailedError);
  });

  it('hears that it was cancelled by somebody who keeps no results', async () => {
    const jobs = await queue(options);
    const put = await jobs.put(1);
    const { error } = failureOf(put.finished());
    await settle();
    await (await queue()).cancel(put.id);
    await settle();
    expect(error()).toBeInstanceOf(JobFailedError);
  });

  it('hears that it was given up and deleted, so that others go on', async () => {
    const jobs = await queue({ ...options, onExhausted: 'skip' });
    const put = await jobs.put(1, { orderKey: 'a' });
    const { error } = failureOf(put.finished());
    const job = await jobs.next();
    await job.nack();
    await settle();
    expect(error()).toBeInstanceOf(JobFailedError);
  });

  it('hears that it was deleted after others had waited for it', async () => {
    const jobs = await queue({ ...options, onExhausted: 'block' });
    const put = await jobs.put(1, { orderKey: 'a' });
    const { error } = failureOf(put.finished());
    const job = await jobs.next();
    await job.nack();
    await jobs.unblock('a', 'skip');
    await settle();
    expect(error()).toBeInstanceOf(JobFailedError);
  });

  it('gets that of a job which was put again after it was cancelled', async () => {
    const jobs = await queue(options);
    const { id } = await jobs.put(1);
    await jobs.cancel(id, { keep: true });
    await expect(jobs.finished(id)).rejects.toBeInstanceOf(JobCancelledError);
    expect(await jobs.stats()).toMatchObject({ dead: 1, done: 0 });
    await jobs.deadLetters.redrive([id]);
    const result = jobs.finished(id);
    result.catch(() => {});
    await settle();
    await (await jobs.next()).ack({ result: 'good' });
    expect(await result).toBe('good');
  });
});

describe('a job that is put again and again', () => {
  it('has the order and the group that it is to have', async () => {
    const jobs = await queue();
    await keep(jobs);
    await jobs.repeat('a', '0 * * * *', 1, { orderKey: 'o', group: 'g' });
    await settle(1);
    await settle(hour);
    const [job] = (await jobs.list('ready')).jobs;
    expect(job?.id).toMatch(/@o:g$/);
  });

  it('has no name of its own', async () => {
    const jobs = await queue();
    const put = (more: object): Promise<void> => jobs.repeat('a', '0 * * * *', 1, more);
    await expect(put({ id: 'x' })).rejects.toThrow(ArgumentError);
    await expect(put({ dedupe: { key: 'x' } })).rejects.toThrow('dedupe must be left out here');
    await expect(put({ delay: 5 })).rejects.toThrow('delay must be left out here');
  });

  it('is put for many ticks in steps that are not too large', async () => {
    const jobs = await queue<string>();
    const before = jobs.consume(() => {});
    await settle();
    await jobs.repeat('a', '0 * * * *', 'x'.repeat(200_000), { catchUp: 'all' });
    await settle(1_000);
    await before.close();
    await settle(20 * hour);
    const later = await queue<string>();
    await keep(later);
    await settle(1_000);
    const { kvs } = await etcd.store.read({ key: 'queue/q/ready/', end: 'queue/q/ready0' });
    expect(kvs.length).toBe(20);
    const revisions = new Set(kvs.map(({ createRevision }) => createRevision));
    expect(revisions.size).toBe(7);
  });

  it('is found by its key, which is text', async () => {
    const jobs = await queue();
    await expect(jobs.repeat('\ud800', '0 * * * *', 1)).rejects.toThrow('key must be well-formed');
    const keys = ['a/b', 'a!b', 'é', '\n'];
    for (const key of keys) await jobs.repeat(key, '0 * * * *', 1);
    expect((await jobs.repeats()).map(({ key }) => key).toSorted()).toEqual(keys.toSorted());
    for (const key of keys) expect(await jobs.unrepeat(key)).toBe(true);
    expect(await traces()).toEqual([]);
  });
});

describe('a job that was put again', () => {
  it('is known by its name to who worked on it when it was cancelled', async () => {
    const jobs = await queue({ attempts: 1 });
    const { id } = await jobs.put(1);
    await (await jobs.next()).nack();
    await jobs.deadLetters.redrive('all');
    const job = await jobs.next();
    await jobs.cancel(id, { reason: 'enough' });
    await expect(job.ack()).rejects.toThrow();
    expect((job.signal.reason as Error).cause).toMatchObject({ id, reason: 'enough' });
  });

  it('is the only one of its id again', async () => {
    const jobs = await queue({ attempts: 1 });
    const { id } = await jobs.put(1, { id: 'x' });
    await (await jobs.next()).nack();
    await jobs.deadLetters.redrive('all');
    expect(await jobs.put(2, { id: 'x' })).toMatchObject({ id, isDuplicate: true });
    await (await jobs.next()).ack();
    expect(await jobs.put(3, { id: 'x' })).toMatchObject({ isDuplicate: false });
  });

  it('leaves another of its id alone', async () => {
    const jobs = await queue({ attempts: 1 });
    await jobs.put(1, { id: 'x' });
    await (await jobs.next()).nack();
    const { id } = await jobs.put(2, { id: 'x' });
    expect(await jobs.deadLetters.redrive('all')).toBe(1);
    const [two, one] = [await jobs.next(), await jobs.next()];
    expect([two.value, one.value]).toEqual([2, 1]);
    await one.ack();
    expect(await jobs.put(3, { id: 'x' })).toMatchObject({ id, isDuplicate: true });
    await two.ack();
    expect(await traces()).toEqual([]);
  });

  it('keeps nobody who waits for another of its order from going on', async () => {
    const jobs = await queue({ attempts: 1, onExhausted: 'block' });
    const { id } = await jobs.put(1, { orderKey: 'a' });
    await (await jobs.next()).nack();
    await jobs.cancel(id, { keep: true });
    await jobs.put(2, { orderKey: 'a' });
    const two = await jobs.next();
    await jobs.deadLetters.redrive([id]);
    await two.nack();
    expect((await jobs.blockedKeys()).length).toBe(1);
    // The one that was put again ends, by whatever.
    await jobs.cancel(id);
    expect((await jobs.blockedKeys()).length).toBe(1);
    expect(await jobs.unblock('a', 'retry')).toBe(true);
    expect((await jobs.next()).value).toBe(2);
  });
});

describe('who watches a queue', () => {
  it('hears why jobs went of which nothing is left', async () => {
    const jobs = await queue({ attempts: 1, onExhausted: 'skip' });
    const seen: JobEvent[] = [];
    const watch = jobs.watch();
    const listening = (async (): Promise<void> => {
      for await (const event of watch) seen.push(event);
    })();
    await watch.ready;
    await jobs.put(1, { orderKey: 'a' });
    await (await jobs.next()).nack({ reason: 'bad' });
    await jobs.cancel((await jobs.put(2)).id, { reason: 'enough' });
    await jobs.cancel((await jobs.put(3, { delay: hour })).id, { reason: 'too long' });
    await keep(jobs);
    await jobs.put(4, { ttl: 10, onExpiry: 'delete' });
    await settle(1_000);
    const ends = seen.filter(({ type }) => !['put', 'claimed', 'delayed'].includes(type));
    expect(ends).toMatchObject([
      { type: 'dead', reason: 'bad' },
      { type: 'cancelled', reason: 'enough' },
      { type: 'cancelled', reason: 'too long' },
      { type: 'dead', reason: 'expired' },
    ]);
    watch.close();
    await listening;
  });
});

describe('a job leaves nothing of itself', () => {
  type Way = (jobs: Queue<number>) => Promise<unknown>;
  const all = { dead: true, claimed: true, done: true };
  const first = async (jobs: Queue<number>): Promise<string> => {
    for (const state of ['ready', 'claimed', 'resting', 'delayed', 'dead'] as const) {
      const [job] = (await jobs.list(state)).jobs;
      if (job) return job.id;
    }
    throw new Error('there is none');
  };
  /** As it is put. */
  const kinds: Record<string, object> = {
    plain: {},
    ordered: { orderKey: "a/b@c:d!e'é" },
    grouped: { group: "a/b@c:d!e'é" },
    both: { orderKey: 'a:b', group: '@a' },
    named: { id: "a/b@c:d!e'é" },
    deduped: { dedupe: { key: "a/b@c:d!e'é" } },
    mortal: { ttl: hour },
    delayed: { delay: 5_000 },
    all: { id: 'x', orderKey: 'a', group: 'b', ttl: hour, delay: 5_000 },
  };
  /** What befalls it before. */
  const fates: Record<string, Way> = {
    nothing: async () => {},
    'its delay has passed': () => settle(6_000),
    'it is given back': async (jobs) => {
      await settle(6_000);
      await (await jobs.next()).nack({ delay: 0 });
    },
    'it is to be tried later': async (jobs) => {
      await settle(6_000);
      await (await jobs.next()).nack({ delay: 10_000 });
    },
    'it was tried later': async (jobs) => {
      await settle(6_000);
      await (await jobs.next()).nack({ delay: 10_000 });
      await settle(11_000);
    },
    'it was put again': async (jobs) => {
      await settle(6_000);
      await (await jobs.next()).deadLetter('bad');
      await jobs.deadLetters.redrive('all');
    },
    'it was cancelled, and put again': async (jobs) => {
      await jobs.cancel(await first(jobs), { keep: true });
      await jobs.deadLetters.redrive('all');
    },
    'it blocks others': async (jobs) => {
      await settle(6_000);
      const job = await jobs.next();
      await job.nack({ delay: 0 });
      await (await jobs.next()).nack({ delay: 0 });
    },
  };
  /** How it ends. */
  const ends: Record<string, Way> = {
    'it is done': async (jobs) => {
      for (const { orderKey } of await jobs.blockedKeys()) await jobs.unblock(orderKey, 'retry');
      await settle(20_000);
      await (await jobs.tryNext())?.ack();
      await jobs.deadLetters.purge('all');
    },
    'it is given up, and purged': async (jobs) => {
      for (const { orderKey } of await jobs.blockedKeys()) {
        await jobs.unblock(orderKey, 'dead-letter');
      }
      await settle(20_000);
      await (await jobs.tryNext())?.deadLetter('bad');
      await jobs.deadLetters.purge('all');
    },
    'it is skipped': async (jobs) => {
      for (const { orderKey } of await jobs.blockedKeys()) await jobs.unblock(orderKey, 'skip');
      await jobs.clear(all);
    },
    'it is cancelled': async (jobs) => {
      const id = await first(jobs);
      expect(await jobs.get(id)).toMatchObject({ id });
      if (!(await jobs.cancel(id))) await jobs.deadLetters.purge([id]);
    },
    'it is cancelled while it is worked on': async (jobs) => {
      await settle(20_000);
      const job = await jobs.tryNext();
      await jobs.cancel(await first(jobs).catch(() => 'none'));
      if (job) await expect(job.ack()).rejects.toThrow();
      await jobs.deadLetters.purge('all');
    },
    'the queue is cleared': (jobs) => jobs.clear(all),
    'the queue is cleared while it is worked on': async (jobs) => {
      await settle(20_000);
      const job = await jobs.tryNext();
      await jobs.clear(all);
      if (job) await expect(job.ack()).rejects.toThrow();
    },
    'it is dropped': async (jobs) => {
      await jobs.pause();
      await settle(hour);
      await settle(hour);
      await settle(2_000);
      await jobs.resume();
      await jobs.clear(all);
    },
  };
  const cases = Object.keys(kinds).flatMap((kind) =>
    Object.keys(fates).flatMap((fate) =>
      Object.keys(ends).map((end) => [kind, fate, end] as const),
    ),
  );

  it.each(cases)('%s, %s, %s', async (kind, fate, end) => {
    const jobs = await queue({
      attempts: 2,
      onExhausted: 'block',
      groupConcurrency: 1,
      visibility: 10 * hour,
    });
    // So that somebody sees to it.
    await jobs.tryNext();
    const consumer = (await queue()).consume(() => {});
    consumer.pause();
    await settle();
    const { id } = await jobs.put(1, kinds[kind]);
    await fates[fate]?.(jobs);
    await ends[end]?.(jobs);
    await settle(1_000);
    expect(await traces()).toEqual([]);
    expect(await jobs.get(id)).toBeUndefined();
    expect(await jobs.stats()).toMatchObject({ depth: 0, claimed: 0, dead: 0 });
    expect(await jobs.put(2, kinds[kind])).toMatchObject({ isDuplicate: false });
  });
});

describe('the end of a job', () => {
  it('is a sign of life: it has the time of one, though the one before was long ago', async () => {
    const jobs = await queue({ visibility: 10_000 });
    await jobs.put(1);
    const next = jobs.next();
    await settle(100);
    const job = await next;
    await etcd.advance(9_000);
    etcd.faults.add({ rpc: 'KV.Txn', kind: 'delay', delay: 5_000 });
    await Promise.all([job.ack(), settle(6_000)]);
    expect(await traces()).toEqual([]);
  });
});

describe('whoever waits for a job', () => {
  it('waits on where one that had waited for too long is cancelled as it is taken', async () => {
    const jobs = await queue();
    await etcd.store.commit({ success: [{ put: { key: 'queue/q/keepers/0000', value: '' } }] });
    await jobs.pause();
    const next = jobs.next();
    next.catch(() => {});
    const { id } = await jobs.put(1, { ttl: 10 });
    await jobs.put(2);
    await settle(100);
    const [first] = (await jobs.list('ready')).jobs;
    expect(first?.id).toBe(id);
    await jobs.resume();
    // Somebody cancels it in the moment between its claim and its end.
    for (let i = 0; i < 200 && (await jobs.get(id))?.state !== 'claimed'; i += 1)
      await Promise.resolve();
    await jobs.cancel(id);
    expect((await next).value).toBe(2);
  });
});
