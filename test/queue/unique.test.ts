import { describe, expect, it } from 'vitest';
import { ArgumentError, type Queue } from '../../src/index.js';
import { startTestEtcd } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { connectLossy } from '../support/lossy.js';
import { randomFrom } from '../support/random.js';

const etcd = useEtcd();
const soon = { timeout: 60_000 };

async function queue(): Promise<Queue<number>> {
  return (await etcd.connect()).queue<number>(etcd.name('queue'));
}

describe('a job with an id', () => {
  it('is not put while another of that id is not done', async () => {
    const jobs = await queue();
    const first = await jobs.put(1, { id: 'x/!' });
    expect(first.isDuplicate).toBe(false);
    const again = { id: first.id, revision: first.revision, isDuplicate: true };
    expect(await jobs.put(2, { id: 'x/!' })).toMatchObject(again);
    const job = await jobs.next(soon);
    expect(job).toMatchObject({ id: first.id, name: 'x/!', value: 1 });
    expect(await jobs.put(3, { id: 'x/!' })).toMatchObject(again);
    await job.nack({ delay: 60_000 });
    expect(await jobs.put(4, { id: 'x/!' })).toMatchObject(again);
    expect((await jobs.put(5, { id: 'y' })).isDuplicate).toBe(false);
  });

  it('may be put again after the other was done, or given up', async () => {
    const jobs = await queue();
    const isNew = async (): Promise<boolean> => !(await jobs.put(1, { id: 'x' })).isDuplicate;
    expect(await isNew()).toBe(true);
    await (await jobs.next(soon)).ack();
    expect(await isNew()).toBe(true);
    await (await jobs.next(soon)).deadLetter('no');
    expect(await isNew()).toBe(true);
    expect(await isNew()).toBe(false);
    await (await jobs.next(soon)).ack();
    expect(await etcd.count(`queue/${jobs.name}/unique/`)).toBe(0);
  });

  it('may be put again after the other was cancelled, or the queue was cleared', async () => {
    const jobs = await queue();
    const put = async (options = {}): Promise<string | undefined> => {
      const { id, isDuplicate } = await jobs.put(1, { id: 'x', ...options });
      return isDuplicate ? undefined : id;
    };
    await jobs.cancel((await put()) as string);
    await jobs.cancel((await put({ delay: 60_000 })) as string);
    expect(await put()).toBeDefined();
    await jobs.clear();
    expect(await put({ delay: 60_000 })).toBeDefined();
    await jobs.clear();
    expect(await put()).toBeDefined();
    expect(await put()).toBeUndefined();
  });

  it('is put once of many that are put at the same time', async () => {
    const jobs = await queue();
    const options = { id: 'x' };
    const receipts = await Promise.all([
      jobs.put(1, options),
      jobs.put(2, { dedupe: { key: 'x' } }),
      jobs.put(3, options),
      jobs.put(4),
    ]);
    expect(receipts.map(({ isDuplicate }) => isDuplicate)).toEqual([false, false, true, false]);
    expect(receipts[2]?.id).toBe(receipts[0]?.id);
    expect(await etcd.count(`queue/${jobs.name}/ready/`)).toBe(3);
  });

  it('is put once by many processes whose replies are lost', async () => {
    const name = etcd.name('queue');
    const random = randomFrom(11);
    const losses = { replies: 0.2, requests: 0.2 };
    const queues: Queue<number>[] = [];
    for (let i = 0; i < 4; i += 1) {
      queues.push((await connectLossy(etcd, random, losses)).queue<number>(name));
    }
    const ids = Array.from({ length: 20 }, (_, i) => `${i}`);
    const receipts = await Promise.all(
      ids.flatMap((id) => queues.map((jobs) => jobs.put(1, { id, timeout: 30_000 }))),
    );
    const put = receipts.filter(({ isDuplicate }) => !isDuplicate);
    expect(put.length).toBe(20);
    expect(new Set(receipts.map(({ id }) => id)).size).toBe(20);
    expect(await etcd.count(`queue/${name}/ready/`)).toBe(20);
  });

  it('is no duplicate of itself where its reply is lost', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const jobs = coordinator.queue<number>(etcd.name('queue'));
    below.plan('loses its reply');
    const first = await jobs.put(1, { id: 'x' });
    expect(first.isDuplicate).toBe(false);
    below.plan('loses its reply');
    const { id, revision } = first;
    expect(await jobs.put(2, { id: 'x' })).toMatchObject({ id, revision, isDuplicate: true });
  });

  it('is put by the end of another job, unless there is one', async () => {
    const jobs = await queue();
    const other = await queue();
    await jobs.putMany([1, 2]);
    for (let i = 0; i < 2; i += 1) {
      const job = await jobs.next(soon);
      await job.ack({ txn: (txn) => txn.enqueue(other, job.value, { id: 'x' }) });
    }
    expect(await other.next(soon)).toMatchObject({ value: 1, name: 'x' });
    expect(await etcd.count(`queue/${jobs.name}/ready/`)).toBe(0);
    const windowed = { dedupe: { key: 'x', window: 1_000 } };
    expect(() => jobs.enqueuing(1, windowed)).toThrow(ArgumentError);
  });
});

