import { setTimeout as sleep } from 'node:timers/promises';
import { Mutex, type Session } from '../../src/index.js';
import { openSessions, uniqueName } from './sessions.js';

const warmUp = 1_000;

/** What to measure. */
export interface PassingTask {
  readonly endpoint: string;
  readonly sessions: number;
  readonly connections: 'shared' | 'own';
  readonly seconds: number;
}

/** What was found; all figures but the halves are per second. */
export interface PassingReport {
  /** How often the lock went to another session than the last. */
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
  holder: Session | undefined;
}

/** Counts how often one lock changes hands between sessions whose section is empty. */
export async function passing(task: PassingTask): Promise<PassingReport> {
  const sessions = await openSessions(task.endpoint, task.sessions, task.connections);
  const counts: Counts = { acquired: 0, handOffs: 0, last: undefined, holder: undefined };
  const stop = new AbortController();
  const name = uniqueName();
  const contenders = sessions.all.map((session) => contend(session, name, counts, stop.signal));
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
  counts: Counts,
  stop: AbortSignal,
): Promise<void> {
  const mutex = new Mutex(session, name);
  while (!stop.aborted) {
    const hold = await mutex.acquire();
    if (counts.holder) throw new Error('two sessions hold the lock');
    counts.holder = session;
    counts.acquired += 1;
    if (counts.last !== session) counts.handOffs += 1;
    counts.last = session;
    counts.holder = undefined;
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
