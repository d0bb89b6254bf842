import { cpuUsage } from 'node:process';
import { uniqueName } from './sessions.js';
import { turn } from './turns.js';
import { openBroker, valuesOf, type Where } from './work-queue.js';

const warmUp = 1_000;

/** What to measure. */
export interface QueuePutTask {
  readonly where: Where;
  /** How many put at the same time. */
  readonly callers: number;
  /** Length of the measured window. */
  readonly seconds: number;
}

/** What was counted in the window. */
export interface QueuePutReport {
  readonly perSecond: number;
  /** Processor time of this process for each of them, in microseconds. */
  readonly cpu: number;
}

/** Counts how many jobs callers put, one at a time each. */
export async function queuePut(task: QueuePutTask): Promise<QueuePutReport> {
  const { callers, seconds } = task;
  const broker = await openBroker(task.where);
  const queue = await broker.queue(uniqueName());
  const [value = ''] = valuesOf(1);
  const put = (): Promise<unknown> => queue.put(value);
  await turn(put, callers, warmUp);
  const before = cpuUsage();
  const { count, ms } = await turn(put, callers, seconds * 1_000);
  const { user, system } = cpuUsage(before);
  await broker.close();
  return { perSecond: (count / ms) * 1_000, cpu: (user + system) / count };
}
