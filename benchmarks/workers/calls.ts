import { cpuUsage } from 'node:process';
import { Counter, type Hold, Mutex, ReadWriteLock, type Session } from '../../src/index.js';
import { openSessions, uniqueName } from './sessions.js';
import { turn } from './turns.js';

const warmUp = 1_000;

/** What to measure. */
export interface CallsTask {
  readonly endpoint: string;
  /** What is called: a pair of acquire and release of a lock for each caller, or of one read lock for all; an addition of 1. */
  readonly act: 'locks' | 'read-lock' | 'counter';
  /** How many call at the same time. */
  readonly callers: number;
  /** Whether their transactions travel together. @defaultValue `true` */
  readonly batching?: boolean;
  /** Length of the measured window. */
  readonly seconds: number;
  /** Of what all callers share; needed where there are several processes. @defaultValue one of its own */
  readonly name?: string;
}

/** What was counted in the window. */
export interface CallsReport {
  readonly perSecond: number;
  /** Processor time of this process for each of them, in microseconds. */
  readonly cpu: number;
}

/** Counts how often callers do something that nobody else is in the way of, all on one session. */
export async function calls(task: CallsTask): Promise<CallsReport> {
  const { endpoint, act, callers, batching, seconds, name = uniqueName() } = task;
  const sessions = await openSessions(endpoint, 1, 'shared', batching);
  const [session] = sessions.all;
  if (!session) throw new Error('no session');
  const once = acts[act](session, name, callers);
  await turn(once, callers, warmUp);
  const before = cpuUsage();
  const { count, ms } = await turn(once, callers, seconds * 1_000);
  const { user, system } = cpuUsage(before);
  await sessions.close();
  return { perSecond: (count / ms) * 1_000, cpu: (user + system) / count };
}

type Acts = (session: Session, name: string, callers: number) => () => Promise<unknown>;

const acts: Readonly<Record<CallsTask['act'], Acts>> = {
  locks: (session, name, callers) => {
    const idle = Array.from({ length: callers }, (_, i) => new Mutex(session, `${name}-${i}`));
    return async () => {
      const mutex = idle.pop() as Mutex;
      await giveBack(await mutex.acquire());
      idle.push(mutex);
    };
  },
  'read-lock': (session, name) => {
    const { read } = new ReadWriteLock(session, name);
    return async () => giveBack(await read.acquire());
  },
  counter: (session, name) => {
    const counter = new Counter(session, name);
    return () => counter.add();
  },
};

async function giveBack(hold: Hold): Promise<void> {
  if (!(await hold.release())) throw new Error('a hold was lost');
}
