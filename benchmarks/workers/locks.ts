import { cpuUsage } from 'node:process';
import { Mutex } from '../../src/index.js';
import { openSessions, uniqueName } from './sessions.js';
import { turn } from './turns.js';

const warmUp = 1_000;

/** What to measure. */
export interface LocksTask {
  readonly endpoint: string;
  /** How many take and release locks at the same time, each its own. */
  readonly callers: number;
  /** Whether their transactions travel together. */
  readonly batching: boolean;
  /** Length of the measured window. */
  readonly seconds: number;
}

/** What was counted in the window. */
export interface LocksReport {
  /** Acquisitions with their releases. */
  readonly perSecond: number;
  /** Processor time of this process for each of them, in microseconds. */
  readonly cpu: number;
}

/** Counts how often callers take and release locks that nobody else wants, all on one session. */
export async function locks(task: LocksTask): Promise<LocksReport> {
  const { endpoint, callers, batching, seconds } = task;
  const sessions = await openSessions(endpoint, 1, 'shared', batching);
  const [session] = sessions.all;
  if (!session) throw new Error('no session');
  const name = uniqueName();
  const mutexes = Array.from({ length: callers }, (_, i) => new Mutex(session, `${name}-${i}`));
  const idle = [...mutexes];
  const pair = async (): Promise<void> => {
    const mutex = idle.pop() as Mutex;
    const hold = await mutex.acquire();
    if (!(await hold.release())) throw new Error('a hold was lost');
    idle.push(mutex);
  };
  await turn(pair, callers, warmUp);
  const before = cpuUsage();
  const { count, ms } = await turn(pair, callers, seconds * 1_000);
  const { user, system } = cpuUsage(before);
  await sessions.close();
  return { perSecond: (count / ms) * 1_000, cpu: (user + system) / count };
}
