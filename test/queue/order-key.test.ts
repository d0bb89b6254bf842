import { describe, expect, it } from 'vitest';
import { ArgumentError, type Coordinator, type Queue, type QueueOptions } from '../../src/index.js';
import { QueueKeys, restOf } from '../../src/queue/queue-keys.js';
import { startTestEtcd } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const later = { delay: 60_000, reason: 'later' };
const soon = { timeout: 15_000 };

interface Rig {
  readonly coordinator: Coordinator;
  readonly jobs: Queue<string>;
}

async function rig(options: QueueOptions<string> = {}): Promise<Rig> {
  const coordinator = await etcd.connect();
  return { coordinator, jobs: coordinator.queue<string>(etcd.name('queue'), options) };
}

/** Brings back what rests, before its time. */
async function wake({ name }: Queue<string>, id: string): Promise<void> {
  const { rests, ready } = new QueueKeys(name);
  const keys = [rests + id, restOf(ready + id)];
  await etcd.admin.commit({ success: keys.map((key) => ({ delete: { key } })) });
}

/** Takes so many, and finds no more. */
async function take(jobs: Queue<string>, count: number): Promise<string[]> {
  const found: string[] = [];
  for (let i = 0; i < count; i += 1) {
    const job = await jobs.next(soon);
    found.push(job.value);
    await job.ack();
  }
  expect(await jobs.tryNext()).toBeUndefined();
  return found;
}

