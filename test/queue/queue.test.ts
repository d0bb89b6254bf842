import { describe, expect, it, vi } from 'vitest';
import { HoldLostError, type Job, type Queue } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const patience = { timeout: 60_000 };

async function queue(options = {}): Promise<Queue<number>> {
  return (await etcd.connect()).queue<number>(etcd.name('queue'), options);
}

async function values(jobs: Queue<number>, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const job = await jobs.next({ timeout: 60_000 });
    found.push(job.value);
    await job.ack();
  }
  return found;
}

describe('a queue', () => {
  it('gives jobs in the order in which they were put, and leaves nothing behind', async () => {
    const jobs = await queue();
    for (const value of [1, 2, 3]) await jobs.put(value);
    expect(await values(jobs, 3)).toEqual([1, 2, 3]);
    expect(await etcd.count(`queue/${jobs.name}/ready/`)).toBe(0);
  });

  it('says that a job is done only if it was acknowledged, whoever ends it', async () => {
    const jobs = await queue({ attempts: 2 });
    const told: string[] = [];
    const ends: Record<number, (job: Job<number>) => Promise<void>> = {
      1: (job) => job.ack(),
      2: (job) => job.nack({ delay: 0 }),
      3: (job) => job.deadLetter('bad'),
    };
    const consumer = jobs.consume((job) => job.attempt === 1 && ends[job.value]?.(job));
    consumer
      .on('done', ({ job }) => told.push(`done ${job.value}`))
      .on('failed', ({ job, error }) => told.push(`failed ${job.value} ${String(error)}`));
    await jobs.putMany([0, 1, 2, 3]);
    await consumer.drain();
    const failed = ['failed 2 undefined', 'failed 3 undefined'];
    expect(told.toSorted()).toEqual(['done 0', 'done 1', 'done 2', ...failed]);
    await jobs.deadLetters.purge('all');
  });

  it('gives nothing where there is nothing', async () => {
    const jobs = await queue();
    expect(await jobs.tryNext()).toBeUndefined();
    await expect(jobs.next({ timeout: 50 })).rejects.toThrow('50 ms');
  });

  it('wakes who waits', async () => {
    const jobs = await queue();
    const next = jobs.next({ timeout: 60_000 });
    await jobs.put(7);
    const job = await next;
    expect(job).toMatchObject({ value: 7, attempt: 1, attempts: 5 });
    await job.ack();
    await expect(job.ack()).rejects.toThrow(HoldLostError);
  });

  it('puts many in their order', async () => {
    const jobs = await queue();
    // More than a page.
    const all = Array.from({ length: 1_100 }, (_, i) => i);
    await jobs.putMany(all);
    expect(await values(jobs, 100)).toEqual(all.slice(0, 100));
    const taken = await Promise.all(all.slice(100, 1_000).map(() => jobs.next()));
    await Promise.all(taken.map((job) => job.ack()));
    const byValue = taken.map(({ value }) => value).toSorted((x, y) => x - y);
    expect(byValue).toEqual(all.slice(100, 1_000));
    expect(await values(jobs, 100)).toEqual(all.slice(1_000));
  });

  it('gives those of lower priority numbers first', async () => {
    const jobs = await queue();
    await jobs.put(9, { priority: 9 });
    await jobs.put(5);
    await jobs.put(1, { priority: 1 });
    expect(await values(jobs, 3)).toEqual([1, 5, 9]);
  });

  it('gives each job once to many processes', async () => {
    const name = etcd.name('queue');
    const all = Array.from({ length: 500 }, (_, i) => i);
    // Who stands still for longer loses what it works on, which others then do again.
    const session = { ttl: 60_000 };
    const processes = await Promise.all([0, 1, 2, 3].map(() => etcd.connect({ session })));
    const done: number[] = [];
    const consumers = processes.map((each) =>
      each.queue<number>(name).consume((job) => done.push(job.value), { concurrency: 4 }),
    );
    await processes[0]?.queue<number>(name).putMany(all);
    await vi.waitFor(() => expect(done.length).toBe(500), patience);
    expect(done.toSorted((a, b) => a - b)).toEqual(all);
    await Promise.all(consumers.map((each) => each.close()));
    expect(await etcd.count(`queue/${name}/ready/`)).toBe(0);
  });

  it('gives a job again whose taker died', async () => {
    const name = etcd.name('queue');
    const [a, b] = await etcd.connectAll(2);
    const jobs = a?.queue<number>(name) as Queue<number>;
    await jobs.put(1);
    const lost = await jobs.next();
    const next = b?.queue<number>(name).next({ timeout: 60_000 });
    await etcd.admin.revoke(a?.session.id ?? 0n);
    const job = (await next) as Job<number>;
    expect(job).toMatchObject({ value: 1, attempt: 2 });
    expect(job.token).toBeGreaterThan(lost.token);
    await expect(lost.ack()).rejects.toThrow(HoldLostError);
    await job.ack();
  });

  it('does with the end of a job what goes with it', async () => {
    const jobs = await queue();
    const other = await queue();
    await jobs.put(1);
    const job = await jobs.next();
    const key = etcd.name();
    await job.ack({ txn: (txn) => txn.put(key, 'done').enqueue(other, 2) });
    expect(await values(other, 1)).toEqual([2]);
    expect(String((await etcd.admin.read({ key })).kvs[0]?.value)).toBe('done');
  });

  it('gives a job again that was given back, and keeps what was given up', async () => {
    const jobs = await queue({ attempts: 2 });
    await jobs.put(1);
    await (await jobs.next()).nack({ delay: 0, reason: 'no' });
    const again = await jobs.next({ timeout: 1_000 });
    expect(again).toMatchObject({ attempt: 2, history: [{ attempt: 1, reason: 'no' }] });
    await again.nack({ reason: 'still no' });
    expect(await jobs.tryNext()).toBeUndefined();
    expect(await etcd.count(`queue/${jobs.name}/dead/`)).toBe(1);
  });
});
