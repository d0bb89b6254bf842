import { cpuUsage } from 'node:process';
import { Etcd3Store, Namespace, type Store } from '../../src/index.js';
import { takeTurns, turn } from './turns.js';

/** What to measure. */
export interface NamespaceTask {
  readonly endpoint: string;
  readonly act: 'put' | 'get' | 'txn';
  /** Length of all turns of one side together. */
  readonly seconds: number;
}

/** Processor time of this process for each call, in microseconds. */
export interface NamespaceReport {
  /** In three namespaces, one in another. */
  readonly nested: number;
  /** Without, with the same keys in etcd. */
  readonly plain: number;
}

interface Cost {
  readonly count: number;
  readonly cpu: number;
}

const callers = 8;
/** Short ones, so that whatever else the machine does meets both sides. */
const turnLength = 100;
const warmUp = 1_500;
const value = Buffer.alloc(100, 'v');
const prefixes = ['tenants/', 'acme/', 'jobs/'];
const names = Array.from({ length: 1_000 }, (_, i) => `key/${String(i).padStart(4, '0')}`);
const nested = names;
const plain = names.map((name) => prefixes.join('') + name);

const acts: Readonly<
  Record<NamespaceTask['act'], (store: Store, key: string) => Promise<unknown>>
> = {
  put: (store, key) => store.commit({ success: [{ put: { key, value } }] }, { idempotent: true }),
  get: (store, key) => store.read({ key }),
  txn: (store, key) =>
    store.commit(
      {
        compare: [{ key, target: 'version', is: '>', to: 0n }],
        success: [{ put: { key, value } }, { range: { key } }],
        failure: [{ put: { key, value } }],
      },
      { idempotent: true },
    ),
};

/** Has both sides call by turns. */
export async function namespace({
  endpoint,
  act,
  seconds,
}: NamespaceTask): Promise<NamespaceReport> {
  const store = new Etcd3Store({ endpoints: [endpoint] });
  const inner = prefixes.reduce<Store>((outer, prefix) => new Namespace(outer, prefix), store);
  const sides = [callerOf(inner, nested, act), callerOf(store, plain, act)];
  for (const call of sides) await turn(call, callers, warmUp);
  const measured = sides.map((call) => () => measure(call));
  const turns = Math.ceil((seconds * 1_000) / turnLength);
  const [ofNested = [], ofPlain = []] = await takeTurns(turns, measured);
  store.close();
  return { nested: costOf(ofNested), plain: costOf(ofPlain) };
}

function callerOf(
  store: Store,
  keys: readonly string[],
  act: NamespaceTask['act'],
): () => Promise<unknown> {
  let next = 0;
  return () => {
    next = (next + 1) % keys.length;
    return acts[act](store, keys[next] as string);
  };
}

async function measure(call: () => Promise<unknown>): Promise<Cost> {
  const before = cpuUsage();
  const { count } = await turn(call, callers, turnLength);
  const { user, system } = cpuUsage(before);
  return { count, cpu: user + system };
}

function costOf(turns: readonly Cost[]): number {
  const sum = (pick: (cost: Cost) => number): number =>
    turns.reduce((total, cost) => total + pick(cost), 0);
  return sum(({ cpu }) => cpu) / sum(({ count }) => count);
}
