import { setTimeout as delay } from 'node:timers/promises';
import { prefixRange } from '../../src/core/store/keys.js';
import { Etcd3Store, Mirror, type Operation, Session } from '../../src/index.js';
import { takeTurns } from './turns.js';

/** What to measure. */
export interface MirrorTask {
  readonly endpoint: string;
  readonly keys: number;
  /** How many mirrors of all of them there are. */
  readonly mirrors: number;
  /** Length of each measured window. */
  readonly seconds: number;
}

/** What was found. */
export interface MirrorReport {
  /** Reads of one key, of all mirrors in turn, and of a `Map` with the same keys. */
  readonly getsPerSecond: number;
  readonly mapGetsPerSecond: number;
  /** Milliseconds until the first mirror is ready, and until all others are then. */
  readonly first: number;
  readonly others: number;
  /** Bytes of heap for each key: with one mirror, and what all others take in addition. */
  readonly bytesPerKey: number;
  readonly bytesPerKeyOfOthers: number;
  /** Watches at etcd. */
  readonly watches: number;
  /** Microseconds from a put until its answer, and until all mirrors show it. */
  readonly puts: readonly number[];
  readonly views: readonly number[];
}

interface Instance {
  readonly host: string;
  readonly port: number;
  readonly zone: string;
  readonly tags: readonly string[];
}

const prefix = 'mirror/services/web/';
const perSecond = 100;
const atATime = 100;
const batch = 100_000;
/** Milliseconds in which connections let go of what they read. */
const settling = 2_000;
const keyOf = (i: number): string => `${prefix}instance-${String(i).padStart(7, '0')}`;
const valueOf = (i: number, port: number): string =>
  JSON.stringify({ host: `10.0.${i >> 8}.${i & 255}`, port, zone: 'eu-1', tags: ['web', 'blue'] });

/** Has many mirrors of one range, reads from them, and changes what they show. */
export async function mirror({
  endpoint,
  keys,
  mirrors: count,
  seconds,
}: MirrorTask): Promise<MirrorReport> {
  const [writer, store] = [0, 1].map(() => new Etcd3Store({ endpoints: [endpoint] })) as [
    Etcd3Store,
    Etcd3Store,
  ];
  const names = Array.from({ length: keys }, (_, i) => keyOf(i));
  const puts = names.map((key, i): Operation => ({ put: { key, value: valueOf(i, 80) } }));
  for (let i = 0; i < keys; i += atATime) {
    await writer.commit({ success: puts.slice(i, i + atATime) });
  }
  const session = await Session.open(store);
  const make = (): Mirror<Instance> => new Mirror<Instance>(session, prefixRange(prefix));
  const empty = await memory();
  const began = performance.now();
  const mirrors = [make()];
  await mirrors[0]?.ready();
  const first = performance.now() - began;
  const one = await memory();
  const wentOn = performance.now();
  mirrors.push(...Array.from({ length: count - 1 }, make));
  await Promise.all(mirrors.map((each) => each.ready()));
  const others = performance.now() - wentOn;
  const all = await memory();
  const gets = await readAll(mirrors, names, seconds);
  const latencies = await change(writer, mirrors, names, seconds);
  const watches = await watchesAt(endpoint);
  await session.close(0);
  for (const each of [writer, store]) each.close();
  return {
    ...gets,
    first,
    others,
    bytesPerKey: (one - empty) / keys,
    bytesPerKeyOfOthers: (all - one) / keys,
    watches,
    ...latencies,
  };
}

async function readAll(
  mirrors: readonly Mirror<Instance>[],
  names: readonly string[],
  seconds: number,
): Promise<Pick<MirrorReport, 'getsPerSecond' | 'mapGetsPerSecond'>> {
  const map = new Map(names.map((name) => [name, mirrors[0]?.get(name) as Instance]));
  const order = names.map((_, i) => names[(i * 7_919) % names.length] as string);
  let turn = 0;
  const rateOf = (get: (key: string) => Instance | undefined): number => {
    const from = performance.now();
    let [done, found] = [0, 0];
    while (performance.now() - from < (seconds * 1_000) / 8) {
      for (let i = 0; i < batch; i += 1) {
        if (get(order[i % order.length] as string)?.port === 80) found += 1;
      }
      done += batch;
    }
    if (found !== done) throw new Error(`${done - found} were not found`);
    return (done / (performance.now() - from)) * 1_000;
  };
  const ours = async (): Promise<number> => {
    const some = mirrors[(turn += 1) % mirrors.length] as Mirror<Instance>;
    return rateOf((key) => some.get(key));
  };
  const control = async (): Promise<number> => rateOf((key) => map.get(key));
  const [mine = [], others = []] = await takeTurns(5, [ours, control]);
  const best = (rates: readonly number[]): number => Math.max(...rates.slice(1));
  return { getsPerSecond: best(mine), mapGetsPerSecond: best(others) };
}

/** Puts at an even pace, each of another key. */
async function change(
  writer: Etcd3Store,
  mirrors: readonly Mirror<Instance>[],
  names: readonly string[],
  seconds: number,
): Promise<Pick<MirrorReport, 'puts' | 'views'>> {
  const sent = new Map<string, number>();
  const shown = new Map<string, number>();
  const [puts, views]: [number[], number[]] = [[], []];
  for (const each of mirrors) {
    each.on('changed', ({ key }) => {
      const times = (shown.get(key) ?? 0) + 1;
      shown.set(key, times);
      if (times === mirrors.length) views.push((performance.now() - (sent.get(key) ?? 0)) * 1_000);
    });
  }
  const warmUp = perSecond;
  const total = warmUp + Math.ceil(perSecond * seconds);
  const from = performance.now();
  const put = async (i: number): Promise<void> => {
    const key = names[(i * 7_919) % names.length] as string;
    shown.delete(key);
    const at = performance.now();
    sent.set(key, at);
    await writer.commit({ success: [{ put: { key, value: valueOf(i, 8_080) } }] });
    puts.push((performance.now() - at) * 1_000);
  };
  const pending: Promise<void>[] = [];
  for (let i = 0; i < total; i += 1) {
    await delay(Math.max(0, from + (i * 1_000) / perSecond - performance.now()));
    pending.push(put(i));
  }
  await Promise.all(pending);
  while (views.length < total) await delay(10);
  return { puts: puts.slice(warmUp), views: views.slice(warmUp) };
}

/** Bytes of heap and buffers in use, without what is only waiting to be let go of. */
async function memory(): Promise<number> {
  await delay(settling);
  for (let i = 0; i < 3; i += 1) globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function watchesAt(endpoint: string): Promise<number> {
  const text = await (await fetch(`${endpoint}/metrics`)).text();
  return Number(/^etcd_debugging_mvcc_watcher_total (\S+)$/m.exec(text)?.[1]);
}
