import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Consumer,
  isCoordinationError,
  type Job,
  type Jobs,
  type Queue,
  UnavailableError,
} from '../../../src/index.js';
import { CALL_LIMIT, type Context } from './context.js';
import { VISIBILITY, withdraw } from './handling.js';

/** What a consumer told of a job. */
interface Told {
  readonly event: 'done' | 'failed' | 'lost';
  readonly error?: unknown;
}

/** What became of a job. */
type End = 'done' | 'dead' | 'returned';

/** Batches that a consumer works on at a time. */
const CONCURRENCY = 2;

/** Works on jobs together. Nothing is written with their ends: etcd's log tells of those. */
export function consumeBatches(
  context: Context,
  queue: Queue<string>,
  size: number,
): Consumer<string> {
  const waiting = new Map<Job<string>, (told: Told) => void>();
  const told = (job: Job<string>): Promise<Told> =>
    new Promise((resolve) => waiting.set(job, resolve));
  const tell = (job: Job<string>, what: Told): void => {
    waiting.get(job)?.(what);
    waiting.delete(job);
  };
  const consumer = queue.consumeBatches((jobs) => work(context, queue, jobs, told), {
    size,
    concurrency: CONCURRENCY,
  });
  consumer.on('done', ({ job }) => tell(job, { event: 'done' }));
  consumer.on('failed', ({ job, error }) => tell(job, { event: 'failed', error }));
  consumer.on('lost', ({ job, error }) => tell(job, { event: 'lost', error }));
  return consumer;
}

/** Leaves most jobs to the consumer to end, ends some by itself, and fails now and then. */
async function work(
  { operations, random, store }: Context,
  queue: Queue<string>,
  jobs: Jobs<string>,
  told: (job: Job<string>) => Promise<Told>,
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
      return endOf(job, told(job), hand);
    };
    void operations.run('end job', call, ends, (reason) => ({ reason }));
  }
  await Promise.allSettled(hands);
  if (fails) throw new Error('failed');
}

/** An end that does not wait for the others. */
interface Hand {
  readonly how: End;
  readonly end: Promise<void>;
}

function handFor(job: Job<string>, isDead: boolean): Hand {
  return isDead ? { how: 'dead', end: job.deadLetter('no use') } : { how: 'done', end: job.ack() };
}

/** What came of a job. @throws where it was not ended, or nobody knows. */
async function endOf(job: Job<string>, told: Promise<Told>, hand?: Hand): Promise<End> {
  const byHand = await hand?.end.then(
    () => hand.how,
    (reason: unknown) => ({ reason }),
  );
  const { event, error } = await told;
  if (typeof byHand === 'string') return byHand;
  if (event === 'done') return 'done';
  const reason = byHand?.reason;
  // It may have been ended all the same: that it is gone, or was given back, says nothing then.
  if (reason instanceof UnavailableError && reason.outcome === 'unknown') throw reason;
  if (event === 'failed') return job.isLastAttempt ? 'dead' : 'returned';
  throw isCoordinationError(error) ? error : job.signal.reason;
}
