import { describe, expect, it, vi } from 'vitest';
import { prefixRange } from '../../src/core/store/keys.js';
import {
  type Coordinator,
  HoldLostError,
  type Job,
  type Queue,
  type UnavailableError,
} from '../../src/index.js';
import { claimsOf, QueueKeys } from '../../src/queue/queue-keys.js';
import { compact, useEtcd } from '../support/etcd.js';

// What users of other libraries found wrong with their queues.
const etcd = useEtcd();
const patience = { timeout: 60_000 };

async function two(options = {}): Promise<readonly [Queue<number>, Queue<number>, Coordinator]> {
  const name = etcd.name('queue');
  const [a, b] = (await etcd.connectAll(2)) as [Coordinator, Coordinator];
  return [a.queue<number>(name, options), b.queue<number>(name, options), a];
}

async function take(queue: Queue<number>): Promise<number> {
  const job = await queue.next(patience);
  await job.ack();
  return job.value;
}

const moment = (ms = 100): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('Go’s recipes', () => {
  it('whoever waits goes on waiting through a cut after which etcd has forgotten what came', async () => {
    const name = etcd.name('queue');
    const proxy = await etcd.startProxy();
    const far = await etcd.connect({ endpoints: [proxy.endpoint], session: { ttl: 60_000 } });
    const near = (await etcd.connect()).queue<number>(name);
    const next = far.queue<number>(name).next();
    await moment();
    proxy.cut();
    await near.put(1);
    expect(await take(near)).toBe(1);
    await near.put(2);
    await compact(etcd.endpoint, etcd.admin);
    proxy.heal();
    const job = await next;
    expect(job.value).toBe(2);
    await job.ack();
  });

  it('jobs of a queue whose name begins with that of another are not in that one', async () => {
    const process = await etcd.connect();
    const name = etcd.name('queue');
    for (const other of ['-dead', '/dead', '/ready', '!', '0', '.']) {
      const jobs = process.queue<number>(`${name}${other}`);
      await jobs.put(1);
      expect(await process.queue<number>(name).tryNext()).toBeUndefined();
      expect(await take(jobs)).toBe(1);
    }
    await etcd.admin.commit({
      success: [{ delete: { key: `queue/${name}`, end: `queue/${name}~` } }],
    });
  });

  it('who waits gets the first by priority of jobs that are put at once', async () => {
    const [theirs, ours] = await two();
    const next = ours.next(patience);
    await moment();
    const success = [theirs.enqueuing(9, { priority: 9 }), theirs.enqueuing(1, { priority: 1 })];
    await etcd.admin.commit({ success });
    expect((await next).value).toBe(1);
  });
});

describe('a job whose worker died', () => {
  it('is taken up by others as soon as its session has ended (graphile#204, #222)', async () => {
    const [theirs, ours, process] = await two();
    await theirs.put(1);
    await theirs.put(2);
    expect((await theirs.next(patience)).value).toBe(1);
    expect((await ours.next(patience)).value).toBe(2);
    const next = ours.next(patience);
    await moment();
    await etcd.admin.revoke(process.session.id);
    expect((await next).value).toBe(1);
  });

  it('and which kills each, is given up after so many (bullmq#652)', async () => {
    const name = etcd.name('queue');
    const put = (await etcd.connect()).queue<number>(name);
    await put.put(1, { attempts: 3 });
    await put.put(2);
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const process = await etcd.connect();
      const job = await process.queue<number>(name).next(patience);
      expect(job).toMatchObject({ value: 1, attempt });
      await etcd.admin.revoke(process.session.id);
    }
    expect(await take(put)).toBe(2);
    const dead = `queue/${name}/dead/`;
    const { kvs } = await etcd.admin.read({ key: dead, end: `queue/${name}/dead0` });
    expect(kvs.map(({ value }) => value.toString())).toEqual([expect.stringContaining('died')]);
    expect(await etcd.count(`queue/${name}/ready/`)).toBe(0);
  });
});

describe('a handler', () => {
  it('that never ends does not keep its job, and what it does later has no effect (bullmq#632, bull#1416, nats-server#7680)', async () => {
    const [theirs, ours] = await two({ visibility: 200 });
    const key = etcd.name();
    const hung: Job<number>[] = [];
    const consumer = theirs.consume((job) => {
      hung.push(job);
      return new Promise(() => {});
    });
    await theirs.put(1);
    await vi.waitFor(() => expect(hung.length).toBe(1), patience);
    const job = await ours.next(patience);
    expect(job).toMatchObject({ value: 1, attempt: 2 });
    const [zombie] = hung as [Job<number>];
    expect(zombie.signal.aborted).toBe(true);
    expect(zombie.signal.reason).toMatchObject({ reason: 'idle' });
    const late = zombie.ack({ txn: (txn) => txn.put(key, 'late') });
    await expect(late).rejects.toThrow(HoldLostError);
    expect((await etcd.admin.read({ key })).count).toBe(0);
    await job.ack();
    await consumer.close(0);
  });

  it('is told when it has taken too long, whatever signs of life it gives (bull#308)', async () => {
    const [theirs, ours] = await two({ maxTime: 300 });
    await theirs.put(1);
    const job = await theirs.next(patience);
    const signs = setInterval(() => job.isHeld && job.extend(), 20);
    const again = await ours.next(patience);
    clearInterval(signs);
    expect(job.signal.reason).toMatchObject({ reason: 'max-hold' });
    expect(again.token).toBeGreaterThan(job.token);
    await again.ack();
  });

  it('is told of a shutdown, and its job is given back at once and is as new (bullmq#3017, pg-boss#303)', async () => {
    const [theirs, ours] = await two();
    let stopped: unknown;
    const consumer = theirs.consume(
      (job) =>
        new Promise((_, reject) =>
          job.signal.addEventListener('abort', () => {
            stopped = job.signal.reason;
            reject(job.signal.reason as Error);
          }),
        ),
    );
    await theirs.put(1);
    await vi.waitFor(() => expect(consumer.size).toBe(1), patience);
    await consumer.close(0);
    expect(stopped).toMatchObject({ reason: 'closed' });
    const job = await ours.next(patience);
    expect(job.attempt).toBe(1);
    await job.ack();
  });

  it('that blocked the event loop for longer than it had is not told that its job is done (bullmq#3056, #3183)', async () => {
    const [theirs, ours] = await two({ visibility: 100 });
    await theirs.put(1);
    const job = await theirs.next(patience);
    const end = performance.now() + 300;
    while (performance.now() < end);
    await moment(0);
    await expect(job.ack()).rejects.toThrow(HoldLostError);
    expect(await take(ours)).toBe(1);
  });
});

