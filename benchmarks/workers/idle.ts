import { setTimeout as delay } from 'node:timers/promises';
import { Etcd3Store, type Hold, Mutex, Session } from '../../src/index.js';
import { uniqueName } from './sessions.js';

/** So many take locks at the same time. */
const callers = 64;

/** Milliseconds from the last lock to the window: for so long V8 shrinks its heap in steps. */
const settling = 60_000;

/** What to measure. */
export interface IdleTask {
  readonly endpoint: string;
  readonly holds: number;
  /** How long to look, in milliseconds. */
  readonly window: number;
}

/** What it takes to hold so much and do nothing. */
export interface IdleReport {
  /** Of a core, from 0 to 1. */
  readonly cpu: number;
  /** Megabytes more than before the first lock. */
  readonly memory: number;
  readonly leases: number;
  /** Streams that stand at etcd when all is held: for leases, and for watches. */
  readonly leaseStreams: number;
  readonly watchStreams: number;
  /** Watches at etcd. */
  readonly watches: number;
  /** Messages to and from etcd per second. */
  readonly messages: number;
  /** Milliseconds to take all locks. */
  readonly taken: number;
  /** Holds that were lost meanwhile. */
  readonly lost: number;
}

/** Holds many locks, and looks at what that costs while nothing happens. */
export async function idle({ endpoint, holds: count, window }: IdleTask): Promise<IdleReport> {
  const store = new Etcd3Store({ endpoints: [endpoint] });
  const session = await Session.open(store);
  const name = uniqueName();
  const memoryBefore = memory();
  let started = 0;
  const since = performance.now();
  const holds: Hold[] = [];
  const take = async (): Promise<void> => {
    for (let i = started; i < count; i = started) {
      started += 1;
      holds.push(await new Mutex(session, `${name}-${i}`).acquire());
    }
  };
  await Promise.all(Array.from({ length: callers }, take));
  const taken = performance.now() - since;
  // The watches of the keys are set a moment later.
  await delay(3_000);
  const before = await readMetrics(endpoint);
  await delay(settling);
  const cpuBefore = process.cpuUsage();
  await delay(window);
  const { user, system } = process.cpuUsage(cpuBefore);
  const after = await readMetrics(endpoint);
  const memoryAfter = memory();
  const lost = holds.filter((hold) => hold.lost).length;
  const { kvs } = await store.read({ key: `mutex/${name}`, end: `mutex/${name}~` });
  const leases = new Set(kvs.map(({ lease }) => lease)).size;
  await session.close(0);
  store.close();
  return {
    cpu: (user + system) / 1_000 / window,
    memory: memoryAfter - memoryBefore,
    leases,
    leaseStreams: after.leaseStreams,
    watchStreams: after.watchStreams,
    watches: after.watches,
    messages: (after.messages - before.messages) / ((settling + window) / 1_000),
    taken,
    lost,
  };
}

/** Megabytes of heap in use, without what is only waiting to be collected. */
function memory(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

interface Metrics {
  readonly leaseStreams: number;
  readonly watchStreams: number;
  readonly watches: number;
  readonly messages: number;
}

async function readMetrics(endpoint: string): Promise<Metrics> {
  const lines = (await (await fetch(`${endpoint}/metrics`)).text()).split('\n');
  const sum = (pattern: RegExp): number =>
    lines
      .filter((line) => pattern.test(line))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0);
  const standing = (method: string): number =>
    sum(new RegExp(`^grpc_server_started_total.*grpc_method="${method}"`)) -
    sum(new RegExp(`^grpc_server_handled_total.*grpc_method="${method}"`));
  return {
    leaseStreams: standing('LeaseKeepAlive'),
    watchStreams: standing('Watch'),
    watches: sum(/^etcd_debugging_mvcc_watcher_total /),
    messages: sum(/^grpc_server_msg_(received|sent)_total/),
  };
}
