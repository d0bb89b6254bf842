import { describe, expect, it, vi } from 'vitest';
import { type Deferred, deferred } from '../../src/core/time/deferred.js';
import {
  type Coordinator,
  type Job,
  type Operation,
  type Queue,
  RefusedError,
  type Store,
  type Txn,
  type WatchListener,
} from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { has, override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 60_000 };

/** A process whose commits can be held back, and are counted. */
interface Gated {
  readonly process: Coordinator;
  readonly gate: {
    /** Waits before it is sent, where this gives something. */
    before: (txn: Txn) => Promise<unknown> | undefined;
    /** Waits before its reply is given. */
    after: (txn: Txn) => Promise<unknown> | undefined;
  };
  commits: number;
}

async function gated(): Promise<Gated> {
  const gate: Gated['gate'] = { before: () => undefined, after: () => undefined };
  const commit =
    (store: Store): Store['commit'] =>
    async (txn, options) => {
      result.commits += 1;
      await gate.before(txn);
      const reply = await store.commit(txn, options);
      await gate.after(txn);
      return reply;
    };
  const process = await etcd.connect({}, (store) => override(store, { commit: commit(store) }));
  const result: Gated = { process, gate, commits: 0 };
  return result;
}

const isClaim = ({ success = [] }: Txn): boolean =>
  success.some((step) => 'put' in step && step.put.key.toString().includes('!c/'));
const onlyReads = (txn: Txn): boolean => !has('put', txn) && !has('delete', txn);

function pair(processes: readonly Coordinator[], name: string): Queue<number>[] {
  return processes.map((each) => each.queue<number>(name));
}

/** Waits for a job, and says that it is done. */
async function take(queue: Queue<number>): Promise<number> {
  const job = await queue.next(patience);
  await job.ack();
  return job.value;
}

/** Has a process follow the queue, as nothing is there. */
async function follow(queue: Queue<number>): Promise<AbortController> {
  const stop = new AbortController();
  void queue.next({ signal: stop.signal }).catch(() => {});
  await etcdSettles();
  return stop;
}

/** Until a watch that was set has told all. */
const etcdSettles = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100));

