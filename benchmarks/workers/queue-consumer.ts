import { subscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { openJobs } from './queue-jobs.js';

/** Milliseconds between what a consumer tells of itself: too seldom to cost anything. */
const interval = 25;

/** Whose jobs to take. */
export interface QueueConsumerTask {
  readonly endpoint: string;
  readonly name: string;
  readonly concurrency: number;
  /** Milliseconds for which a handler waits for something else; 0: it ends at once. */
  readonly handling: number;
}

/** What one process, or all of them, did so far. */
export interface ClaimCounts {
  readonly handled: number;
  /** Claims that got a job, and that others were faster with. */
  readonly won: number;
  readonly lost: number;
}

/** Consumes a queue from when its parent says so until that disconnects, and tells it what it does. */
export async function queueConsumer(task: QueueConsumerTask): Promise<ClaimCounts> {
  const { endpoint, name, concurrency, handling } = task;
  const broker = await openJobs(endpoint);
  const queue = broker.queue(name);
  const counts = { handled: 0, won: 0, lost: 0 };
  subscribe('etcd-recipes:claim', (note) => {
    counts[(note as { readonly won: boolean }).won ? 'won' : 'lost'] += 1;
  });
  const left = once(process, 'disconnect');
  process.send?.(counts);
  await once(process, 'message');

  const handler = async (): Promise<void> => {
    if (handling > 0) await sleep(handling);
    counts.handled += 1;
  };
  const consumer = queue.consume(handler, { concurrency });
  let told = '';
  const telling = setInterval(() => {
    const now = JSON.stringify(counts);
    if (now !== told) process.send?.(counts);
    told = now;
  }, interval);
  await left;
  clearInterval(telling);
  await consumer.close();
  await broker.close();
  return counts;
}
