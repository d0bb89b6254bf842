import { setTimeout as sleep } from 'node:timers/promises';
import type { Consumer, Job, Jobs, Queue } from '../../../src/index.js';
import { CALL_LIMIT, type Context } from './context.js';
import { VISIBILITY, withdraw } from './handling.js';
import { type End, type Hand, Told } from './told.js';

/** Batches that a consumer works on at a time. */
const CONCURRENCY = 2;

/** Works on jobs together. Nothing is written with their ends: etcd's log tells of those. */
export function consumeBatches(
  context: Context,
  queue: Queue<string>,
  size: number,
): Consumer<string> {
  const told = new Told();
  const handler = (jobs: Jobs<string>): Promise<void> => work(context, queue, jobs, told);
  return told.by(queue.consumeBatches(handler, { size, concurrency: CONCURRENCY }));
}

/** Leaves most jobs to the consumer to end, ends some by itself, and fails now and then. */
async function work(
  { operations, random, store }: Context,
  queue: Queue<string>,
  jobs: Jobs<string>,
  told: Told,
): Promise<void> {
  const takes = random.chance(0.05)
    ? random.between(10, 200)
    : random.chance(0.004)
      ? VISIBILITY + random.between(100, 2_000)
      : 0;
  const begun = jobs.map((job) => ({
    key: queue.name,
    value: job.value,
    token: Number(job.token),
    version: job.attempt,
  }));
  if (takes > 0) {
    for (const each of begun) operations.note('job', each);
    await sleep(takes);
  }
  const fails = random.chance(0.02);
  const taken = random.chance(0.03) ? [random.pick(jobs), random.pick(jobs)] : [];
  const withdrawn = Promise.all(taken.map((job) => withdraw(store, queue, job)));
  // Where nobody waits for that, it goes on while the jobs are ended.
  if (random.chance(0.5)) await withdrawn;
  const hands: Promise<unknown>[] = [];
  for (const [i, job] of jobs.entries()) {
    const { version, ...rest } = begun[i] as (typeof begun)[number];
    const call = { ...rest, ...(takes === 0 && { version }), limit: 4 * CALL_LIMIT };
    const ends = (): Promise<End> => {
      const hand = random.chance(0.02) ? handFor(job, random.chance(0.3)) : undefined;
      if (hand && random.chance(0.7)) hands.push(hand.end);
      return told.endOf(job, hand);
    };
    void operations.run('end job', call, ends, (reason) => ({ reason }));
  }
  await Promise.allSettled(hands);
  if (fails) throw new Error('failed');
}

function handFor(job: Job<string>, isDead: boolean): Hand {
  return isDead ? { how: 'dead', end: job.deadLetter('no use') } : { how: 'done', end: job.ack() };
}
