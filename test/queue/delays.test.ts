import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { containerWith } from '../../src/container.js';
import {
  type Clock,
  type Coordinator,
  connect,
  type Queue,
  RefusedError,
  type Store,
} from '../../src/index.js';
import { startTestEtcd, type TestEtcd } from '../../src/testing/index.js';
import { override, putsKey } from '../support/override.js';

const minute = 60_000;
const hour = 60 * minute;
/** Renewals are what most of virtual time is spent on. */
const session = { ttl: hour };

let etcd: TestEtcd;
beforeEach(async () => {
  etcd = await startTestEtcd({ time: 'virtual' });
});
afterEach(() => etcd.stop());

/** A process of its own, whose wall clock is set otherwise by so many milliseconds. */
async function connectSkewed(skew: () => number): Promise<Coordinator> {
  const { clock, endpoints } = etcd.server;
  const skewed: Clock = {
    now: () => clock.now(),
    wall: () => clock.wall() + skew(),
    after: (ms, callback) => clock.after(ms, callback),
    sleep: (ms, signal) => clock.sleep(ms, signal),
  };
  const container = containerWith({ clock: skewed, store: etcd.server.store() });
  return connect({ endpoints, container, session });
}

async function queue(options = {}): Promise<Queue<number>> {
  return (await etcd.connect({ session })).queue<number>('q', options);
}

/** A process that works on jobs: what it did, and when. */
function worker(jobs: Queue<number>) {
  const done: (readonly [value: number, at: number])[] = [];
  const ids: string[] = [];
  const consumer = jobs.consume((job) => {
    done.push([job.value, etcd.server.clock.now()]);
    ids.push(job.id);
  });
  return { done, ids, consumer };
}

/** Lets everything that is on its way arrive. */
async function settle(ms = 0): Promise<void> {
  await etcd.advance(ms);
  for (let i = 0; i < 20; i += 1) await etcd.advance(0);
}

async function count(folder: string): Promise<number> {
  const { kvs } = await etcd.store.read({ key: `queue/q/${folder}`, end: `queue/q/${folder}~` });
  return kvs.length;
}

async function keeperLease(): Promise<bigint> {
  const key = 'queue/q/keepers/';
  const { kvs } = await etcd.store.read({ key, end: `${key}~`, sortBy: 'create' });
  return kvs[0]?.lease ?? 0n;
}

