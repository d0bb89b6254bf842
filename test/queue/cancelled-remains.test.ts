import { describe, expect, it } from 'vitest';
import { type Job, type Queue, WaitTimeoutError } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

describe('after jobs were cancelled whose taker hears nothing', { timeout: 60_000 }, () => {
  async function cancelled(count: number): Promise<Queue<number>> {
    const proxy = await etcd.startProxy();
    const far = await etcd.connect({ endpoints: [proxy.endpoint], session: { ttl: 60_000 } });
    const name = etcd.name('queue');
    const jobs = (await etcd.connect()).queue<number>(name, { limit: 1_000_000 });
    await jobs.putMany(Array.from({ length: count }, (_, i) => i));
    const taken: Job<number>[] = [];
    const others = far.queue<number>(name, { visibility: 600_000 });
    while (taken.length < count)
      taken.push(...(await others.nextMany(count - taken.length, { timeout: 20_000 })));
    proxy.cut();
    expect(await jobs.clear({ claimed: true })).toMatchObject({ ready: 0, claimed: count });
    expect(await jobs.stats({ exact: true })).toMatchObject({ depth: 0, claimed: 0 });
    return jobs;
  }

  it('drained() waits for what was put since', async () => {
    const jobs = await cancelled(1_000);
    await jobs.put(-1);
    expect(await jobs.stats({ exact: true })).toMatchObject({ depth: 1, ready: 1 });
    await expect(jobs.drained({ timeout: 1_000 })).rejects.toThrow(WaitTimeoutError);
  });

  it('list() shows what was put since', async () => {
    const jobs = await cancelled(2_000);
    const { id } = await jobs.put(-1);
    const page = await jobs.list('ready');
    expect(page.jobs.map((job) => job.id)).toEqual([id]);
  });

  it('list() shows what was put before', async () => {
    const jobs = await cancelled(1_999);
    const { id } = await jobs.put(-1, { priority: 0 });
    await jobs.put(-2);
    const page = await jobs.list('ready');
    expect(page.jobs.map((job) => job.value)).toEqual([-1, -2]);
    expect(page.jobs[0]?.id).toBe(id);
  });
});
