import { type InProcessEtcd, start } from '../../src/embed/index.js';
import { prefixRange, type Store } from '../../src/index.js';
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

/** What was found. */
export interface EmbedMillionReport {
  /** Bytes of a key and of a value. */
  readonly bytes: { readonly key: number; readonly value: number };
  readonly memory: readonly MemoryReport[];
  /** From one key up to another. */
  readonly range: ReadReport;
  /** The first 100 of a prefix that all keys have. */
  readonly prefix: ReadReport;
  readonly compaction: { readonly ms: number; readonly heap: number; readonly rss: number };
}

const read = 100;
const blocks = 20;
const blockSize = 10;
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
  const [stores, counts] = [[server.store(), small.store()] as const, [keys, few] as const];
  const range = await compare(rounds, stores, (store, which) => {
    const from = Math.floor(Math.random() * (counts[which] - read));
    return store.read({ key: nameOf(from), end: nameOf(from + read) });
  });
  const all = prefixRange(prefix);
  const first = await compare(rounds, stores, (store) => store.read({ ...all, limit: read }));
  const compaction = await compacted(server);
  const bytes = { key: nameOf(0).length, value: valueBytes };
  return { bytes, memory, range, prefix: first, compaction };
}

async function fillFew(server: InProcessEtcd, few: number, versions: number): Promise<void> {
  const store = server.store();
  for (let version = 1; version <= versions; version += 1) {
    await write(store, { from: 0, to: few, of: few, version });
  }
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
    await write(store, { from, to, of, version: 1 });
    let ms = performance.now() - started;
    single += usedHeap() - heap;
    heap = usedHeap();
    const again = performance.now();
    for (let version = 2; version <= versions; version += 1) {
      await write(store, { from, to, of, version });
    }
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

/** Puts keys in an order without order: no multiple of ours divides a power of ten. */
async function write(store: Store, { from, to, of, version }: Part): Promise<void> {
  for (let i = from; i < to; i += 1) {
    const index = (i * 386_413) % of;
    const value = `${index}/${version}/`.padEnd(valueBytes, '.');
    await store.commit({ success: [{ put: { key: nameOf(index), value } }] });
  }
}

async function compare(
  rounds: number,
  stores: readonly [many: Store, few: Store],
  read100: (store: Store, which: 0 | 1) => ReturnType<Store['read']>,
): Promise<ReadReport> {
  const contender = (which: 0 | 1) => async (): Promise<number> => {
    const started = performance.now();
    for (let i = 0; i < blockSize; i += 1) {
      const { kvs } = await read100(stores[which], which);
      if (kvs.length !== read) throw new Error(`read ${kvs.length} keys`);
    }
    return ((performance.now() - started) * 1_000) / blockSize;
  };
  const report: { many: number[]; few: number[] } = { many: [], few: [] };
  for (let round = -1; round < rounds; round += 1) {
    const [many = [], few = []] = await takeTurns(blocks, [contender(0), contender(1)]);
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
  await compact(server.endpoints[0] as string, Number(server.revision));
  const ms = performance.now() - started;
  return { ms, heap: usedHeap(), rss: process.memoryUsage.rss() };
}

function usedHeap(): number {
  if (!globalThis.gc) throw new Error('needs --expose-gc');
  void globalThis.gc();
  return process.memoryUsage().heapUsed;
}
