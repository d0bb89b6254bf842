import { uniqueName } from './sessions.js';
import { type Broker, openBroker, valuesOf, type Where } from './work-queue.js';

const group = 500;

/** What to measure. */
export interface QueueDrainTask {
  readonly where: Where;
  readonly jobs: number;
  readonly consumers: number;
  /** How many jobs each of them has at once. */
  readonly concurrency: number;
}

/** What was found. */
export interface QueueDrainReport {
  /** Jobs that were done. */
  readonly perSecond: number;
  /** Jobs that were put before, in groups of 500 one after the other. */
  readonly filledPerSecond: number;
  /** How often a job was handled again. */
  readonly again: number;
}

/** Fills a queue and has consumers empty it: once to warm up, as new processes are slow and those of a user live long, and once more. */
export async function queueDrain(task: QueueDrainTask): Promise<QueueDrainReport> {
  const broker = await openBroker(task.where);
  await drainOnce(broker, task);
  const report = await drainOnce(broker, task);
  await broker.close();
  return report;
}

async function drainOnce(broker: Broker, task: QueueDrainTask): Promise<QueueDrainReport> {
  const { jobs, consumers: count, concurrency } = task;
  const queue = await broker.queue(uniqueName());
  const values = valuesOf(jobs);
  const filling = performance.now();
  for (let i = 0; i < jobs; i += group) await queue.putMany(values.slice(i, i + group));
  const started = performance.now();
  const handled = new Set<string>();
  let calls = 0;
  await new Promise<void>((resolve, reject) => {
    const consume = (): ReturnType<typeof queue.consume> => queue.consume(handler, { concurrency });
    const handler = async (value: string): Promise<void> => {
      calls += 1;
      handled.add(value);
      if (handled.size === jobs) finish();
    };
    const consumers = Array.from({ length: count }, consume);
    const finish = (): void => {
      Promise.all(consumers.map((consumer) => consumer.close())).then(() => resolve(), reject);
    };
  });
  return {
    perSecond: (jobs / (performance.now() - started)) * 1_000,
    filledPerSecond: (jobs / (started - filling)) * 1_000,
    again: calls - jobs,
  };
}
