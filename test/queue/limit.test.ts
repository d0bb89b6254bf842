import { describe, expect, it, vi } from 'vitest';
import { prefixRange } from '../../src/core/store/keys.js';
import { deferred } from '../../src/core/time/deferred.js';
import {
  LimitError,
  type Queue,
  type QueueOptions,
  type Store,
  type Txn,
  WaitTimeoutError,
} from '../../src/index.js';
import { compact, useEtcd } from '../support/etcd.js';
import { connectLossy } from '../support/lossy.js';
import { override, putsKey } from '../support/override.js';
import { randomFrom } from '../support/random.js';

const etcd = useEtcd();
const soon = { timeout: 60_000 };
const patience = { timeout: 60_000 };

async function queue(options: QueueOptions<number>): Promise<Queue<number>> {
  return (await etcd.connect()).queue<number>(etcd.name('queue'), options);
}

/** Follows how many jobs there are at most at any revision. */
async function measure(name: string): Promise<() => number> {
  const folder = `queue/${name}/ready/`;
  const jobs = new Set<string>();
  let most = 0;
  const listener = {
    events: (events: readonly { type: string; kv: { key: Buffer } }[]): void => {
      for (const { type, kv } of events) {
        const key = kv.key.toString();
        if (key.includes('!', folder.length)) continue;
        if (type === 'put') jobs.add(key);
        else jobs.delete(key);
      }
      most = Math.max(most, jobs.size);
    },
    gap: (): void => {},
    closed: (): void => {},
  };
  const watch = etcd.admin.watch(prefixRange(folder), listener);
  await watch.ready;
  etcd.defer(() => watch.close());
  return () => most;
}