describe('a job that is put for later', () => {
  it('is taken when its delay has passed, under the name it was given', async () => {
    const jobs = await queue();
    const { done, ids } = worker(jobs);
    await settle();
    const { id } = await jobs.put(1, { delay: 10 * minute });
    await settle(9.9 * minute);
    expect(done).toEqual([]);
    await settle(0.2 * minute);
    expect(done.map(([value]) => value)).toEqual([1]);
    expect(ids).toEqual([id]);
    expect(await count('delayed/')).toBe(0);
    expect(await count('ready/')).toBe(0);
    expect(await count('aliases/')).toBe(0);
  });

  it('comes after what was put before it was due, and before what was put then', async () => {
    const jobs = await queue();
    const taker = worker(jobs);
    await settle();
    taker.consumer.pause();
    await jobs.put(2, { delay: 2_000 });
    await jobs.put(1, { delay: 1_000 });
    await jobs.put(0);
    await settle(3_000);
    await jobs.put(3);
    taker.consumer.resume();
    await settle();
    await settle();
    expect(taker.done.map(([value]) => value)).toEqual([0, 1, 2, 3]);
  });

  it('waits no longer because its keeper is lost, again and again', async () => {
    const jobs = await queue();
    const workers = [worker(jobs), worker(await queue()), worker(await queue())];
    await settle();
    await jobs.put(1, { delay: hour });
    await settle(1_000);
    for (let i = 0; i < 11; i += 1) {
      await settle(5 * minute);
      await etcd.store.revoke(await keeperLease());
      await settle(1_000);
    }
    const done = (): number => workers.flatMap((each) => each.done).length;
    expect(done()).toBe(0);
    await settle(5 * minute);
    expect(done()).toBe(1);
  });

  it('waits no longer because nobody was there', async () => {
    const jobs = await queue();
    const first = worker(jobs);
    await settle();
    await jobs.put(1, { delay: hour });
    await settle(minute);
    await first.consumer.close();
    await settle(50 * minute);
    const { done } = worker(await queue());
    await settle(8 * minute);
    expect(done).toEqual([]);
    await settle(1.1 * minute);
    expect(done.length).toBe(1);
  });

  it('waits as long though the clock of who put it is an hour off', async () => {
    const { done } = worker(await queue());
    await settle();
    for (const skew of [hour, -hour]) {
      const producer = (await connectSkewed(() => skew)).queue<number>('q');
      await producer.put(skew, { delay: 10_000, ttl: 5_000 });
    }
    await settle(9_000);
    expect(done).toEqual([]);
    await settle(1_100);
    expect(done.length).toBe(2);
  });

  it.each([hour, -hour])(
    'waits as long though the wall clock of its keeper is set, and that of the next is off by %d ms',
    async (off) => {
      let skew = 0;
      const first = (await connectSkewed(() => skew)).queue<number>('q');
      const second = (await connectSkewed(() => off)).queue<number>('q');
      const skews: number[] = [];
      second.on('skew', ({ ahead }) => skews.push(ahead));
      const workers = [worker(first)];
      await settle();
      workers.push(worker(second));
      await settle();
      await first.put(1, { delay: 30 * minute });
      await settle(10 * minute);
      skew = 5 * hour;
      await settle(5.8 * minute);
      await etcd.store.revoke(await keeperLease());
      await settle(14.1 * minute);
      const done = (): number => workers.flatMap((each) => each.done).length;
      expect(done()).toBe(0);
      await settle(0.2 * minute);
      expect(done()).toBe(1);
      expect(skews).toEqual([5 * hour - off]);
    },
  );

  it('for a date waits for that by the clock of the keeper, as it is set', async () => {
    let skew = 0;
    const taker = (await connectSkewed(() => skew)).queue<number>('q');
    const { done } = worker(taker);
    const producer = (await connectSkewed(() => hour)).queue<number>('q');
    await settle();
    await producer.put(1, { notBefore: new Date(20 * minute) });
    await producer.put(2, { notBefore: new Date(3 * hour) });
    await producer.put(0, { notBefore: new Date(0) });
    await settle(19 * minute);
    expect(done.map(([value]) => value)).toEqual([0]);
    await settle(1.1 * minute);
    expect(done.map(([value]) => value)).toEqual([0, 1]);
    skew = 3 * hour;
    await settle(minute);
    expect(done.map(([value]) => value)).toEqual([0, 1, 2]);
  });

  it('is one of ten thousand that are due at once: none is lost, and none comes twice (redisson#5653)', async () => {
    const jobs = await queue();
    const { done, consumer } = worker(jobs);
    await settle();
    const all = Array.from({ length: 10_000 }, (_, i) => i);
    await jobs.putMany(all, { delay: 10_000 });
    consumer.pause();
    await settle(10_000);
    for (let i = 0; i < 500 && (await count('delayed/')) > 0; i += 1) await settle(20);
    expect(await count('delayed/')).toBe(0);
    expect(done).toEqual([]);
    const { kvs } = await etcd.store.read({ key: 'queue/q/ready/', end: 'queue/q/ready0' });
    const values = kvs.map(({ value }) => Number(value.toString().split('\n')[1]));
    expect(values.toSorted((a, b) => a - b)).toEqual(all);
  });
});

describe('a job that failed', () => {
  it('is tried again when its backoff has passed', async () => {
    const jobs = await queue({ backoff: { type: 'fixed', delay: 5 * minute } });
    const attempts: (readonly [number, string, number])[] = [];
    jobs.consume((job) => {
      attempts.push([job.attempt, job.id, Math.round(etcd.server.clock.now() / minute)]);
      if (job.attempt < 3) throw new Error('no');
    });
    await settle();
    const { id } = await jobs.put(1);
    await settle(11 * minute);
    expect(attempts).toEqual([
      [1, id, 0],
      [2, id, 5],
      [3, id, 10],
    ]);
  });
});

