import { describe, expect, it, vi } from 'vitest';
import { deferred } from '../../src/core/time/deferred.js';
import {
  ClosedError,
  type Consumer,
  HoldLostError,
  Job,
  type JobTxn,
  prefixRange,
  type Queue,
} from '../../src/index.js';
import {
  counted,
  ends,
  listen,
  nothingIsLeft,
  patience,
  type Told,
  upTo,
} from '../support/counted-queue.js';
import { useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';

const etcd = useEtcd();

/** Once so many things were told of the jobs of a consumer, and nothing is left of them: what was told, in the order of the values. */
async function ended(
  queue: Queue<number>,
  consumer: Consumer<number>,
  count: number,
): Promise<Told[]> {
  const told = listen(consumer);
  await vi.waitFor(() => expect(told).toHaveLength(count), patience);
  await nothingIsLeft(etcd, queue);
  await consumer.close();
  return told.toSorted(([, a], [, b]) => a - b);
}

/** The values and versions of keys in a folder. */
async function written(folder: string): Promise<Record<string, [value: string, version: bigint]>> {
  const { kvs } = await etcd.admin.read({ key: folder, end: `${folder.slice(0, -1)}0` });
  return Object.fromEntries(
    kvs.map(({ key, value, version }) => [
      key.toString().slice(folder.length),
      [value.toString(), version],
    ]),
  );
}

/** Hears of numbered keys in a folder: gives their values, in the order in which etcd has them, once the last was written. */
async function hearing(folder: string, count: number): Promise<() => Promise<number[]>> {
  const values: number[] = [];
  const watch = etcd.admin.watch(prefixRange(folder), {
    events(events) {
      for (const { type, kv } of events) {
        if (type === 'put' && /\/\d$/.test(kv.key.toString())) values.push(Number(kv.value));
      }
    },
    gap() {},
    closed() {},
  });
  await watch.ready;
  return async () => {
    await vi.waitFor(() => expect(values).toHaveLength(count), patience);
    watch.close();
    return values;
  };
}

describe('the effects of a job', () => {
  it('are there once its consumer has acknowledged it, in the same step', async () => {
    const { coordinator, queue } = await counted(etcd, { keepResults: true });
    const next = coordinator.queue<number>(etcd.name('queue'));
    const folder = `${etcd.name('effects')}/`;
    const receipt = await queue.put(7);
    const consumer = queue.consume((job) => {
      job.effects.put(`${folder}a`, 'x').enqueue(next, job.value + 1);
      job.effects.put(`${folder}b`, 'y');
      return 'result';
    });
    expect(await receipt.finished(patience)).toBe('result');
    expect(await written(folder)).toEqual({ a: ['x', 1n], b: ['y', 1n] });
    const { kvs } = await etcd.admin.read({ key: folder, end: `${folder.slice(0, -1)}0` });
    const other = await etcd.admin.read({
      key: `queue/${next.name}/ready/`,
      end: `queue/${next.name}/ready0`,
    });
    const results = await etcd.admin.read({
      key: `queue/${queue.name}/done/`,
      end: `queue/${queue.name}/done0`,
    });
    const revisions = [kvs, other.kvs, results.kvs].flat().map(({ modRevision }) => modRevision);
    expect(revisions).toHaveLength(4);
    expect(new Set(revisions).size).toBe(1);
    await consumer.close();
    expect((await next.next(patience)).value).toBe(8);
  });

  it('do not make handlers wait: jobs are taken ahead all the same, and begun in their order', async () => {
    const { queue, claimed } = await counted(etcd);
    const folder = `${etcd.name('effects')}/`;
    await queue.putMany(upTo(400));
    const begun: number[] = [];
    const consumer = queue.consume((job) => {
      begun.push(job.value);
      job.effects.put(`${folder}${job.value}`, '');
    });
    const told = await ended(queue, consumer, 400);
    expect(told.every(([event]) => event === 'done')).toBe(true);
    expect(begun).toEqual(upTo(400));
    expect(Math.max(...claimed)).toBeGreaterThan(1);
    expect(Object.keys(await written(folder))).toHaveLength(400);
  });

  it('are none of an attempt that failed', async () => {
    const { queue } = await counted(etcd, { backoff: { type: 'fixed', delay: 1 } });
    const folder = `${etcd.name('effects')}/`;
    await queue.putMany(upTo(3));
    const consumer = queue.consume(async (job) => {
      job.effects.put(`${folder}${job.value}/${job.attempt}`, '');
      if (job.attempt > 1) return;
      if (job.value === 0) throw new Error('no');
      if (job.value === 1) await job.nack({ reason: 'no', delay: 0 });
      else await job.release();
    });
    // What was released has not been tried.
    consumer.on('failed', ({ job }) => {
      if (job.value === 2) void consumer.close();
    });
    const told = listen(consumer);
    await vi.waitFor(() => expect(told.length).toBeGreaterThanOrEqual(3), patience);
    await consumer.close();
    const left = queue.consume((job) => {
      job.effects.put(`${folder}${job.value}/again`, '');
    });
    await nothingIsLeft(etcd, queue);
    await left.close();
    const keys = Object.keys(await written(folder));
    expect(keys.filter((key) => key.endsWith('/1'))).toEqual([]);
    expect(new Set(keys.map((key) => key.split('/')[0]))).toEqual(new Set(['0', '1', '2']));
  });

  it('are none of a job that is given up, or was lost', async () => {
    const { queue } = await counted(etcd);
    const folder = `${etcd.name('effects')}/`;
    const [, second] = await queue.putMany(upTo(2));
    const [dead, lost] = await queue.nextMany(2, patience);
    for (const job of [dead, lost]) job?.effects.put(`${folder}${job.value}`, '');
    const { effects } = lost as Job<number>;
    await dead.deadLetter('no use');
    await queue.cancel(second?.id ?? '');
    effects.put(`${folder}late`, '');
    await expect(lost?.ack()).rejects.toThrow(HoldLostError);
    expect(await written(folder)).toEqual({});
    for (const job of [dead, lost]) expect(() => job?.effects).toThrow(HoldLostError);
  });

  it('come with those of `ack`, which are for that time only', async () => {
    const { queue } = await counted(etcd);
    const folder = `${etcd.name('effects')}/`;
    await queue.put(1);
    const job = await queue.next(patience);
    job.effects.put(`${folder}a`, '');
    const bad = { key: `${folder}a`, target: 'version', to: 5n } as const;
    await expect(job.ack({ txn: (txn) => txn.if(bad).put(`${folder}b`, '') })).rejects.toThrow(
      /condition/,
    );
    await job.ack({ txn: (txn) => txn.put(`${folder}c`, '') });
    expect(await written(folder)).toEqual({ a: ['', 1n], c: ['', 1n] });
    expect(() => job.effects).toThrow(expect.objectContaining({ reason: 'released' }));
  });

  it.each([
    ['conditions do not hold', 'ConflictError'],
    ['they are malformed', 'ArgumentError'],
    ['they are too many', 'RefusedError'],
  ] as const)('fail the job, and no other, where %s', async (what, name) => {
    for (const size of [1, 3]) {
      const { queue } = await counted(etcd, { attempts: 2, backoff: { type: 'fixed', delay: 1 } });
      const folder = `${etcd.name('effects')}/`;
      await queue.putMany(upTo(3));
      const errors: string[] = [];
      const consumer = queue.consumeBatches(
        (jobs) => {
          for (const { value, effects } of jobs) {
            effects.put(`${folder}${value}`, '');
            if (value !== 1) continue;
            if (name === 'ConflictError')
              effects.if({ key: folder, target: 'create', is: '>', to: 0n });
            else if (name === 'ArgumentError') effects.put(`${folder}1`, 'again');
            else for (const i of upTo(200)) effects.put(`${folder}1/${i}`, what);
          }
        },
        { size },
      );
      consumer.on('failed', ({ job, error }) => {
        errors.push(`${job.value}, ${job.attempt}: ${(error as Error).name}`);
      });
      const told = await ended(queue, consumer, 4);
      expect(told.map(([event, value]) => [event, value])).toEqual([
        ['done', 0],
        ['failed', 1],
        ['failed', 1],
        ['done', 2],
      ]);
      expect(errors).toEqual([`1, 1: ${name}`, `1, 2: ${name}`]);
      expect(Object.keys(await written(folder))).toEqual(['0', '2']);
      const { jobs } = await queue.list('dead');
      expect(jobs).toHaveLength(1);
    }
  });

  it('of a batch may write the same key: the last one counts', async () => {
    const { queue } = await counted(etcd);
    const folder = `${etcd.name('effects')}/`;
    await queue.putMany(upTo(5));
    const consumer = queue.consumeBatches((jobs) => {
      for (const { value, effects } of jobs) effects.put(`${folder}last`, `${value}`);
    });
    const told = await ended(queue, consumer, 5);
    expect(told.map(([event]) => event)).toEqual(upTo(5).map(() => 'done'));
    expect(await written(folder)).toEqual({ last: ['4', 5n] });
  });

  it('on the same keys take effect in the order of the jobs, though many are on their way at once', async () => {
    const { queue } = await counted(etcd);
    const folder = `${etcd.name('effects')}/`;
    const heard = await hearing(folder, 294);
    await queue.putMany(upTo(300));
    const consumer = queue.consume(({ value, effects }) => {
      effects.put(`${folder}of ${value}`, '');
      if (value % 50 > 0) effects.put(`${folder}${value % 7}`, `${value}`);
      else effects.delete(`${folder}0`, `${folder}5`);
    });
    const told = await ended(queue, consumer, 300);
    expect(told.every(([event]) => event === 'done')).toBe(true);
    const order = await heard();
    const byKey = upTo(7).map((key) => order.filter((value) => value % 7 === key));
    for (const values of byKey) expect(values).toEqual(values.toSorted((a, b) => a - b));
  });

  it('take effect where their handler has begun to acknowledge the job by itself, and does not wait for that', async () => {
    const { queue } = await counted(etcd, { keepResults: true });
    const folder = `${etcd.name('effects')}/`;
    const receipts = await queue.putMany(upTo(50));
    const acks: Promise<void>[] = [];
    const consumer = queue.consume((job) => {
      job.effects.put(`${folder}last`, `${job.value}`);
      const txn = (also: JobTxn): void => void also.put(`${folder}${job.value}`, '');
      acks.push(job.ack({ result: 'by hand', txn }));
      return 'by the consumer';
    });
    const told = await ended(queue, consumer, 50);
    expect(told.every(([event]) => event === 'done')).toBe(true);
    await Promise.all(acks);
    const results = await Promise.all(receipts.map((receipt) => receipt.finished(patience)));
    expect(results).toEqual(upTo(50).map(() => 'by hand'));
    const all = await written(folder);
    expect(all['last']).toEqual(['49', 50n]);
    expect(Object.keys(all)).toHaveLength(51);
  });

  it('take effect where their handler has begun to acknowledge the job by itself, and that waits for others', async () => {
    const go = deferred<void>();
    let isFirst = true;
    const { queue } = await counted(etcd, { keepResults: true }, (txn) => {
      if (!isFirst || ends(txn) === 0) return undefined;
      isFirst = false;
      return go.promise;
    });
    const key = etcd.name('effects');
    const receipts = await queue.putMany(upTo(2));
    const acks: Promise<void>[] = [];
    const consumer = queue.consume(
      (job) => {
        const txn = (also: JobTxn): void => void also.put(key, `${job.value}`);
        acks.push(job.ack({ result: 'by hand', txn }));
        return 'by the consumer';
      },
      { concurrency: 2 },
    );
    const told = listen(consumer);
    await vi.waitFor(() => expect(acks).toHaveLength(2), patience);
    // Were it acknowledged by its consumer, that would not wait.
    for (const _ of upTo(10)) await etcd.admin.read({ key });
    go.resolve();
    await Promise.all(acks);
    for (const receipt of receipts) expect(await receipt.finished(patience)).toBe('by hand');
    await vi.waitFor(() => expect(told).toHaveLength(2), patience);
    expect(told.map(([event]) => event)).toEqual(['done', 'done']);
    await consumer.close();
    const { kvs } = await etcd.admin.read({ key });
    expect(kvs.map(({ value, version }) => [value.toString(), version])).toEqual([['1', 2n]]);
  });

  it('come with `Job.ackAll`, whether or not the others have some', async () => {
    const { queue } = await counted(etcd);
    const folder = `${etcd.name('effects')}/`;
    await queue.putMany(upTo(4));
    const jobs = await queue.nextMany(4, patience);
    for (const { value, effects } of jobs.slice(1, 3)) effects.put(`${folder}${value}`, '');
    const acks = await Job.ackAll(jobs);
    expect(acks.map(({ status }) => status)).toEqual(upTo(4).map(() => 'fulfilled'));
    expect(jobs.every(({ isDone }) => isDone)).toBe(true);
    expect(await written(folder)).toEqual({ 1: ['', 1n], 2: ['', 1n] });
    await nothingIsLeft(etcd, queue);
  });

  it.each([1, 5])('are there once where answers are lost (%i together)', async (size) => {
    const { coordinator, below } = await connectFailing(etcd);
    const queue = coordinator.queue<number>(etcd.name('queue'));
    const folder = `${etcd.name('effects')}/`;
    await queue.putMany(upTo(5));
    let isPlanned = false;
    const consumer = queue.consumeBatches(
      (jobs) => {
        for (const { value, effects } of jobs) effects.put(`${folder}${value}`, '');
        if (isPlanned) return;
        isPlanned = true;
        below.plan('loses its reply');
      },
      { size },
    );
    const told = await ended(queue, consumer, 5);
    expect(told.map(([event]) => event)).toEqual(upTo(5).map(() => 'done'));
    const all = Object.fromEntries(upTo(5).map((value) => [value, ['', 1n]]));
    expect(await written(folder)).toEqual(all);
  });

  it('come with a job once that `Job.ackAll` gets twice', async () => {
    const { queue } = await counted(etcd);
    const key = etcd.name('effects');
    await queue.putMany(upTo(3));
    const [plain, other, gone] = await queue.nextMany(3, patience);
    other?.effects.put(key, '');
    await gone?.release();
    const jobs = [plain, other, gone, plain, other, gone].flatMap((job) => job ?? []);
    const acks = await Job.ackAll(jobs);
    const is = ['fulfilled', 'fulfilled', 'rejected'];
    expect(acks.map(({ status }) => status)).toEqual([...is, ...is]);
    const { kvs } = await etcd.admin.read({ key });
    expect(kvs.map(({ version }) => version)).toEqual([1n]);
  });

  it('cannot be added once the job is on its way to its end, but for where that fails', async () => {
    let go = deferred<void>();
    const { queue } = await counted(etcd, {}, (txn) => (ends(txn) > 0 ? go.promise : undefined));
    const folder = `${etcd.name('effects')}/`;
    await queue.put(1);
    const job = await queue.next(patience);
    const { effects } = job;
    const bad = { key: folder, target: 'version', to: 5n } as const;
    for (const fails of [true, false]) {
      const ack = job.ack({ txn: (txn) => void (fails && txn.if(bad)) });
      expect(() => effects.put(`${folder}late`, '')).toThrow(ClosedError);
      expect(() => job.effects.enqueue(queue, 2)).toThrow(ClosedError);
      go.resolve();
      await ack.catch(() => {});
      go = deferred();
      if (fails) effects.put(`${folder}again`, '');
    }
    expect(() => effects.put(`${folder}late`, '')).toThrow(ClosedError);
    expect(await written(folder)).toEqual({ again: ['', 1n] });
    expect(await queue.tryNext(patience)).toBeUndefined();
  });

  it('put jobs of one order in the order of the jobs', async () => {
    let count = 0;
    const { coordinator, queue } = await counted(etcd, {}, (txn) => {
      count += ends(txn) > 0 ? 1 : 0;
      // Some are overtaken, if they can be.
      return count % 10 === 0 ? new Promise((resolve) => setTimeout(resolve, 20)) : undefined;
    });
    const next = coordinator.queue<number>(etcd.name('queue'));
    await queue.putMany(upTo(200));
    const consumer = queue.consume(({ value, effects }) => {
      effects.enqueue(next, value, { orderKey: `${value % 3}` });
    });
    await ended(queue, consumer, 200);
    const got: number[] = [];
    await next.consume(({ value }) => void got.push(value)).drain();
    for (const key of upTo(3)) {
      expect(got.filter((value) => value % 3 === key)).toEqual(
        upTo(200).filter((value) => value % 3 === key),
      );
    }
  });

  it('fail the job where its handler did not wait for them, and they cannot be', async () => {
    const { queue } = await counted(etcd, { attempts: 2, backoff: { type: 'fixed', delay: 1 } });
    const key = etcd.name('effects');
    await queue.putMany(upTo(2));
    const consumer = queue.consumeBatches(
      ([first]) => {
        const bad = { key, target: 'version', to: 5n } as const;
        if (first.value === 0) void first.ack({ txn: (txn) => txn.if(bad) }).catch(() => {});
      },
      { size: 1 },
    );
    const told = await ended(queue, consumer, 3);
    const failed = ['failed', 0, expect.stringContaining('condition')];
    expect(told).toEqual([failed, failed, ['done', 1]]);
  });

  it('do not fail the job for what its handler has caught, where it ends it once more without waiting', async () => {
    const { queue } = await counted(etcd);
    const key = etcd.name('effects');
    await queue.putMany(upTo(2));
    const consumer = queue.consumeBatches(async (jobs) => {
      const [first] = jobs;
      const bad = { key, target: 'version', to: 5n } as const;
      await expect(first.ack({ txn: (txn) => txn.if(bad) })).rejects.toThrow(/condition/);
      const claims = `queue/${queue.name}/ready/${jobs.at(-1)?.id}!c`;
      if (jobs.length > 1) {
        await etcd.admin.commit({
          success: [{ delete: { key: `${claims}/`, end: `${claims}0` } }],
        });
      }
      void Job.ackAll(jobs);
    });
    const told = listen(consumer);
    await nothingIsLeft(etcd, queue);
    await consumer.close();
    expect(told.filter(([event]) => event === 'failed')).toEqual([]);
    expect(told.filter(([event]) => event === 'done').toSorted(([, a], [, b]) => a - b)).toEqual([
      ['done', 0],
      ['done', 1],
    ]);
  });
});