describe('what is known of a queue', () => {
  it('does not take a job for claimed that was given back while a claim was on its way', async () => {
    const name = etcd.name('queue');
    const [other, late] = await Promise.all([etcd.connect(), gated()]);
    const [theirs, ours] = pair([other, late.process], name) as [Queue<number>, Queue<number>];
    const held = deferred<void>();
    const asked = deferred<void>();
    late.gate.before = (txn) => {
      if (!isClaim(txn)) return undefined;
      asked.resolve();
      return held.promise;
    };
    const next = ours.next(patience);
    await etcdSettles();
    await ours.put(1);
    await asked.promise;
    const job = (await theirs.tryNext()) as Job<number>;
    await job.nack({ delay: 0 });
    // So that our claim is refused long after all that was told of the job.
    await etcdSettles();
    await etcd.admin.commit({ success: [{ put: { key: etcd.name(), value: '' } }] });
    held.resolve();
    await (await next).ack();
  });

  it('has nobody wait for a job whose claim was gone before we knew that it was ours', async () => {
    const name = etcd.name('queue');
    const late = await gated();
    const ours = late.process.queue<number>(name);
    const held = deferred<void>();
    late.gate.after = (txn) => (isClaim(txn) ? held.promise : undefined);
    const next = ours.next(patience);
    await etcdSettles();
    await ours.put(1);
    const folder = `queue/${name}/ready/`;
    await vi.waitFor(async () => expect(await etcd.count(folder)).toBe(3), patience);
    const { kvs } = await etcd.admin.read({ key: folder, end: `queue/${name}/ready0` });
    const claim = kvs.find(({ key }) => key.includes('!c/'));
    await etcd.admin.commit({ success: [{ delete: { key: claim?.key ?? '' } }] });
    await etcdSettles();
    late.gate.after = () => undefined;
    held.resolve();
    const lost = await next;
    expect(await take(ours)).toBe(1);
    await vi.waitFor(() => expect(lost.isLost).toBe(true), patience);
  });

  it('gives jobs that were all put long after what their names begin with', async () => {
    const [a, b] = await etcd.connectAll(2);
    const [put, taken] = pair([a as Coordinator, b as Coordinator], etcd.name('queue'));
    for (let i = 0; i < 3_600; i += 100) {
      const success = Array.from({ length: 100 }, (_, j) => put?.enqueuing(i + j)).flatMap(
        (step) => step ?? [],
      );
      await etcd.admin.commit({ success });
    }
    for (let i = 0; i < 5; i += 1) expect(await take(taken as Queue<number>)).toBe(i);
  });

  it('asks for nothing while all jobs are worked on, however many, and sees those that come', async () => {
    const name = etcd.name('queue');
    const busy = (await etcd.connect()).queue<number>(name);
    await busy.putMany(Array.from({ length: 600 }, (_, i) => i));
    await Promise.all(Array.from({ length: 600 }, () => busy.next(patience)));
    const late = await gated();
    const ours = late.process.queue<number>(name);
    const next = ours.next(patience);
    await vi.waitFor(() => expect(late.commits).toBeGreaterThan(3), patience);
    await etcdSettles();
    const before = late.commits;
    await etcd.admin.commit({ success: [{ put: { key: etcd.name(), value: '' } }] });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(late.commits - before).toBeLessThan(5);
    await busy.put(600);
    expect((await next).value).toBe(600);
  });

  it('says that there is no job to be had, where many are worked on and etcd is busy', async () => {
    const name = etcd.name('queue');
    const [a, b] = await etcd.connectAll(2);
    const [busy, ours] = pair([a as Coordinator, b as Coordinator], name) as [
      Queue<number>,
      Queue<number>,
    ];
    await busy.putMany(Array.from({ length: 600 }, (_, i) => i));
    await Promise.all(Array.from({ length: 600 }, () => busy.next(patience)));
    const stop = new AbortController();
    const writes = (async () => {
      while (!stop.signal.aborted) {
        await etcd.admin.commit({ success: [{ put: { key: name, value: '' } }] });
      }
    })();
    expect(await ours.tryNext({ timeout: 60_000 })).toBeUndefined();
    await busy.put(7, { priority: 9 });
    expect(await ours.tryNext({ timeout: 60_000 })).toMatchObject({ value: 7 });
    stop.abort();
    await writes;
    await etcd.admin.commit({ success: [{ delete: { key: name } }] });
  });

  it('is looked at once for all who ask at one moment', async () => {
    const own = await gated();
    const jobs = own.process.queue<number>(etcd.name('queue'));
    await jobs.putMany([1, 2, 3]);
    const tries = Array.from({ length: 1_000 }, () => jobs.tryNext());
    const before = own.commits;
    const found = (await Promise.all(tries)).filter((job) => job !== undefined);
    expect(found.map(({ value }) => value).toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
    expect(own.commits - before).toBeLessThan(30);
    await Promise.all(found.map((job) => job.ack()));
    const none = own.commits;
    await Promise.all(Array.from({ length: 1_000 }, () => jobs.tryNext()));
    expect(own.commits - none).toBeLessThan(10);
  });

  it('finds at once what was put before it was asked', async () => {
    const jobs = (await etcd.connect()).queue<number>(etcd.name('queue'));
    (await follow(jobs)).abort();
    for (let i = 0; i < 50; i += 1) {
      await jobs.put(i);
      const job = await jobs.tryNext();
      expect(job?.value).toBe(i);
      await job?.ack();
    }
  });

  it('takes up what it reads in the order in which it asked', async () => {
    const name = etcd.name('queue');
    const [other, slow] = await Promise.all([etcd.connect(), gated()]);
    const [theirs, ours] = pair([other, slow.process], name) as [Queue<number>, Queue<number>];
    await theirs.put(1);
    const job = await theirs.next(patience);
    const held: Deferred<void> = deferred();
    const read = deferred<void>();
    slow.gate.after = (txn) => {
      if (!onlyReads(txn)) return undefined;
      slow.gate.after = () => undefined;
      read.resolve();
      return held.promise;
    };
    const found = ours.tryNext(patience);
    await read.promise;
    const next = ours.next(patience);
    await etcdSettles();
    await job.release();
    await etcdSettles();
    held.resolve();
    const jobs = await Promise.race([next, found.then((each) => each ?? next)]);
    expect(jobs.value).toBe(1);
  });

  it('sees a job of higher priority behind which many wait', async () => {
    const jobs = (await etcd.connect()).queue<number>(etcd.name('queue'));
    await jobs.putMany(Array.from({ length: 3_500 }, (_, i) => i));
    expect(await take(jobs)).toBe(0);
    await jobs.put(-1, { priority: 0 });
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(await take(jobs)).toBe(-1);
  });

  it('goes on after etcd has refused to tell of changes', async () => {
    const listeners: WatchListener[] = [];
    const watch =
      (store: Store): Store['watch'] =>
      (range, listener, options) => {
        if (range.key.toString().endsWith('/ready/')) listeners.push(listener);
        return store.watch(range, listener, options);
      };
    const process = await etcd.connect({}, (store) => override(store, { watch: watch(store) }));
    const jobs = process.queue<number>(etcd.name('queue'));
    const next = jobs.next(patience);
    await vi.waitFor(() => expect(listeners.length).toBe(1), patience);
    for (const each of listeners)
      each.closed(new RefusedError('PERMISSION_DENIED', 'permission denied'));
    await expect(next).rejects.toThrow('permission denied');
    const again = jobs.next(patience);
    await jobs.put(1);
    expect((await again).value).toBe(1);
  });
});

describe('a job that was not wanted any more', () => {
  it('is given to others, where etcd refuses to write that it was not begun', async () => {
    const name = etcd.name('queue');
    const [other, full] = await Promise.all([etcd.connect(), gated()]);
    const [theirs, ours] = pair([other, full.process], name) as [Queue<number>, Queue<number>];
    await theirs.put(1);
    const held = deferred<void>();
    const claimed = deferred<void>();
    full.gate.after = (txn) => {
      if (!isClaim(txn)) return undefined;
      claimed.resolve();
      return held.promise;
    };
    full.gate.before = (txn) =>
      has('delete', txn) && has('put', txn)
        ? Promise.reject(
            new RefusedError('RESOURCE_EXHAUSTED', 'etcdserver: mvcc: database space exceeded'),
          )
        : undefined;
    const stop = new AbortController();
    const next = ours.next({ signal: stop.signal });
    await claimed.promise;
    stop.abort();
    await expect(next).rejects.toThrow('aborted');
    held.resolve();
    expect(await take(theirs)).toBe(1);
  });

  it('leaves no name of a key in use', async () => {
    const process = await etcd.connect();
    const { session } = process;
    const queue = process.queue<number>(etcd.name('queue'));
    await queue.put(1);
    const sizes: unknown[] = [];
    for (let i = 0; i < 3; i += 1) {
      const job = (await queue.tryNext()) as Job<number>;
      expect(job.attempt).toBe(1);
      await job.release();
      await etcdSettles();
      sizes.push(session.freeLease?.size);
    }
    expect(sizes[2]).toBe(sizes[0]);
  });
});

describe('sessions that see the same store', () => {
  it('take jobs each for itself', async () => {
    const name = etcd.name('queue');
    const shared = etcd.open({});
    const [a, b] = await Promise.all([
      etcd.connect({}, () => shared),
      etcd.connect({}, () => shared),
    ]);
    const [first, second] = pair([a, b], name) as [Queue<number>, Queue<number>];
    await first.put(1);
    expect(await take(first)).toBe(1);
    await a.close();
    await second.put(2);
    expect(await take(second)).toBe(2);
  });

  it('wait for results each for itself', async () => {
    const name = etcd.name('queue');
    const shared = etcd.open({});
    const [a, b] = await Promise.all([
      etcd.connect({}, () => shared),
      etcd.connect({}, () => shared),
    ]);
    const [first, second] = [a, b].map((each) => each.queue(name, { keepResults: true }));
    const consumer = second?.consume((job) => job.value);
    expect(await (await first?.put(1))?.finished(patience)).toBe(1);
    await a.close();
    expect(await (await second?.put(2))?.finished(patience)).toBe(2);
    await consumer?.close();
  });
});

describe('who consumes', () => {
  it('begins nothing once it is closed', async () => {
    const late = await gated();
    const jobs = late.process.queue<number>(etcd.name('queue'));
    await jobs.putMany([1, 2]);
    const held = deferred<void>();
    const acknowledges = (step: Operation): boolean =>
      'delete' in step && step.delete.end !== undefined;
    late.gate.before = (txn) => (txn.success?.some(acknowledges) ? held.promise : undefined);
    const begun: number[] = [];
    const consumer = jobs.consume((job) => begun.push(job.value));
    await vi.waitFor(() => expect(consumer.size).toBe(1), patience);
    await vi.waitFor(() => expect(begun).toEqual([1]), patience);
    await etcdSettles();
    await consumer.close(0);
    held.resolve();
    await etcdSettles();
    expect(begun).toEqual([1]);
    expect(await take(jobs)).toBe(2);
  });

  it('may be told twice to go on', async () => {
    const jobs = (await etcd.connect()).queue<number>(etcd.name('queue'));
    const begun: number[] = [];
    const consumer = jobs.consume((job) => begun.push(job.value));
    await etcdSettles();
    consumer.resume();
    consumer.pause();
    await jobs.put(1);
    await etcdSettles();
    expect(begun).toEqual([]);
    consumer.resume();
    await vi.waitFor(() => expect(begun).toEqual([1]), patience);
    await consumer.close();
  });

  it('does not take a job for lost that was acknowledged while it was used', async () => {
    const late = await gated();
    const jobs = late.process.queue<number>(etcd.name('queue'));
    await jobs.put(1);
    const job = await jobs.next(patience);
    const key = etcd.name();
    const held = deferred<void>();
    // The acknowledgement is done, and its answer on its way.
    late.gate.after = () => held.promise;
    const acked = job.ack();
    await vi.waitFor(
      async () => expect(await etcd.count(`queue/${jobs.name}/ready/`)).toBe(0),
      patience,
    );
    late.gate.after = () => undefined;
    const answer = async (): Promise<void> => {
      await etcdSettles();
      held.resolve();
      await acked;
    };
    const used = job.txn().put(key, '').commit();
    await Promise.all([expect(used).rejects.toThrow(), answer()]);
    expect(job.isLost).toBe(false);
    expect(job.signal.aborted).toBe(false);
  });
});
