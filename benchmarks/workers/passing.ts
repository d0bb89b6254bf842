import { setTimeout as sleep } from 'node:timers/promises';
import { Mutex, Semaphore, type Session } from '../../src/index.js';
import { openSessions, uniqueName } from './sessions.js';

const warmUp = 1_000;

/** What to measure. */
export interface PassingTask {
  readonly endpoint: string;
  readonly sessions: number;
  readonly connections: 'shared' | 'own';
  readonly seconds: number;
  /** How many may hold it at once. @defaultValue 1, of a mutex; more are permits of a semaphore */
  readonly permits?: number;
  /** Milliseconds for which it is kept. @defaultValue 0 */
  readonly section?: number;
}

/** What was found; all figures but the halves are per second. */
export interface PassingReport {
  /** How often it went to another session than the last. */
  readonly handOffsPerSecond: number;
  readonly acquiredPerSecond: number;
  /** Acquisitions in the first half of the window: fewer in the second mean that it slows down. */
  readonly firstHalf: number;
  readonly secondHalf: number;
}

interface Counts {
  acquired: number;
  handOffs: number;
  last: Session | undefined;
  holders: number;
}

/** Counts how often one lock, or permits of one semaphore, change hands between sessions. */
export async function passing(task: PassingTask): Promise<PassingReport> {
  const sessions = await openSessions(task.endpoint, task.sessions, task.connections);
  const counts: Counts = { acquired: 0, handOffs: 0, last: undefined, holders: 0 };
  const stop = new AbortController();
  const name = uniqueName();
  const contenders = sessions.all.map((session) =>
    contend(session, name, task, counts, stop.signal),
  );
  const failed = Promise.all(contenders);
  const report = await Promise.race([observe(counts, task.seconds * 1_000), failed]);
  stop.abort();
  await failed;
  await sessions.close();
  return report as PassingReport;
}

async function contend(
  session: Session,
  name: string,
  { permits = 1, section = 0 }: PassingTask,
  counts: Counts,
  stop: AbortSignal,
): Promise<void> {
  const limit = permits;
  const lock = permits === 1 ? new Mutex(session, name) : new Semaphore(session, name, { limit });
  while (!stop.aborted) {
    const hold = await lock.acquire();
    counts.holders += 1;
    if (counts.holders > permits) throw new Error('too many sessions hold it');
    counts.acquired += 1;
    if (counts.last !== session) counts.handOffs += 1;
    counts.last = session;
    if (section > 0) await sleep(section);
    counts.holders -= 1;
    if (!(await hold.release())) throw new Error('a hold was lost');
  }
}

async function observe(counts: Counts, window: number): Promise<PassingReport> {
  await sleep(warmUp);
  const started = performance.now();
  const first = { ...counts };
  await sleep(window / 2);
  const half = { ...counts };
  await sleep(window / 2);
  const last = { ...counts };
  const seconds = (performance.now() - started) / 1_000;
  return {
    handOffsPerSecond: (last.handOffs - first.handOffs) / seconds,
    acquiredPerSecond: (last.acquired - first.acquired) / seconds,
    firstHalf: half.acquired - first.acquired,
    secondHalf: last.acquired - half.acquired,
  };
}
