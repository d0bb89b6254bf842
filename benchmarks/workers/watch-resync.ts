import { inParts } from '../../src/core/in-parts.js';
import { prefixRange } from '../../src/core/store/keys.js';
import { type WatchBatch, Watching } from '../../src/core/watch/watching.js';
import { start } from '../../src/embed/index.js';
import { Etcd3Store, type Operation, type Store } from '../../src/index.js';
import { compact } from '../peers/raw-embed.js';

/** What to measure. */
export interface WatchResyncTask {
  /** Of a real etcd; without it one of this process is used through `store()`. */
  readonly endpoint?: string;
  readonly keys: number;
}

/** What was found; times are milliseconds. */
export interface WatchResyncReport {
  /** From when the loop goes on until it has been given what had changed. */
  readonly resync: number;
  /** For one read of the same state. */
  readonly read: number;
  /** From the beginning of a watch until the loop has all keys. */
  readonly initial: number;
  /** Changes that the resync found. */
  readonly told: number;
  /** Those missing, and those that should not be there. */
  readonly wrong: number;
}

const prefix = 'resync/';
const range = prefixRange(prefix);
const value = 'v'.repeat(100);
const atATime = 100;
const buffer = 2 * atATime;

/** Has a watch fall behind what etcd remembers, and go on. */
export async function watchResync({ endpoint, keys }: WatchResyncTask): Promise<WatchResyncReport> {
  const server = endpoint === undefined ? await start() : undefined;
  const at = server?.endpoints[0] ?? endpoint ?? '';
  const store = server?.store() ?? new Etcd3Store({ endpoints: [at] });
  await write(store, putsOf(0, keys));
  const began = performance.now();
  const watching = new Watching(store, range, { initial: true, buffer });
  const batches = watching.revisions();
  await next(batches);
  const initial = performance.now() - began;
  // These fit; the rest is beyond them.
  await write(store, putsOf(keys, keys + buffer));
  const tenth = keys / 10;
  await write(store, putsOf(0, tenth));
  const gone = Array.from(
    { length: tenth },
    (_, i): Operation => ({ delete: { key: keyOf(tenth + i) } }),
  );
  await write(store, gone);
  const { revision } = await store.read({ key: prefix });
  await compact(at, Number(revision));
  for (let taken = 0; taken < buffer; ) taken += (await next(batches)).changes.length;
  const went = performance.now();
  const { changes, origin } = await next(batches);
  const resync = performance.now() - went;
  const readAt = performance.now();
  await store.read(range);
  const read = performance.now() - readAt;
  const expected = new Set<string>();
  for (let i = 0; i < tenth; i += 1) expected.add(`put ${keyOf(i)}`);
  for (let i = tenth; i < 2 * tenth; i += 1) expected.add(`delete ${keyOf(i)}`);
  const extra = changes.filter(({ type, kv }) => !expected.delete(`${type} ${kv.key.toString()}`));
  const wrong = expected.size + extra.length + (origin === 'resync' ? 0 : 1);
  watching.close();
  store.close();
  await server?.stop();
  return { resync, read, initial, told: changes.length, wrong };
}

async function next(batches: AsyncIterator<WatchBatch>): Promise<WatchBatch> {
  const { value: batch, done } = await batches.next();
  if (done) throw new Error('the watch ended');
  return batch;
}

const keyOf = (i: number): string => `${prefix}${String(i).padStart(7, '0')}`;

function putsOf(from: number, to: number): Operation[] {
  return Array.from({ length: to - from }, (_, i) => ({ put: { key: keyOf(from + i), value } }));
}

async function write(store: Store, operations: readonly Operation[]): Promise<void> {
  for (const success of inParts(operations, atATime)) await store.commit({ success });
}
