import { prefixRange } from '../../src/core/store/keys.js';
import { type InProcessEtcd, start } from '../../src/embed/index.js';
import { Etcd3Store, type Store } from '../../src/index.js';
import { compact } from '../peers/raw-embed.js';
import { takeTurns } from './turns.js';

/** What to measure; needs `--expose-gc`, and room for the heap. */
export interface EmbedMillionTask {
  /** How many keys there are when memory is measured, ascending. */
  readonly sizes: readonly number[];
  readonly versions: number;
  /** How many keys there are in the store that reads are compared with. */
  readonly few: number;
  /** How often reads are measured. */
  readonly rounds: number;
}

/** The heap with so many keys; bytes. */
export interface MemoryReport {
  readonly keys: number;
  /** With the first version of each key. */
  readonly perKey: number;
  /** For each version after the first. */
  readonly perVersion: number;
  /** With all versions, over the number of keys. */
  readonly perKeyInAll: number;
  readonly heap: number;
  readonly rss: number;
  /** Microseconds. */
  readonly perPut: number;
}

/** Microseconds for reading 100 keys, round by round. */
export interface ReadReport {
  readonly many: readonly number[];
  readonly few: readonly number[];
}

/** Through `store()`, and over a connection. */
export interface Reads {
  readonly direct: ReadReport;
  readonly socket: ReadReport;
}

/** What was found. */
export interface EmbedMillionReport {
  /** Bytes of a key and of a value. */
  readonly bytes: { readonly key: number; readonly value: number };
  readonly memory: readonly MemoryReport[];
  /** From one key up to another. */
  readonly range: Reads;
  /** The first 100 of a prefix that all keys have. */
  readonly prefix: Reads;
  readonly compaction: { readonly ms: number; readonly heap: number; readonly rss: number };
}

const read = 100;
const turns = 20;
const digits = 7;
const valueBytes = 32;
const prefix = 'million/';

const nameOf = (index: number): string => prefix + String(index).padStart(digits, '0');

/** Fills a store, then reads from it and from a small one by turns. */
export async function embedMillion(task: EmbedMillionTask): Promise<EmbedMillionReport> {
  const { sizes, versions, few, rounds } = task;
  await using server = await start();
  await using small = await start();
  await fillFew(small, few, versions);
  const memory = await grow(server, sizes, versions);
  const keys = sizes.at(-1) as number;
  const measure = async (reads: number, read100: Read): Promise<Reads> => {
    const by = (stores: Stores): Promise<ReadReport> => compare({ rounds, reads, stores, read100 });
    return {
      direct: await by([server.store(), small.store()]),
      socket: await overSocket([server, small], by),
    };
  };
  const range = await measure(10, (store, which) => {
    const all = which === 0 ? keys : few;
    const from = Math.floor(Math.random() * (all - read));
    return store.read({ key: nameOf(from), end: nameOf(from + read) });
  });
  const everything = prefixRange(prefix);
  const first = await measure(1, (store) => store.read({ ...everything, limit: read }));
  const compaction = await compacted(server);
  const bytes = { key: nameOf(0).length, value: valueBytes };
  return { bytes, memory, range, prefix: first, compaction };
}

/** Of the large store (0) or the small one (1). */
type Read = (store: Store, which: 0 | 1) => ReturnType<Store['read']>;
type Stores = readonly [many: Store, few: Store];

async function overSocket<T>(
  [many, few]: readonly [InProcessEtcd, InProcessEtcd],
  work: (stores: Stores) => Promise<T>,
): Promise<T> {
  const open = ({ endpoints }: InProcessEtcd): Etcd3Store => new Etcd3Store({ endpoints });
  const stores = [open(many), open(few)] as const;
  const found = await work(stores);
  for (const store of stores) store.close();
  return found;
}

async function fillFew(server: InProcessEtcd, few: number, versions: number): Promise<void> {
  const store = server.store();
  await write(store, { from: 0, to: few, of: few, version: 1, order: 'mixed' });
  await writeAgain(store, { from: 0, to: few, of: few, version: versions });
}

