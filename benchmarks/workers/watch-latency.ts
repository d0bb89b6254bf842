import { Watching } from '../../src/core/watch/watching.js';
import { Etcd3Store } from '../../src/index.js';
import { watchAll } from '../peers/raw-embed.js';
import { openRaw } from '../peers/raw-grpc.js';
import { takeTurns } from './turns.js';

/** What to measure. */
export interface WatchLatencyTask {
  readonly endpoint: string;
  /** Length of all turns of one of them together. */
  readonly seconds: number;
}

/** Microseconds from each put to its event: in our loop, and in a callback of bare grpc-js. */
export interface WatchLatencyReport {
  readonly ours: readonly number[];
  readonly raw: readonly number[];
}

/** Something that is told of puts to its key. */
interface Subject {
  readonly key: string;
  /** Resolves with the next event. */
  next(): Promise<unknown>;
  close(): void;
}

const turns = 8;
const warmUpTurns = 2;

/** Puts to a key that one of them watches, and then to the other's. */
export async function watchLatency({
  endpoint,
  seconds,
}: WatchLatencyTask): Promise<WatchLatencyReport> {
  const raw = openRaw(endpoint);
  const subjects = [await loop(endpoint), await bare(endpoint)];
  const length = (seconds * 1_000) / turns;
  const measured = subjects.map((subject) => async (): Promise<number[]> => {
    const samples: number[] = [];
    for (const until = performance.now() + length; performance.now() < until; ) {
      const event = subject.next();
      const began = performance.now();
      const put = raw.put(subject.key, 'v');
      await event;
      samples.push((performance.now() - began) * 1_000);
      await put;
    }
    return samples;
  });
  const [ours = [], theirs = []] = await takeTurns(turns + warmUpTurns, measured);
  for (const subject of subjects) subject.close();
  raw.close();
  return { ours: ours.slice(warmUpTurns).flat(), raw: theirs.slice(warmUpTurns).flat() };
}

async function loop(endpoint: string): Promise<Subject> {
  const store = new Etcd3Store({ endpoints: [endpoint] });
  const key = 'latency/loop';
  const watching = new Watching(store, { key });
  await watching.ready;
  const changes = watching[Symbol.asyncIterator]();
  return { key, next: () => changes.next(), close: () => store.close() };
}

async function bare(endpoint: string): Promise<Subject> {
  const key = 'latency/bare';
  let tell = (): void => {};
  const close = await watchAll(endpoint, [{ key }], () => tell());
  const next = (): Promise<void> =>
    new Promise((resolve) => {
      tell = resolve;
    });
  return { key, next, close };
}
