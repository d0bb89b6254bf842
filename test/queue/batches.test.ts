import { describe, expect, it, vi } from 'vitest';
import { deferred } from '../../src/core/time/deferred.js';
import { type HoldLostError, Job, RefusedError } from '../../src/index.js';
import {
  claims,
  counted,
  ends,
  listen,
  nothingIsLeft,
  patience,
  upTo,
} from '../support/counted-queue.js';
import { useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { override } from '../support/override.js';

const etcd = useEtcd();

describe('jobs in batches', () => {
  it('come in their order, as many as there are and are wanted; each is claimed in one step with the others, and ended in one', async () => {
    const { queue, claimed, ended } = await counted(etcd);
    await queue.putMany(upTo(10));
    const batches: number[][] = [];
    const consumer = queue.consumeBatches(
      (jobs) => void batches.push(jobs.map(({ value }) => value)),
      { size: 4 },
    );
    const told = listen(consumer);
    await vi.waitFor(() => expect(told).toHaveLength(10), patience);
    await consumer.close();
    expect(batches).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
    expect(claimed).toEqual([4, 4, 2]);
    expect(ended).toEqual([4, 4, 2]);
    expect(told.map(([event]) => event)).toEqual(upTo(10).map(() => 'done'));
    await nothingIsLeft(etcd, queue);
  });

  it('are shared by those who wait: nobody claims what nobody waits for', async () => {
    const { queue, claimed } = await counted(etcd);
    const waiting = [
      queue.nextMany(50, patience),
      queue.next(patience),
      queue.nextMany(500, patience),
    ];
    await queue.putMany(upTo(300));
    const taken = (await Promise.all(waiting)).flat();
    expect(claimed.reduce((sum, count) => sum + count, 0)).toBe(taken.length);
    expect(taken.length).toBeGreaterThan(2);
    expect(taken.length).toBeLessThanOrEqual(151);
    expect(taken.every(({ attempt }) => attempt === 1)).toBe(true);
    const rest: Job<number>[] = [];
    while (rest.length < 300 - taken.length) rest.push(...(await queue.nextMany(500, patience)));
    const values = [...taken, ...rest].map(({ value }) => value);
    expect(values.toSorted((a, b) => a - b)).toEqual(upTo(300));
    const acks = await Job.ackAll([...taken, ...rest]);
    expect(acks.every(({ status }) => status === 'fulfilled')).toBe(true);
    await nothingIsLeft(etcd, queue);
  });

  it('have one of each order, and as many of a group as it may have', async () => {
    const { queue } = await counted(etcd, { groupConcurrency: 2 });
    for (const value of upTo(4)) await queue.put(value, { orderKey: 'x' });
    for (const value of [10, 11, 12, 13]) await queue.put(value, { group: 'g' });
    const batches: number[][] = [];
    const consumer = queue.consumeBatches((jobs) => {
      batches.push(jobs.map(({ value }) => value));
    });
    await nothingIsLeft(etcd, queue);
    await consumer.close();
    for (const batch of batches) {
      expect(batch.filter((value) => value < 10).length).toBeLessThanOrEqual(1);
      expect(batch.filter((value) => value >= 10).length).toBeLessThanOrEqual(2);
    }
    const all = batches.flat();
    expect(all.filter((value) => value < 10)).toEqual(upTo(4));
    expect(all.filter((value) => value >= 10)).toEqual([10, 11, 12, 13]);
  });

  it('are what their handler made of each, and done where it made nothing of them', async () => {
    const { queue } = await counted(etcd, { keepResults: true });
    const receipts = await queue.putMany(upTo(5));
    const consumer = queue.consumeBatches(async (jobs) => {
      await jobs[0].ack({ result: 'by hand' });
      if (jobs.length < 5) return;
      await jobs[1]?.deadLetter('no use');
      await jobs[2]?.nack({ reason: 'once more', delay: 0 });
    });
    const told = listen(consumer);
    const results = await Promise.allSettled(receipts.map((receipt) => receipt.finished(patience)));
    expect(
      results.map((result) => (result.status === 'fulfilled' ? result.value : 'dead')),
    ).toEqual(['by hand', 'dead', 'by hand', undefined, undefined]);
    await consumer.close();
    expect(told.toSorted(([a, b], [c, d]) => b - d || (a < c ? -1 : 1))).toEqual([
      ['done', 0],
      ['failed', 1, undefined],
      ['done', 2],
      ['failed', 2, undefined],
      ['done', 3],
      ['done', 4],
    ]);
  });

  it('are tried again where their handler throws, but for those that it had ended', async () => {
    const { queue } = await counted(etcd, { backoff: { type: 'fixed', delay: 1 } });
    await queue.putMany(upTo(3));
    const attempts: [number, number][] = [];
    const consumer = queue.consumeBatches(async (jobs) => {
      attempts.push(...jobs.map(({ value, attempt }): [number, number] => [value, attempt]));
      await jobs[0].ack();
      if (jobs.length === 3) throw new Error('not these');
    });
    const told = listen(consumer);
    await nothingIsLeft(etcd, queue);
    await vi.waitFor(() => expect(told).toHaveLength(5), patience);
    await consumer.close();
    expect(attempts.toSorted(([a, b], [c, d]) => a - c || b - d)).toEqual([
      [0, 1],
      [1, 1],
      [1, 2],
      [2, 1],
      [2, 2],
    ]);
    expect(told.filter(([event]) => event === 'failed')).toEqual([
      ['failed', 1, 'not these'],
      ['failed', 2, 'not these'],
    ]);
  });

  it('are done without the one that was cancelled meanwhile', async () => {
    const { queue } = await counted(etcd);
    const receipts = await queue.putMany(upTo(3));
    const consumer = queue.consumeBatches(async (jobs) => {
      const gone = deferred<void>();
      jobs[1]?.signal.addEventListener('abort', () => gone.resolve());
      await queue.cancel(receipts[1]?.id ?? '');
      await gone.promise;
    });
    const told = listen(consumer);
    await vi.waitFor(() => expect(told).toHaveLength(3), patience);
    await consumer.close();
    expect(told.toSorted(([, a], [, b]) => a - b)).toEqual([
      ['done', 0],
      ['lost', 1, 'deleted'],
      ['done', 2],
    ]);
    await nothingIsLeft(etcd, queue);
  });

  it('are done without one whose claim is gone, which nobody has noticed yet', async () => {
    const { queue } = await counted(etcd);
    await queue.putMany(upTo(3));
    const jobs = await queue.nextMany(3, patience);
    expect(jobs).toHaveLength(3);
    await etcd.admin.commit({
      success: [
        {
          delete: {
            key: `queue/${queue.name}/ready/${jobs[1]?.id}!c/`,
            end: `queue/${queue.name}/ready/${jobs[1]?.id}!c0`,
          },
        },
      ],
    });
    const acks = await Job.ackAll(jobs);
    expect(acks.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(acks[1]).toMatchObject({ reason: { name: 'HoldLostError', reason: 'deleted' } });
    const again = await queue.next(patience);
    expect([again.value, again.attempt]).toEqual([1, 2]);
    await again.ack();
  });

  it('are acknowledged once by two at once', async () => {
    const { queue } = await counted(etcd);
    await queue.putMany(upTo(20));
    const jobs = await queue.nextMany(20, patience);
    const [some, all] = await Promise.all([Job.ackAll(jobs.slice(5, 15)), Job.ackAll(jobs)]);
    const done = all.filter(({ status }) => status === 'fulfilled').length;
    expect(done + some.filter(({ status }) => status === 'fulfilled').length).toBe(20);
    expect(jobs.every(({ isDone, isHeld }) => isDone && !isHeld)).toBe(true);
    await nothingIsLeft(etcd, queue);
  });

  it('are done once where the answer to that is lost', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const queue = coordinator.queue<number>(etcd.name('queue'));
    await queue.putMany(upTo(5));
    const jobs = await queue.nextMany(5, patience);
    below.plan('loses its reply');
    const acks = await Job.ackAll(jobs);
    expect(acks.every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(jobs.every(({ isDone }) => isDone)).toBe(true);
    await nothingIsLeft(etcd, queue);
  });

  it('are what was made of them where they seem to be lost before that is known', async () => {
    const lost = deferred<void>();
    const process = await etcd.connect({}, (store) =>
      override(store, {
        async commit(txn, how) {
          const reply = await store.commit(txn, how);
          if (ends(txn) === 0) return reply;
          await etcd.admin.revoke(process.session.id);
          await lost.promise;
          return reply;
        },
      }),
    );
    process.session.signal.addEventListener('abort', () => lost.resolve());
    const queue = process.queue<number>(etcd.name('queue'));
    await queue.putMany(upTo(3));
    const consumer = queue.consumeBatches(() => {});
    const told = listen(consumer);
    await vi.waitFor(() => expect(told).toHaveLength(3), patience);
    expect(told.map(([event]) => event)).toEqual(['done', 'done', 'done']);
    expect(await etcd.count(`queue/${queue.name}/ready/`)).toBe(0);
  });

  it('are done one by one where etcd refuses it together', async () => {
    const refusal = new RefusedError('INVALID_ARGUMENT', 'too many operations in txn request');
    const { queue, ended } = await counted(etcd, {}, (txn) =>
      ends(txn) > 1 ? Promise.reject(refusal) : undefined,
    );
    await queue.putMany(upTo(5));
    const acks = await Job.ackAll(await queue.nextMany(5, patience));
    expect(acks.every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(ended.filter((count) => count === 1)).toHaveLength(5);
    await nothingIsLeft(etcd, queue);
  });

  it('are refused to those alone who asked for them', async () => {
    let refusals = 0;
    const { queue, claimed } = await counted(etcd, {}, (txn) => {
      if (claims(txn) === 0 || refusals === 4) return undefined;
      refusals += 1;
      return Promise.reject(new RefusedError('INVALID_ARGUMENT', 'not now'));
    });
    const many = queue.nextMany(3, patience).catch((error: unknown) => error);
    const other = queue.next(patience);
    await queue.putMany(upTo(3));
    expect(await many).toMatchObject({
      name: 'RefusedError',
      message: expect.stringContaining('not now'),
    });
    expect((await other).attempt).toBe(1);
    expect(claimed).toEqual([3, 1, 1, 1, 1]);
  });

  it('go back at once where whoever works on them is closed', async () => {
    const { queue } = await counted(etcd);
    await queue.putMany(upTo(5));
    const reasons: unknown[] = [];
    const consumer = queue.consumeBatches(
      (jobs) =>
        new Promise<void>((resolve) => {
          for (const { signal } of jobs) {
            signal.addEventListener('abort', () => {
              reasons.push((signal.reason as HoldLostError).reason);
              resolve();
            });
          }
        }),
    );
    await vi.waitFor(() => expect(consumer.size).toBe(5), patience);
    await consumer.close(0);
    expect(reasons).toEqual(upTo(5).map(() => 'closed'));
    const jobs = await queue.nextMany(5, patience);
    expect(jobs.map(({ value, attempt }) => [value, attempt])).toEqual(upTo(5).map((i) => [i, 1]));
    await Job.ackAll(jobs);
  });

  it('are drained', async () => {
    const { queue, claimed } = await counted(etcd);
    await queue.putMany(upTo(130));
    const done: number[] = [];
    const consumer = queue.consumeBatches((jobs) => {
      done.push(...jobs.map(({ value }) => value));
    });
    await consumer.drain();
    expect(done).toEqual(upTo(130));
    expect(Math.max(...claimed)).toBe(64);
    await nothingIsLeft(etcd, queue);
  });

  it('want a handler, and whole numbers', async () => {
    const { queue } = await counted(etcd);
    for (const size of [0, -1, 1.5, Number.NaN, '5', null]) {
      const usable = { size: size as number };
      expect(() => queue.consumeBatches(() => {}, usable)).toThrow(/^size must be/);
      await expect(queue.nextMany(size as number)).rejects.toThrow(/^most must be/);
    }
    expect(() => queue.consumeBatches(5 as never)).toThrow(/^handler must be/);
    expect(await Job.ackAll([])).toEqual([]);
    for (const jobs of [undefined, {}, [undefined], [{}]]) {
      await expect(Job.ackAll(jobs as never)).rejects.toThrow(/^jobs must be/);
    }
  });
});
