import { Mutex } from '../../src/index.js';
import { lockPair, openRaw } from '../peers/raw-grpc.js';
import { openSessions, timed, uniqueName } from './sessions.js';

const block = 50;
const warmUpBlocks = 10;

/** What to measure. */
export interface UncontendedTask {
  readonly endpoint: string;
  /** How many of each. */
  readonly pairs: number;
  /** How many of each come before, unmeasured: etcd keeps what was deleted until it is compacted. */
  readonly before: number;
}

/** Every sample, in microseconds. */
export interface UncontendedReport {
  readonly ours: number[];
  readonly raw: number[];
}

/** Takes and releases a free lock by turns: by a mutex, and by two raw transactions in the same process. */
export async function uncontended(task: UncontendedTask): Promise<UncontendedReport> {
  const { endpoint, pairs, before } = task;
  const sessions = await openSessions(endpoint, 1);
  const [session] = sessions.all;
  if (!session) throw new Error('no session');
  const mutex = new Mutex(session, uniqueName());
  const kv = openRaw(endpoint);
  const lease = await kv.grantLease(3_600);
  const key = `${uniqueName()}/holder`;

  const ours = async (): Promise<void> => {
    const hold = await mutex.acquire();
    if (!(await hold.release())) throw new Error('a hold was lost');
  };
  const raw = (): Promise<unknown> => lockPair(kv, key, lease);
  await Promise.all([repeat(ours, before), repeat(raw, before)]);
  const report: UncontendedReport = { ours: [], raw: [] };
  for (let i = 0; i < warmUpBlocks + pairs / block; i += 1) {
    const warm = i >= warmUpBlocks;
    await measure(ours, warm ? report.ours : []);
    await measure(raw, warm ? report.raw : []);
  }
  kv.close();
  await sessions.close();
  return report;
}

async function measure(pair: () => Promise<unknown>, samples: number[]): Promise<void> {
  for (let i = 0; i < block; i += 1) samples.push(await timed(pair));
}

async function repeat(pair: () => Promise<unknown>, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await pair();
}