describe('a job with a key', () => {
  it('is not put while another of that key is not done, and may be after it', async () => {
    const jobs = await queue();
    const options = { dedupe: { key: 'x' } };
    await jobs.put(1, options);
    expect(await jobs.put(2, options)).toMatchObject({ isDuplicate: true });
    await (await jobs.next(soon)).ack();
    expect(await jobs.put(3, options)).toMatchObject({ isDuplicate: false });
  });

  it('is not put within the window of another, done or not', async () => {
    const own = await startTestEtcd({ time: 'virtual' });
    etcd.defer(() => own.stop());
    const jobs = (await own.connect()).queue<number>('jobs');
    const options = { dedupe: { key: 'x', window: 10_000 } };
    const put = async (): Promise<boolean> => {
      const receipt = jobs.put(1, options);
      await own.advance(0);
      return !(await receipt).isDuplicate;
    };
    expect(await put()).toBe(true);
    const next = jobs.next();
    await own.advance(10);
    await (await next).ack();
    await own.advance(9_000);
    expect(await put()).toBe(false);
    await own.advance(4_000);
    expect(await put()).toBe(true);
  });

  it('shares the lease of its window with others, and gets another where that is gone', async () => {
    const jobs = await queue();
    const put = (key: string): ReturnType<typeof jobs.put> =>
      jobs.put(1, { dedupe: { key, window: 60_000 } });
    await Promise.all([put('a'), put('b'), jobs.put(1)]);
    const folder = `queue/${jobs.name}/unique/`;
    const range = { key: folder, end: folder.replace(/\/$/, '0') };
    const leases = async (): Promise<bigint[]> =>
      (await etcd.admin.read(range)).kvs.map(({ lease }) => lease);
    const [lease = 0n, other] = await leases();
    expect(lease).toBeGreaterThan(0n);
    expect(other).toBe(lease);
    await etcd.admin.revoke(lease);
    expect(await put('a')).toMatchObject({ isDuplicate: false });
    expect(await put('a')).toMatchObject({ isDuplicate: true });
    expect(await leases()).not.toContain(lease);
    for (const each of await leases()) await etcd.admin.revoke(each);
  });

  it('is refused where it makes no sense', async () => {
    const jobs = await queue();
    const both = { id: 'x', dedupe: { key: 'x' } };
    await expect(jobs.put(1, both)).rejects.toThrow('dedupe');
    await expect(jobs.put(1, { id: '' })).rejects.toThrow('id');
    await expect(jobs.put(1, { dedupe: { key: 'x', window: 0 } })).rejects.toThrow('dedupe.window');
  });
});