describe('a queue with a limit', () => {
  it('has puts wait until there is room, in their order (Netflix/curator#76)', async () => {
    const jobs = await queue({ limit: 2 });
    await jobs.putMany([1, 2]);
    const put: number[] = [];
    const waiting = [3, 4, 5].map(async (value) => {
      await jobs.put(value);
      put.push(value);
    });
    const first = await jobs.next(soon);
    await expect(jobs.put(9, { timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    expect(put).toEqual([]);
    await first.ack();
    await vi.waitFor(() => expect(put).toEqual([3]), patience);
    await (await jobs.next(soon)).ack();
    await (await jobs.next(soon)).ack();
    await Promise.all(waiting);
    expect(put).toEqual([3, 4, 5]);
    expect([(await jobs.next(soon)).value, (await jobs.next(soon)).value]).toEqual([4, 5]);
  });

  it('counts jobs that are worked on, tried again, or put for later, as one each', async () => {
    const jobs = await queue({ limit: 4, whenFull: 'reject' });
    await jobs.put(1);
    await (await jobs.next(soon)).nack({ delay: 0 });
    await jobs.next(soon);
    await jobs.putMany([2, 3]);
    await jobs.next(soon);
    await jobs.put(4, { delay: 60_000 });
    const full = jobs.put(5);
    await expect(full).rejects.toThrow(LimitError);
    await expect(full).rejects.toMatchObject({ option: 'limit', size: 4, limit: 4 });
  });

  it('counts again where etcd has forgotten meanwhile what is counted', async () => {
    const endpoint = await etcd.startOwn();
    let isCounted = false;
    const slow = (store: Store): Store =>
      override(store, {
        read: async (range, options) => {
          if (range.revision !== undefined && !isCounted) {
            isCounted = true;
            await store.commit({ success: [{ put: { key: 'x', value: '' } }] });
            await compact(endpoint, store);
          }
          return store.read(range, options);
        },
      });
    const jobs = (await etcd.connect({ endpoints: [endpoint] }, slow)).queue<number>('jobs', {
      limit: 1,
    });
    await jobs.put(1);
    const second = jobs.put(2, soon);
    await vi.waitFor(() => expect(isCounted).toBe(true), patience);
    await (await jobs.next(soon)).ack();
    await second;
    expect(await jobs.next(soon)).toMatchObject({ value: 2 });
  });

  it('rejects at once while others wait, and lets these be given up', async () => {
    const jobs = await queue({ limit: 1 });
    await jobs.put(1);
    const controller = new AbortController();
    const waiting = jobs.put(2, { signal: controller.signal });
    const other = (await etcd.connect()).queue<number>(jobs.name, { limit: 1, whenFull: 'reject' });
    await expect(other.put(3)).rejects.toThrow(LimitError);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await (await jobs.next(soon)).ack();
    await other.put(4);
    expect(await jobs.next(soon)).toMatchObject({ value: 4 });
  });

  it('goes on when room is made by what was given up, or deleted', async () => {
    const jobs = await queue({ limit: 1 });
    await jobs.put(1);
    const second = jobs.put(2);
    await (await jobs.next(soon)).deadLetter('no');
    const { id } = await second;
    const third = jobs.put(3);
    await etcd.admin.commit({ success: [{ delete: { key: `queue/${jobs.name}/ready/${id}` } }] });
    await third;
  });

  it('has puts of one process never exceed it', async () => {
    const jobs = await queue({ limit: 40 });
    const most = await measure(jobs.name);
    const all = jobs.putMany(Array.from({ length: 200 }, (_, i) => i));
    const done: number[] = [];
    const consumer = jobs.consume((job) => done.push(job.value), { concurrency: 4 });
    await all;
    await vi.waitFor(() => expect(done.length).toBe(200), patience);
    await consumer.close();
    expect(most()).toBeLessThanOrEqual(40);
    expect(done.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i));
  }, 180_000);

  it.each([4, 64])(
    'of %i is exceeded by no more than what others put at the same time',
    async (limit) => {
      const name = etcd.name('queue');
      const most = await measure(name);
      const random = randomFrom(limit);
      const producers = await Promise.all(
        Array.from({ length: 8 }, () => connectLossy(etcd, random, { replies: 0.02 })),
      );
      const puts = producers.map((each) =>
        each.queue<number>(name, { limit }).putMany(Array.from({ length: 25 }, (_, i) => i)),
      );
      const taker = (await etcd.connect()).queue<number>(name);
      let done = 0;
      const consumer = taker.consume(() => (done += 1), { concurrency: 4 });
      await Promise.all(puts);
      await vi.waitFor(() => expect(done).toBe(200), patience);
      await consumer.close();
      expect(most()).toBeLessThanOrEqual(limit + 7 * Math.max(1, Math.floor(limit / 16)));
      expect(most()).toBeGreaterThanOrEqual(Math.min(limit, 4));
    },
    30_000,
  );

  it('is to be a number', async () => {
    await expect(queue({ limit: 0 })).rejects.toThrow('limit');
    await expect(queue({ whenFull: 'no' as 'wait' })).rejects.toThrow('whenFull');
  });
});

/** Whether it puts a job. */
const putsJobs = (txn: Txn): boolean => putsKey('/ready/5-', txn);

it.each(['aborted', 'timed out'])(
  'is not exceeded by one process where a put is given up (%s) that is on its way',
  async (how) => {
    const [started, late, arrived] = [deferred<void>(), deferred<void>(), deferred<void>()];
    let counts = 0;
    const coordinator = await etcd.connect({}, (store: Store) =>
      override(store, {
        commit: async (txn, options) => {
          if (!putsJobs(txn)) return store.commit(txn, options).finally(() => (counts += 1));
          started.resolve();
          await late.promise;
          // What is on its way takes effect, whatever its caller does.
          return store.commit(txn).finally(() => arrived.resolve());
        },
      }),
    );
    const jobs = coordinator.queue<number>(etcd.name('queue'), { limit: 1 });
    const stop = new AbortController();
    const first = jobs.put(1, how === 'aborted' ? { signal: stop.signal } : { timeout: 100 });
    await started.promise;
    stop.abort();
    await expect(first).rejects.toThrow();
    const before = counts;
    const second = jobs.put(2, { timeout: 1_000 });
    second.catch(() => {});
    // Who counted now would not find the first.
    await vi.waitUntil(() => counts > before, { timeout: 300 }).catch(() => {});
    late.resolve();
    await arrived.promise;
    await expect(second).rejects.toThrow(WaitTimeoutError);
    expect(await jobs.stats({ exact: true })).toMatchObject({ depth: 1 });
  },
);