describe('a job that waits for too long', () => {
  it('is kept as a dead letter, or deleted', async () => {
    const jobs = await queue();
    const { done, consumer } = worker(jobs);
    await settle();
    consumer.pause();
    await settle();
    await jobs.put(1, { ttl: 5 * minute });
    await jobs.put(2, { ttl: 5 * minute, onExpiry: 'delete' });
    await jobs.put(3, { ttl: 10 * minute });
    await jobs.put(4);
    await settle(4.9 * minute);
    expect(await count('dead/')).toBe(0);
    await settle(0.2 * minute);
    expect(await count('dead/')).toBe(1);
    expect(await count('ready/')).toBe(2);
    consumer.resume();
    await settle();
    await settle();
    expect(done.map(([value]) => value)).toEqual([3, 4]);
    expect(await count('delayed!expires/')).toBe(0);
  });

  it('is not dropped while it is worked on', async () => {
    const jobs = await queue({ visibility: hour });
    await jobs.put(1, { ttl: 5 * minute });
    const next = jobs.next();
    await settle(1_000);
    const job = await next;
    const stay = worker(jobs);
    await settle(12 * minute);
    expect(await count('dead/')).toBe(0);
    await job.ack();
    await settle();
    expect(stay.done).toEqual([]);
    expect(await count('delayed!expires/')).toBe(0);
  });

  it('is not given to anybody who has seen it wait for so long, though nobody sees to it', async () => {
    const [paused, keeper] = ['queue/q/ready!paused', 'queue/q/keepers/0'];
    await etcd.store.commit({ success: [{ put: { key: keeper, value: '' } }] });
    const jobs = await queue();
    const next = jobs.next();
    await settle(100);
    await etcd.store.commit({ success: [{ put: { key: paused, value: '' } }] });
    await settle(100);
    await jobs.put(1, { ttl: 1_000 });
    await jobs.put(2, { ttl: 1_000, onExpiry: 'delete' });
    await jobs.put(3, { ttl: 3_000 });
    await settle(2_000);
    expect(await count('ready/')).toBe(3);
    await etcd.store.commit({ success: [{ delete: { key: paused } }] });
    await settle(100);
    expect((await next).value).toBe(3);
    expect(await count('dead/')).toBe(1);
    expect(await count('delayed!expires/')).toBe(1);
  });
});

describe('a job that is repeated', () => {
  it('is put once for each tick, whoever is lost (node-cron#387, node-schedule#417, graphile#211)', async () => {
    const jobs = await queue();
    const ticks: number[] = [];
    for (const each of [jobs, await queue(), await queue()]) {
      each.consume((job) => void ticks.push((job.repeat?.tick.getTime() ?? 0) / minute));
    }
    await settle();
    await jobs.repeat('r', '* * * * *', 7, { catchUp: 'all' });
    await settle(100);
    for (let i = 0; i < 20; i += 1) {
      await settle(2.3 * minute);
      await etcd.store.revoke(await keeperLease());
      await settle();
    }
    await settle();
    expect(ticks).toEqual(Array.from({ length: 46 }, (_, i) => i + 1));
    expect(await jobs.repeats()).toEqual([
      {
        key: 'r',
        cron: '* * * * *',
        timeZone: 'UTC',
        value: 7,
        last: new Date(46 * minute),
        next: new Date(47 * minute),
      },
    ]);
    expect(await jobs.unrepeat('r')).toBe(true);
    expect(await jobs.unrepeat('r')).toBe(false);
    await settle(5 * minute);
    expect(ticks.length).toBe(46);
  });

  it.each([
    ['skip', undefined, []],
    ['last', undefined, [12]],
    ['all', undefined, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]],
    ['all', 3, [10, 11, 12]],
  ] as const)('after a time without anybody, with %s', async (catchUp, limit, expected) => {
    const jobs = await queue();
    const before = worker(jobs);
    await settle();
    const options = { catchUp, ...(limit && { catchUpLimit: limit }) };
    await jobs.repeat('r', '* * * * *', 7, options);
    await settle(2.5 * minute);
    await before.consumer.close();
    await settle(10 * minute);
    const ticks: number[] = [];
    (await queue()).consume((job) => void ticks.push((job.repeat?.tick.getTime() ?? 0) / minute));
    await settle(0.2 * minute);
    expect(ticks).toEqual(expected);
    await settle(minute);
    expect(ticks).toEqual([...expected, 13]);
  });

  it('is as it was when it is asked for again, and begins anew with another expression', async () => {
    const jobs = await queue();
    const { done } = worker(jobs);
    await settle();
    await jobs.repeat('r', '*/10 * * * *', 1);
    await settle(15 * minute);
    await jobs.repeat('r', '*/10 * * * *', 2);
    await settle(10 * minute);
    await jobs.repeat('r', '*/15 * * * *', 3);
    await settle(20 * minute);
    expect(done.map(([value, at]) => [value, Math.round(at / minute)])).toEqual([
      [1, 10],
      [2, 20],
      [3, 30],
      [3, 45],
    ]);
  });
});

