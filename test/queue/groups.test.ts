import { describe, expect, it, vi } from 'vitest';
import { ArgumentError, type Queue, type QueueOptions } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { connectLossy } from '../support/lossy.js';
import { randomFrom } from '../support/random.js';

const etcd = useEtcd();
const patience = { timeout: 60_000 };
const soon = { timeout: 60_000 };

async function queue(options: QueueOptions<string>): Promise<Queue<string>> {
  return (await etcd.connect()).queue<string>(etcd.name('queue'), options);
}

describe('jobs of a group', () => {
  it('are worked on so many at a time, while others go on (bullmq#671, pg-boss#446, glide-mq#22)', async () => {
    const jobs = await queue({ groupConcurrency: 2 });
    await jobs.putMany(['a1', 'a2', 'a3'], { group: 'a/:!' });
    await jobs.put('b1', { group: 'b' });
    await jobs.put('c');
    const [a1, , ...others] = await Promise.all(Array.from({ length: 4 }, () => jobs.next(soon)));
    expect(a1).toMatchObject({ value: 'a1', group: 'a/:!' });
    expect(others.map(({ value }) => value)).toEqual(['b1', 'c']);
    expect(await jobs.tryNext()).toBeUndefined();
    await a1?.ack();
    expect(await jobs.next(soon)).toMatchObject({ value: 'a3' });
  });

  it('have room again after one was given back, or given up, or its taker died', async () => {
    const jobs = await queue({ groupConcurrency: 1 });
    const other = (await etcd.connect()).queue<string>(jobs.name, { groupConcurrency: 1 });
    await jobs.putMany(['a1', 'a2', 'a3'], { group: 'a' });
    await (await jobs.next(soon)).nack({ delay: 0 });
    await (await jobs.next(soon)).release();
    await (await jobs.next(soon)).deadLetter('no');
    await jobs.next(soon);
    const next = other.next({ timeout: 60_000 });
    expect(await etcd.count(`queue/${jobs.name}/ready!slots/`)).toBe(1);
    const { kvs } = await etcd.admin.read({
      key: `queue/${jobs.name}/ready!slots/`,
      end: `queue/${jobs.name}/ready!slots0`,
    });
    await etcd.admin.revoke(kvs[0]?.lease ?? 0n);
    await (await next).ack();
    await (await other.next(soon)).ack();
    expect(await etcd.count(`queue/${jobs.name}/ready!slots/`)).toBe(0);
  });

  it('are never too many at a time in many processes, also where replies are lost', async () => {
    const name = etcd.name('queue');
    const random = randomFrom(7);
    const losses = { replies: 0.05, requests: 0.05 };
    const processes = await Promise.all(
      Array.from({ length: 4 }, () => connectLossy(etcd, random, losses)),
    );
    const running = new Map<string, number>();
    const done: string[] = [];
    let most = 0;
    const consumers = processes.map((each) =>
      each.queue<string>(name, { groupConcurrency: 2 }).consume(
        async (job) => {
          const count = (running.get(job.value) ?? 0) + 1;
          running.set(job.value, count);
          most = Math.max(most, count);
          await new Promise((resolve) => setImmediate(resolve));
          running.set(job.value, (running.get(job.value) as number) - 1);
          done.push(job.value);
        },
        { concurrency: 4 },
      ),
    );
    const producer = (await etcd.connect()).queue<string>(name);
    for (let i = 0; i < 40; i += 1) {
      for (const group of ['a', 'b', 'c']) void producer.put(group, { group });
    }
    await vi.waitFor(() => expect(done.length).toBeGreaterThanOrEqual(120), patience);
    await vi.waitFor(
      async () => expect(await etcd.count(`queue/${name}/ready/`)).toBe(0),
      patience,
    );
    await Promise.all(consumers.map((each) => each.close()));
    expect(most).toBe(2);
    expect(done.length).toBe(120);
  }, 180_000);

  it('may be as many as there are where the queue sets no limit', async () => {
    const jobs = await queue({});
    await jobs.putMany(['a1', 'a2'], { group: 'a' });
    await Promise.all([jobs.next(soon), jobs.next(soon)]);
    expect(await etcd.count(`queue/${jobs.name}/ready!slots/`)).toBe(0);
    await expect(queue({ groupConcurrency: 0 })).rejects.toThrow(ArgumentError);
  });
});