describe('jobs with an order key', () => {
  it('are worked on one at a time, in the order of their puts, and others go on', async () => {
    const { jobs } = await rig();
    await jobs.putMany(['a1', 'a2'], { orderKey: 'a' });
    await jobs.put('b1', { orderKey: 'b' });
    await jobs.put('c');
    const a1 = await jobs.next(soon);
    expect(a1).toMatchObject({ value: 'a1', orderKey: 'a' });
    expect(await take(jobs, 2)).toEqual(['b1', 'c']);
    await a1.ack();
    expect(await take(jobs, 1)).toEqual(['a2']);
  });

  it('wait for one that is to be tried again (bullmq#1040, #2774, bull#1589, #2211)', async () => {
    const { jobs } = await rig();
    await jobs.putMany(['a1', 'a2', 'a3'], { orderKey: 'a!/@: ü' });
    await jobs.put('b1', { orderKey: 'b' });
    const a1 = await jobs.next(soon);
    await a1.nack(later);
    expect(await take(jobs, 1)).toEqual(['b1']);
    const keys = new QueueKeys(jobs.name);
    const { kvs } = await etcd.admin.read({ key: keys.rests + a1.id });
    expect(JSON.parse(String(kvs[0]?.value))).toMatchObject({ delay: 60_000 });
    await wake(jobs, a1.id);
    const again = await jobs.next(soon);
    expect(again).toMatchObject({ value: 'a1', attempt: 2, orderKey: 'a!/@: ü' });
    expect(again.history).toMatchObject([{ reason: 'later' }]);
    await again.nack({ delay: 0 });
    expect(await take(jobs, 3)).toEqual(['a1', 'a2', 'a3']);
    expect(await etcd.count(keys.rests)).toBe(0);
  });

  it('wait for one that is to be tried again in every process, also where all is watched', async () => {
    const { jobs } = await rig();
    const other = (await etcd.connect()).queue<string>(jobs.name);
    const next = other.next(soon);
    await jobs.putMany(['a1', 'a2'], { orderKey: 'a' });
    const a1 = await next;
    const first = other.next(soon);
    await a1.nack(later);
    await jobs.put('b');
    expect(await first).toMatchObject({ value: 'b' });
    const second = other.next(soon);
    await wake(jobs, a1.id);
    expect(await second).toMatchObject({ value: 'a1', attempt: 2 });
    await (await second).ack();
    expect(await other.next(soon)).toMatchObject({ value: 'a2' });
  });

  it('begin again with the one whose taker died', async () => {
    const { coordinator, jobs } = await rig();
    const other = (await etcd.connect()).queue<string>(jobs.name);
    await jobs.putMany(['a1', 'a2'], { orderKey: 'a' });
    await jobs.next(soon);
    const next = other.next({ timeout: 60_000 });
    await etcd.admin.revoke(coordinator.session.id);
    const a1 = await next;
    expect(a1).toMatchObject({ value: 'a1', attempt: 2 });
    await a1.ack();
    expect(await take(other, 1)).toEqual(['a2']);
  });

  it('go on by themselves when one has waited long enough to be tried again', async () => {
    const own = await startTestEtcd({ time: 'virtual' });
    etcd.defer(() => own.stop());
    const jobs = (await own.connect()).queue<string>('jobs', { attempts: 3 });
    const done: string[] = [];
    const consumer = jobs.consume((job) => {
      done.push(`${job.value} ${job.attempt}`);
      if (job.value === 'a1' && job.attempt < 3) return job.nack({ delay: 60_000 });
      return undefined;
    });
    const put = jobs.putMany(['a1', 'a2'], { orderKey: 'a' });
    await own.advance(10);
    await put;
    await own.advance(1_000);
    expect(done).toEqual(['a1 1']);
    await own.advance(60_000);
    expect(done).toEqual(['a1 1', 'a1 2']);
    await own.advance(60_000);
    expect(done).toEqual(['a1 1', 'a1 2', 'a1 3', 'a2 1']);
    const closed = consumer.close();
    await own.advance(10_000);
    await closed;
  });

  it('let others be found that are far behind them', { timeout: 180_000 }, async () => {
    const { jobs } = await rig();
    await jobs.putMany(
      Array.from({ length: 4_000 }, (_, i) => `a${i}`),
      { orderKey: 'a', timeout: 30_000 },
    );
    await jobs.put('b', { orderKey: 'b' });
    const a0 = await jobs.next(soon);
    expect(await jobs.next(soon)).toMatchObject({ value: 'b' });
    await a0.ack();
    const values: string[] = [];
    for (let i = 1; i < 50; i += 1) {
      const job = await jobs.next(soon);
      values.push(job.value);
      await job.ack();
    }
    expect(values).toEqual(Array.from({ length: 49 }, (_, i) => `a${i + 1}`));
  });

  it('may be in a queue of any name', async () => {
    const { coordinator } = await rig();
    const jobs = coordinator.queue<string>(`${etcd.name()}/ü!@:%C3`, { limit: 2 });
    await jobs.putMany(['a1', 'a2'], { orderKey: 'ü' });
    expect(await take(jobs, 2)).toEqual(['a1', 'a2']);
    await jobs.put('a3', { orderKey: 'ü' });
    expect(await take(jobs, 1)).toEqual(['a3']);
    expect(() => coordinator.queue('\ud800')).toThrow('name');
  });

  it('have no priority', async () => {
    const { jobs } = await rig();
    const put = jobs.put('a', { orderKey: 'a', priority: 5 });
    await expect(put).rejects.toThrow(ArgumentError);
    await expect(jobs.put('a', { orderKey: '' })).rejects.toThrow('orderKey');
    await expect(jobs.put('a', { orderKey: '\ud800' })).rejects.toThrow('orderKey');
  });
});