describe('who waits for a result', () => {
  it('is told that there is none once the job is gone, where whoever did it keeps none', async () => {
    const jobs = await queue({ keepResults: true });
    const others = await queue();
    const { id } = await jobs.put(1);
    const told = jobs.finished(id).catch((error: unknown) => error);
    await settle(5 * minute);
    await (await others.next()).ack({ result: 5 });
    await settle(minute);
    expect(await told).toMatchObject({ outcome: 'unknown', id });
  });
});

describe('what is kept of dead letters', () => {
  it('is what is young enough', async () => {
    const jobs = await queue({ retention: { dead: { age: 16 * minute } }, attempts: 1 });
    jobs.consume(() => {
      throw new Error('no');
    });
    await settle();
    for (let i = 0; i < 10; i += 1) {
      await jobs.put(i);
      await settle(2 * minute);
    }
    expect(await count('dead/')).toBeGreaterThanOrEqual(8);
    await settle(9 * minute);
    const left = await count('dead/');
    expect(left).toBeGreaterThan(2);
    expect(left).toBeLessThan(6);
    await settle(12 * minute);
    expect(await count('dead/')).toBe(0);
  });

  it('is what one of the queues in a process keeps, whichever was first', async () => {
    const process = await etcd.connect({ session });
    const strict = process.queue<number>('q', { retention: { dead: { count: 1 } }, attempts: 1 });
    const lax = process.queue<number>('q', { retention: { dead: { count: 3 } }, attempts: 1 });
    for (const jobs of [strict, lax]) jobs.consume((job) => job.deadLetter('no'));
    await settle();
    await strict.putMany([1, 2, 3, 4, 5]);
    await settle(3 * minute);
    expect(await count('dead/')).toBe(3);
    process.queue<number>('q').consume((job) => job.deadLetter('no'));
    await strict.putMany([6, 7]);
    await settle(3 * minute);
    expect(await count('dead/')).toBe(5);
  });

  it('is the newest, so many', async () => {
    const jobs = await queue({ retention: { dead: { count: 3 } }, attempts: 1 });
    jobs.consume(() => {
      throw new Error('no');
    });
    await settle();
    for (let i = 0; i < 10; i += 1) {
      await jobs.put(i);
      await settle(10);
    }
    await settle(2 * minute);
    const { kvs } = await etcd.store.read({ key: 'queue/q/dead/', end: 'queue/q/dead0' });
    expect(kvs.map(({ value }) => Number(value.toString().split('\n')[1]))).toEqual([7, 8, 9]);
  });
});

it.each([hour, -hour])(
  'a delay lasts as long with a keeper that has come a moment ago, whose wall clock is off by %d ms',
  async (off) => {
    const first = (await connectSkewed(() => 0)).queue<number>('q');
    const { done, consumer } = worker(first);
    await settle();
    await first.put(1, { delay: 30 * minute });
    await settle(10_000);
    const second = worker((await connectSkewed(() => off)).queue<number>('q'));
    await settle(20_000);
    await consumer.close();
    await settle(28 * minute);
    expect([done, second.done]).toEqual([[], []]);
    await settle(3 * minute);
    expect(second.done.map(([value]) => value)).toEqual([1]);
  },
);

it('dead letters are kept that a queue of the process wants kept, though that took no jobs for a while', async () => {
  const process = await etcd.connect({ session });
  const jobs = process.queue<number>('q', { attempts: 1 });
  await jobs.putMany([1, 2, 3]);
  const next = jobs.nextMany(3);
  await settle();
  for (const job of await next) await job.deadLetter('no');
  await settle(minute);
  worker(process.queue<number>('q', { retention: { dead: { count: 0 } } }));
  await settle(5 * minute);
  expect((await jobs.list('dead')).jobs).toHaveLength(3);
});

it('a keeper whose writes are refused tries again ever more seldom', async () => {
  const refused = new RefusedError('RESOURCE_EXHAUSTED', 'database space exceeded');
  const decorate = (store: Store): Store =>
    override(store, {
      commit: (txn, options) =>
        putsKey('!time', txn) ? Promise.reject(refused) : store.commit(txn, options),
    });
  const process = await etcd.connect({ session, decorate });
  const jobs = process.queue<number>('q');
  const errors: unknown[] = [];
  jobs.on('error', ({ error }) => errors.push(error));
  await jobs.put(1, { delay: hour });
  void jobs.next({ timeout: hour }).catch(() => {});
  // After 100 ms, and twice as long each time, up to 5 s.
  await settle(minute);
  expect(errors.length).toBeGreaterThan(5);
  expect(errors.length).toBeLessThan(50);
});