describe('who puts a job', () => {
  it('is told where that failed, and whether it may be there all the same (Netflix/curator#135)', async () => {
    const name = etcd.name('queue');
    const proxy = await etcd.startProxy();
    const far = await etcd.connect({ endpoints: [proxy.endpoint], session: { ttl: 60_000 } });
    const jobs = far.queue<number>(name);
    await jobs.put(1);
    proxy.cut();
    const put = jobs.put(2, { timeout: 300 });
    const outcome = await put.catch((error: UnavailableError) => error.outcome);
    expect(['unknown', 'not-applied']).toContain(outcome);
    proxy.heal();
    await jobs.put(3);
    const { kvs } = await etcd.admin.read(prefixRange(new QueueKeys(name).ready));
    const values = kvs.map(({ value }) => Number(value.toString().split('\n')[1]));
    expect(values.filter((value) => value !== 2).toSorted((a, b) => a - b)).toEqual([1, 3]);
    expect(values.length).toBeLessThanOrEqual(outcome === 'unknown' ? 3 : 2);
  });
});

describe('who consumes', () => {
  it('goes on after its connections were cut, and after its session was lost (bullmq#1656, #1658, #2466, CURATOR-623)', async () => {
    const name = etcd.name('queue');
    const proxy = await etcd.startProxy();
    const far = await etcd.connect({ endpoints: [proxy.endpoint], session: { ttl: 2_000 } });
    const near = (await etcd.connect()).queue<number>(name);
    const done = new Set<number>();
    const consumer = far.queue<number>(name).consume(({ value }) => done.add(value));
    await near.put(1);
    await vi.waitFor(() => expect(done.size).toBe(1), patience);
    const lost = new Promise((resolve) => far.session.signal.addEventListener('abort', resolve));
    proxy.cut();
    await near.put(2);
    await lost;
    proxy.heal();
    await near.put(3);
    await vi.waitFor(() => expect(done.size).toBe(3), { timeout: 15_000 });
    await consumer.close();
  });

  it('ends nothing with an older claim of its own, where it has taken the job again', async () => {
    const [jobs] = await two();
    await jobs.put(1);
    const before = await jobs.next(patience);
    const { ready } = new QueueKeys(jobs.name);
    const claims = prefixRange(claimsOf(ready + before.id));
    await etcd.admin.commit({ success: [{ delete: claims }] });
    const job = await jobs.next(patience);
    expect(job).toMatchObject({ id: before.id, attempt: 2 });
    await expect(before.ack()).rejects.toThrow(HoldLostError);
    await expect(before.nack()).rejects.toThrow(HoldLostError);
    await job.ack();
  });

  it('of one job has it once, however many wait (curator#1122)', async () => {
    const [theirs, ours] = await two();
    const stop = new AbortController();
    const given: Job<number>[] = [];
    for (const queue of [theirs, ours, theirs, ours, theirs]) {
      void queue.next({ signal: stop.signal }).then(
        (job) => given.push(job),
        () => {},
      );
    }
    await moment();
    await theirs.put(1);
    await vi.waitFor(() => expect(given.length).toBe(1), patience);
    await moment();
    stop.abort();
    await moment();
    expect(given.length).toBe(1);
    const [job] = given as [Job<number>];
    const acks = await Promise.allSettled([job.ack(), job.ack()]);
    expect(acks.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    await expect(job.nack()).rejects.toThrow(HoldLostError);
  });

  it('gives back what it leaves unended, unless it was ended', async () => {
    const [theirs, ours] = await two();
    await theirs.putMany([1, 2]);
    {
      await using job = await theirs.next(patience);
      expect(job.value).toBe(1);
    }
    // Who is nearer to which of them says who comes first.
    const taken: (readonly [number, number])[] = [];
    for (let i = 0; i < 2; i += 1) {
      await using job = await ours.next(patience);
      taken.push([job.value, job.attempt]);
      await job.ack();
    }
    expect(taken.toSorted(([a], [b]) => a - b)).toEqual([
      [1, 1],
      [2, 1],
    ]);
    expect(await etcd.count(`queue/${ours.name}/ready/`)).toBe(0);
  });
});