describe('a job with an order key that used up its attempts', () => {
  const twice = { attempts: 1, orderKey: 'a' };

  it('goes to the dead letters, and those after it go on', async () => {
    const { jobs } = await rig();
    await jobs.putMany(['a1', 'a2'], twice);
    await (await jobs.next(soon)).nack({ reason: 'no' });
    expect(await take(jobs, 1)).toEqual(['a2']);
    expect(await etcd.count(`queue/${jobs.name}/dead/`)).toBe(1);
  });

  it('is deleted with an event, if that is asked for', async () => {
    const { jobs } = await rig({ onExhausted: 'skip' });
    await jobs.putMany(['a1', 'a2'], twice);
    const skipped: unknown[] = [];
    jobs.on('skipped', (event) => skipped.push(event));
    const a1 = await jobs.next(soon);
    await a1.nack({ reason: 'no' });
    expect(skipped).toEqual([{ id: a1.id, orderKey: 'a', reason: 'no' }]);
    expect(await take(jobs, 1)).toEqual(['a2']);
    expect(await etcd.count(`queue/${jobs.name}/ready/`)).toBe(0);
    expect(await etcd.count(`queue/${jobs.name}/dead/`)).toBe(0);
  });

  it('blocks those after it until somebody has it tried again', async () => {
    const { jobs } = await rig({ onExhausted: 'block' });
    await jobs.putMany(['a1', 'a2'], twice);
    await jobs.put('b', { orderKey: 'b' });
    const a1 = await jobs.next(soon);
    await a1.nack({ reason: 'no' });
    expect(await take(jobs, 1)).toEqual(['b']);
    const { id } = a1;
    expect(await jobs.blockedKeys()).toMatchObject([{ orderKey: 'a', id, reason: 'no' }]);
    expect(await jobs.unblock('b', 'retry')).toBe(false);
    expect(await jobs.unblock('a', 'retry')).toBe(true);
    expect(await jobs.blockedKeys()).toEqual([]);
    const again = await jobs.next(soon);
    expect(again).toMatchObject({ value: 'a1', attempt: 1 });
    await again.ack();
    expect(await take(jobs, 1)).toEqual(['a2']);
  });

  it('is not waited for by who works until nothing is left that may be taken', async () => {
    const { jobs } = await rig({ onExhausted: 'block' });
    await jobs.putMany(['a1', 'a2'], twice);
    await jobs.put('b', { orderKey: 'b' });
    const done: string[] = [];
    const consumer = jobs.consume(async ({ value }) => {
      if (value === 'a1') throw new Error('no');
      done.push(value);
    });
    await consumer.drain();
    expect(done).toEqual(['b']);
    expect(await jobs.stats()).toMatchObject({ ready: 1, resting: 1 });
    await jobs.unblock('a', 'skip');
    await jobs.consume(({ value }) => done.push(value)).drain();
    expect(done).toEqual(['b', 'a2']);
  });

  it('blocks nobody any more once it is cancelled, or cleared', async () => {
    const { jobs } = await rig({ onExhausted: 'block' });
    const block = async (): Promise<string> => {
      await jobs.putMany(['a1', 'a2'], twice);
      const job = await jobs.next(soon);
      await job.nack({ reason: 'no' });
      expect(await jobs.blockedKeys()).toMatchObject([{ orderKey: 'a', id: job.id }]);
      return job.id;
    };
    expect(await jobs.cancel(await block())).toBe('resting');
    expect(await jobs.blockedKeys()).toEqual([]);
    expect(await take(jobs, 1)).toEqual(['a2']);
    await block();
    await jobs.clear();
    expect(await jobs.blockedKeys()).toEqual([]);
    await jobs.put('a3', twice);
    expect(await take(jobs, 1)).toEqual(['a3']);
  });

  it('comes after the others of its key where it is put again from the dead letters', async () => {
    const { jobs } = await rig();
    await jobs.put('a1', twice);
    await (await jobs.next(soon)).nack({ reason: 'no' });
    await jobs.put('a2', { orderKey: 'a', group: 'g' });
    const a2 = await jobs.next(soon);
    expect(await jobs.deadLetters.redrive('all')).toBe(1);
    expect(await jobs.tryNext()).toBeUndefined();
    await a2.ack();
    expect(await jobs.next(soon)).toMatchObject({ value: 'a1', orderKey: 'a' });
  });

  it('blocks those after it until somebody gives it up', async () => {
    const { jobs } = await rig({ onExhausted: 'block' });
    await jobs.putMany(['a1', 'a2', 'a3'], twice);
    const next = async (): Promise<void> => (await jobs.next(soon)).nack({ reason: 'no' });
    await next();
    expect(await jobs.unblock('a', 'dead-letter')).toBe(true);
    await next();
    expect(await jobs.unblock('a', 'skip')).toBe(true);
    expect(await jobs.next(soon)).toMatchObject({ value: 'a3' });
    expect(await etcd.count(`queue/${jobs.name}/dead/`)).toBe(1);
    await expect(jobs.unblock('a', 'no' as 'skip')).rejects.toThrow(ArgumentError);
  });
});
