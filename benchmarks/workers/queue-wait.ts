import { setTimeout as sleep } from 'node:timers/promises';
import { timed, uniqueName } from './sessions.js';
import { openBroker, valuesOf, type Where } from './work-queue.js';

const warmUp = 3;
/** Milliseconds: who looks now and then does so at most this far apart, and is to be met at any phase. */
const longest = 500;

/** What to measure. */
export interface QueueWaitTask {
  readonly where: Where;
  readonly rounds: number;
}

/** Every sample, in microseconds. */
export interface QueueWaitReport {
  /** From `put` called to the handler called, of a consumer that had nothing to do. */
  readonly waits: number[];
  /** The same, to the answer of `put`. */
  readonly puts: number[];
  /** Plain writes after such a pause. */
  readonly writes: number[];
}

/** Times jobs on their way to one idle consumer of the same process, and plain writes in between. */
export async function queueWait({ where, rounds }: QueueWaitTask): Promise<QueueWaitReport> {
  const broker = await openBroker(where);
  const queue = await broker.queue(uniqueName());
  let arrived = (): void => {};
  const consumer = queue.consume(async () => arrived(), { concurrency: 1 });
  const report: QueueWaitReport = { waits: [], puts: [], writes: [] };
  const values = valuesOf(warmUp + rounds);
  for (const [round, value] of values.entries()) {
    const pause = Math.random() * longest;
    await sleep(pause);
    const started = performance.now();
    const handled = new Promise<number>((resolve) => {
      arrived = () => resolve((performance.now() - started) * 1_000);
    });
    const put = timed(() => queue.put(value));
    const [wait, answer] = await Promise.all([handled, put]);
    await sleep(pause);
    const write = await timed(() => broker.write(value));
    if (round < warmUp) continue;
    report.waits.push(wait);
    report.puts.push(answer);
    report.writes.push(write);
  }
  await consumer.close();
  await broker.close();
  return report;
}
