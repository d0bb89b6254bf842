import { setTimeout as sleep } from 'node:timers/promises';
import { type Consumer, type Job, type JobTxn, Queue, type Session } from '../../../src/index.js';
import { jobOf } from '../checkers/jobs.js';
import { BATCHES } from '../checkers/records.js';
import { consumeBatches } from './batches.js';
import { CALL_LIMIT, type Context, repeat, under } from './context.js';
import { OPTIONS, VISIBILITY, withdraw } from './handling.js';
import { type End, Told } from './told.js';

/** How jobs are put, beside all else that processes do. */
const BESIDE = {
  /** Times a second: enough for the queues, and not so much that all else is only slow. */
  rate: 1,
  /**
   * Up to so many are put at a time, unless there are so many keys of jobs that wait or are worked on: all are to be done in the
   * end, however slow the machine is, and those that one process does one by one take their time.
   */
  any: { together: 40, enough: 1_000 },
  batches: { together: 40, enough: 700 },
  own: { together: 10, enough: 100 },
  concurrency: 16,
};
/** And where they do nothing else. */
const ALONE = {
  rate: 8,
  any: { together: 600, enough: 8_000 },
  batches: { together: 600, enough: 4_000 },
  own: { together: 60, enough: 400 },
  concurrency: 64,
};
/** The part of jobs that are taken from whoever works on them. */
const TAKEN = 0.003;
/** Milliseconds in which some of what is left is worked on, where nothing fails any more. */
const REST = 40_000;

/**
 * Puts jobs into a queue that all consume, into another that they do in batches, and into one that this process alone does. When
 * the run is over, works on what is left.
 */
export async function jobs(context: Context, session: Session): Promise<void> {
  const { operations, random, setup, stop, store } = context;
  const pace = setup.workloads.length === 1 ? ALONE : BESIDE;
  const any = new Queue<string>(session, 'any', OPTIONS);
  const batches = new Queue<string>(session, BATCHES, OPTIONS);
  const own = new Queue<string>(session, `own-${setup.slot}`, OPTIONS);

  async function put(queue: Queue<string>, count: number): Promise<void> {
    const { i, value } = operations.fresh();
    await operations.run(
      'put job',
      { i, key: queue.name, value, delta: count, limit: CALL_LIMIT },
      () => queue.putMany(Array.from({ length: count }, (_, place) => jobOf(value, place))),
    );
  }

  const told = new Told();
  const consume = (queue: Queue<string>, concurrency: number): Consumer<string> =>
    told.by(queue.consume((job) => work(context, queue, job, told), { concurrency }));
  const consumers = [
    consume(any, pace.concurrency),
    consume(own, 1),
    // Those of small batches, and of such that take several steps to end, go for the same jobs.
    ...[1, 8, 150].map((size) => consumeBatches(context, batches, size)),
  ];
  await repeat(pace.rate, random, stop, async () => {
    const [queue, { together, enough }] = random.pick([
      [any, pace.any],
      [any, pace.any],
      [batches, pace.batches],
      [own, pace.own],
    ]);
    const ready = { ...under(`queue/${queue.name}/ready/`), countOnly: true };
    const { count } = await store.read(ready).catch(() => ({ count: enough }));
    if (count >= enough) return;
    // Those that are put together travel as one; and so do calls of one moment.
    await Promise.all([put(queue, 1 + random.below(together)), put(queue, 1)]);
  });
  // Others end what they put, for as long as a call may take.
  await sleep(CALL_LIMIT + 1_000);
  await emptied(context, [any.name, batches.name, own.name]);
  await Promise.all(consumers.map((each) => each.close()));
}

/** Does a job, in one of the ways in which that may end: by itself, or by its consumer. */
async function work(
  { operations, random, store }: Context,
  queue: Queue<string>,
  job: Job<string>,
  told: Told,
): Promise<void> {
  const { value, attempt } = job;
  const token = Number(job.token);
  const begun = { key: queue.name, value, token, version: attempt };
  // A run has many jobs that are worked on at once, and few that take long.
  const takes = random.chance(0.03)
    ? random.between(10, 200)
    : random.chance(0.001)
      ? VISIBILITY + random.between(100, 2_000)
      : 0;
  const fails = random.chance(0.01);
  // Of most one line tells that they are begun, and ended.
  const isBrief = takes === 0 && !fails;
  if (!isBrief) operations.note('job', begun);
  if (takes > 0) await sleep(takes);
  if (fails) throw new Error('failed');
  if (random.chance(TAKEN)) await withdraw(store, queue, job);
  const { version, ...rest } = begun;
  const call = { ...rest, ...(isBrief && { version }), limit: 4 * CALL_LIMIT };
  // Whoever returns says that the job is done: so where that failed, it is said.
  const end = async (reason: string, ends: () => Promise<void>): Promise<void> => {
    const what = { ...call, reason };
    const isDone = await operations.run('end job', what, () => ends().then(() => true));
    if (!isDone) throw new Error('not ended');
  };
  if (random.chance(0.01)) return end('dead', () => job.deadLetter('no use'));
  const key = `done/${value}`;
  const prove = (txn: JobTxn): void => {
    txn.if({ key, target: 'create', to: 0n }).put(key, `${token}|${queue.name}`);
  };
  if (random.chance(0.5)) return end('done', () => job.ack({ txn: prove }));
  prove(job.effects);
  const ends = (): Promise<End> => told.endOf(job);
  void operations.run('end job', call, ends, (reason) => ({ reason }));
}

/** Waits until the queues have no jobs, or nothing becomes of them. */
async function emptied({ store }: Context, queues: readonly string[]): Promise<void> {
  let last = Number.NaN;
  for (let end = 0; ; ) {
    const folders = queues.flatMap((name) => [`queue/${name}/ready/`, `queue/${name}/delayed/`]);
    const looks = folders.map((folder) => store.read({ ...under(folder), countOnly: true }));
    const counts = await Promise.all(looks).catch(() => []);
    const left = counts.reduce((sum, { count }) => sum + count, 0);
    if (counts.length > 0 && left === 0) return;
    if (left !== last) end = performance.now() + REST;
    if (performance.now() > end) return;
    last = left;
    await sleep(200);
  }
}
