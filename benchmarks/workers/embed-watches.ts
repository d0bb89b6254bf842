import { prefixRange } from '../../src/core/store/keys.js';
import { type InProcessEtcd, start } from '../../src/embed/index.js';
import type { Store } from '../../src/index.js';
import { watchAll } from '../peers/raw-embed.js';
import { openRaw } from '../peers/raw-grpc.js';
import { takeTurns } from './turns.js';

/** What to measure. */
export interface EmbedWatchesTask {
  /** Servers to reach over connections, one for each of `cases`; without them servers of this process. */
  readonly endpoints?: readonly string[];
  /** Whether each watches one key, or all that begin with a prefix. */
  readonly of: 'keys' | 'prefixes';
  /** How many keys there are on each server. */
  readonly keys: number;
  /** On each of the servers: how many of the keys are watched, and how many of these are put to. */
  readonly cases: readonly { readonly watched: number; readonly put: number }[];
  /** Measured puts to each of the servers. */
  readonly puts: number;
  /** How many put at the same time. */
  readonly callers: number;
}

/** What was found on one of the servers. */
export interface EmbedWatchesReport {
  /** Until each put was answered and its event had arrived, by block of puts. */
  readonly microsecondsPerPut: readonly number[];
  /** All puts, those to warm up included. */
  readonly puts: number;
  /** Events that watches were told of. */
  readonly wakeUps: number;
  /** Those of them that were for another watch. */
  readonly wrong: number;
  /** Milliseconds until all watches were set. */
  readonly setUp: number;
}

/** A server with watches on it. */
interface Subject {
  readonly put: (key: string) => Promise<unknown>;
  watch(names: readonly string[], of: EmbedWatchesTask['of'], onEvent: OnEvent): Promise<void>;
  close(): unknown;
}

type OnEvent = (watch: number, key: string) => void;

const block = 500;
const warmUpBlocks = 6;
const value = 'v'.repeat(100);

/**
 * Puts to watched keys, by turns on servers with few and with many watches. Each put is for exactly one watch. There are
 * equally many keys on all servers, so that what differs is the watches.
 */
export async function embedWatches(task: EmbedWatchesTask): Promise<EmbedWatchesReport[]> {
  const measured = await Promise.all(task.cases.map((_, index) => prepare(task, index)));
  const blocks = Math.ceil(task.puts / block);
  await takeTurns(
    warmUpBlocks + blocks,
    measured.map(({ run }) => run),
  );
  return measured.map(({ finish }) => finish());
}

async function prepare(
  { endpoints, of, callers, keys, cases }: EmbedWatchesTask,
  index: number,
): Promise<{ run: () => Promise<void>; finish: () => EmbedWatchesReport }> {
  const { watched, put: used } = cases[index] as EmbedWatchesTask['cases'][number];
  const names = Array.from({ length: keys }, (_, i) => `watched/${i}/`);
  const keyOf = (i: number): string => (names[i] as string) + (of === 'keys' ? '' : 'key');
  const found = { wakeUps: 0, wrong: 0, puts: 0 };
  const onEvent: OnEvent = (watch, key) => {
    found.wakeUps += 1;
    const name = names[watch] as string;
    if (of === 'keys' ? key !== name : !key.startsWith(name)) found.wrong += 1;
  };
  const endpoint = endpoints?.[index];
  const subject = endpoint === undefined ? await direct() : overSocket(endpoint);
  // Over a connection nobody would see how many keys there are, and it takes long.
  if (endpoint === undefined) for (let i = 0; i < keys; i += 1) await subject.put(keyOf(i));
  const before = performance.now();
  await subject.watch(names.slice(0, watched), of, onEvent);
  const setUp = performance.now() - before;
  const samples: number[] = [];
  const put = (): Promise<unknown> => {
    // A prime, so that they do not come in the order in which they were set.
    const key = keyOf((found.puts * 7_919) % used);
    found.puts += 1;
    return subject.put(key);
  };
  const run = async (): Promise<void> => {
    const started = performance.now();
    const due = found.puts + block;
    const caller = async (): Promise<void> => {
      while (found.puts < due) await put();
    };
    await Promise.all(Array.from({ length: callers }, caller));
    await arrived(() => found.wakeUps >= found.puts);
    samples.push(((performance.now() - started) * 1_000) / block);
  };
  const finish = (): EmbedWatchesReport => {
    subject.close();
    return { ...found, setUp, microsecondsPerPut: samples.slice(warmUpBlocks) };
  };
  return { run, finish };
}

/** Events that got lost are seen in the count of wake-ups. */
async function arrived(done: () => boolean): Promise<void> {
  const started = performance.now();
  while (!done() && performance.now() - started < 5_000) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function direct(): Promise<Subject> {
  const server: InProcessEtcd = await start({ listenClientUrls: [] });
  const store: Store = server.store();
  return {
    put: (key) => store.commit({ success: [{ put: { key, value } }] }),
    async watch(names, of, onEvent) {
      const watches = names.map((name, watch) =>
        store.watch(of === 'keys' ? { key: name } : prefixRange(name), {
          events: (events) => {
            for (const { kv } of events) onEvent(watch, kv.key.toString());
          },
          gap: () => {},
          closed: () => {},
        }),
      );
      await Promise.all(watches.map(({ ready }) => ready));
    },
    close: () => void server.stop(),
  };
}

function overSocket(endpoint: string): Subject {
  const raw = openRaw(endpoint);
  let end: (() => void) | undefined;
  return {
    put: (key) => raw.put(key, value),
    async watch(names, of, onEvent) {
      const watches = names.map((key) =>
        of === 'keys' ? { key } : { key, end: `${key.slice(0, -1)}0` },
      );
      end = await watchAll(endpoint, watches, onEvent);
    },
    close: () => {
      end?.();
      raw.close();
    },
  };
}
