import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Hold, Mutex, type Session, type Store } from '../../src/index.js';
import { openSessions, timed, uniqueName } from './sessions.js';

const warmUp = 3;
const warmPuts = 5;
const value: Buffer = Buffer.alloc(100);

/** What to measure; durations are milliseconds. */
export interface HandOffTask {
  readonly endpoint: string;
  /** What is handed over. */
  readonly recipe: 'mutex' | 'election';
  /** How long the waiter has waited when the holder releases. */
  readonly wait: number;
  /** Longest random pause before each hand-off. */
  readonly jitter: number;
  readonly rounds: number;
}

/** Every sample, in microseconds. */
export interface HandOffReport {
  readonly handOffs: number[];
  /** Puts by the holder's client after a pause as long as `wait`. */
  readonly coldPuts: number[];
  /** Puts right after other puts. */
  readonly warmPuts: number[];
}

/** Somebody who takes part. */
interface Contender {
  acquire(): Promise<Hold>;
}

/** Times a lock, or a term, going from its holder to one waiter, and puts under the same conditions in between. */
export async function handOff(task: HandOffTask): Promise<HandOffReport> {
  const { endpoint, wait, jitter, rounds } = task;
  const sessions = await openSessions(endpoint, 2);
  const name = uniqueName();
  const make = (session: Session): Contender => {
    if (task.recipe === 'mutex') return new Mutex(session, name);
    const election = new Election(session, name);
    return { acquire: () => election.campaign('') };
  };
  const [holder, waiter] = sessions.all.map(make) as [Contender, Contender];
  const { store } = sessions.all[0] as Session;
  const report: HandOffReport = { handOffs: [], coldPuts: [], warmPuts: [] };
  for (let round = 0; round < warmUp + rounds; round += 1) {
    await sleep(Math.random() * jitter);
    const passed = await passOnce(holder, waiter, wait);
    await sleep(Math.random() * jitter);
    const puts = await putOnce(store, name, wait);
    if (round < warmUp) continue;
    report.handOffs.push(passed);
    report.coldPuts.push(puts.cold);
    report.warmPuts.push(puts.warm);
  }
  await sessions.close();
  return report;
}

async function passOnce(holder: Contender, waiter: Contender, wait: number): Promise<number> {
  const held = await holder.acquire();
  let acquiredAt: number | undefined;
  const waiting = waiter.acquire().then((hold) => {
    acquiredAt = performance.now();
    return hold;
  });
  await sleep(wait);
  if (acquiredAt !== undefined) throw new Error('the waiter got the lock while it was held');
  const releasedAt = performance.now();
  const released = held.release();
  const next = await waiting;
  const passed = ((acquiredAt ?? Number.NaN) - releasedAt) * 1_000;
  if (!(await released) || !(await next.release())) throw new Error('a hold was lost');
  return passed;
}

/** The first put stands for the waiter's joining: from there on nothing happens for as long as the waiter waits. */
async function putOnce(
  store: Store,
  key: string,
  wait: number,
): Promise<{ cold: number; warm: number }> {
  const put = (): Promise<unknown> => store.commit({ success: [{ put: { key, value } }] });
  await put();
  await sleep(wait);
  const cold = await timed(put);
  let warm = 0;
  for (let i = 0; i < warmPuts; i += 1) warm = await timed(put);
  return { cold, warm };
}
