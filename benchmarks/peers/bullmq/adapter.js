import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';

/** BullMQ as its documentation has it used, and with jobs forgotten when they are done, as ours are. */
export async function open(endpoint) {
  const connection = new Redis(endpoint, { maxRetriesPerRequest: null });
  const defaultJobOptions = { removeOnComplete: true };
  return {
    queue(name) {
      const queue = new Queue(name, { connection, defaultJobOptions });
      return {
        put: (data) => queue.add('job', data),
        putMany: (values) => queue.addBulk(values.map((data) => ({ name: 'job', data }))),
        consume: (handler, { concurrency }) =>
          new Worker(name, (job) => handler(job.data), { connection, concurrency }),
      };
    },
    write: (value) => connection.set('bench-write', value),
    close: () => connection.quit(),
  };
}
