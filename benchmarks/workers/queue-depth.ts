import { openJobs, type SingleJobs } from './queue-jobs.js';
import { timed, uniqueName } from './sessions.js';
import { valuesOf } from './work-queue.js';

const warmUp = 50;
const group = 1_000;
const kinds = ['put', 'next', 'ack'] as const;

/** What to measure. */
export interface QueueDepthTask {
  readonly endpoint: string;
  /** Jobs that wait in each of the queues. */
  readonly depths: readonly number[];
  readonly rounds: number;
}

/** Every sample of one queue, in microseconds. */
export type QueueDepthSamples = Record<(typeof kinds)[number], number[]>;

/** Puts, takes and does one job at a time, in queues of several depths by turns: the samples of each. */
export async function queueDepth(task: QueueDepthTask): Promise<QueueDepthSamples[]> {
  const { endpoint, depths, rounds } = task;
  const jobs = await openJobs(endpoint);
  const queues = depths.map((depth) => ({
    depth,
    queue: jobs.queue(uniqueName()),
    samples: { put: [], next: [], ack: [] } as QueueDepthSamples,
  }));
  for (const { depth, queue } of queues) await fill(queue, depth);
  for (let round = 0; round < warmUp + rounds; round += 1) {
    for (const { queue, samples } of round % 2 === 0 ? queues : queues.toReversed()) {
      const took = await pass(queue);
      if (round >= warmUp) for (const kind of kinds) samples[kind].push(took[kind]);
    }
  }
  await jobs.close();
  return queues.map(({ samples }) => samples);
}

async function fill(queue: SingleJobs, depth: number): Promise<void> {
  const values = valuesOf(depth);
  for (let i = 0; i < depth; i += group) await queue.putMany(values.slice(i, i + group));
}

async function pass(queue: SingleJobs): Promise<Record<(typeof kinds)[number], number>> {
  const [value = ''] = valuesOf(1);
  const put = await timed(() => queue.put(value));
  let ack = (): Promise<unknown> => Promise.reject(new Error('no job'));
  const next = await timed(async () => {
    const job = await queue.next();
    ack = () => job.ack();
  });
  return { put, next, ack: await timed(ack) };
}
