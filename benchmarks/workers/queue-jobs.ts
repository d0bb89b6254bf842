import { connect, type Job } from '../../src/index.js';
import type { Broker, WorkQueue } from './work-queue.js';

/** A queue that gives single jobs too. */
export interface SingleJobs extends WorkQueue {
  next(): Promise<Job<string>>;
}

/** Our queues. */
export interface Jobs extends Broker {
  queue(name: string): SingleJobs;
}

/** Opens ours. */
export async function openJobs(endpoint: string): Promise<Jobs> {
  const coordinator = await connect({ endpoints: [endpoint] });
  return {
    queue(name) {
      const queue = coordinator.queue<string>(name);
      return {
        put: (value) => queue.put(value),
        putMany: (values) => queue.putMany(values),
        next: () => queue.next(),
        consume(handler, { concurrency: size }) {
          if (size === 1) return queue.consume((job) => handler(job.value));
          const work = (jobs: readonly Job<string>[]): Promise<unknown> =>
            Promise.all(jobs.map((job) => handler(job.value)));
          return queue.consumeBatches(work, { size });
        },
      };
    },
    write: (value) => coordinator.client.put('bench-write', value),
    close: () => coordinator.close(),
  };
}