/** All put once, then again and again, as keys of a lasting kind are. */
async function grow(
  server: InProcessEtcd,
  sizes: readonly number[],
  versions: number,
): Promise<MemoryReport[]> {
  const store = server.store();
  const of = sizes.at(-1) as number;
  const empty = usedHeap();
  const found: MemoryReport[] = [];
  let [from, heap, single, later] = [0, empty, 0, 0];
  for (const to of sizes) {
    const puts = (to - from) * versions;
    const started = performance.now();
    await write(store, { from, to, of, version: 1, order: 'mixed' });
    let ms = performance.now() - started;
    single += usedHeap() - heap;
    heap = usedHeap();
    const again = performance.now();
    await writeAgain(store, { from, to, of, version: versions });
    ms += performance.now() - again;
    later += usedHeap() - heap;
    heap = usedHeap();
    found.push({
      keys: to,
      perKey: single / to,
      perVersion: later / (to * (versions - 1)),
      perKeyInAll: (heap - empty) / to,
      heap,
      rss: process.memoryUsage.rss(),
      perPut: (ms * 1_000) / puts,
    });
    from = to;
  }
  return found;
}

interface Part {
  readonly from: number;
  readonly to: number;
  /** How many keys there will be. */
  readonly of: number;
  readonly version: number;
}

/** Puts all versions but the first; only the last in a mixed order, which takes long but is what reads depend on. */
async function writeAgain(store: Store, part: Part): Promise<void> {
  for (let version = 2; version < part.version; version += 1) {
    await write(store, { ...part, version, order: 'sorted' });
  }
  await write(store, { ...part, order: 'mixed' });
}

/** Puts each key once. */
async function write(
  store: Store,
  { from, to, of, version, order }: Part & { readonly order: 'sorted' | 'mixed' },
): Promise<void> {
  const indices = Array.from({ length: to - from }, (_, i) => indexOf(from + i, of));
  if (order === 'sorted') indices.sort((a, b) => a - b);
  for (const index of indices) {
    const value = `${index}/${version}/`.padEnd(valueBytes, '.');
    await store.commit({ success: [{ put: { key: nameOf(index), value } }] });
  }
}

/** Each index once, far from the one before: the factor has no divisor in common with a power of ten. */
function indexOf(i: number, of: number): number {
  return (i * 386_413) % of;
}

interface Comparison {
  readonly rounds: number;
  /** In one turn. */
  readonly reads: number;
  readonly stores: Stores;
  readonly read100: Read;
}

async function compare({ rounds, reads, stores, read100 }: Comparison): Promise<ReadReport> {
  const contender = (which: 0 | 1) => async (): Promise<number> => {
    const started = performance.now();
    for (let i = 0; i < reads; i += 1) {
      const { kvs } = await read100(stores[which], which);
      if (kvs.length !== read) throw new Error(`read ${kvs.length} keys`);
    }
    return ((performance.now() - started) * 1_000) / reads;
  };
  const report: { many: number[]; few: number[] } = { many: [], few: [] };
  for (let round = -1; round < rounds; round += 1) {
    const [many = [], few = []] = await takeTurns(turns, [contender(0), contender(1)]);
    // The first is for warming up.
    if (round < 0) continue;
    report.many.push(middle(many));
    report.few.push(middle(few));
  }
  return report;
}

function middle(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? Number.NaN;
}

async function compacted(server: InProcessEtcd): Promise<EmbedMillionReport['compaction']> {
  const started = performance.now();
  await compact(server.endpoints[0] as string, Number(server.stats.revision));
  const ms = performance.now() - started;
  return { ms, heap: usedHeap(), rss: process.memoryUsage.rss() };
}

function usedHeap(): number {
  if (!globalThis.gc) throw new Error('needs --expose-gc');
  globalThis.gc();
  return process.memoryUsage().heapUsed;
}
