import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Guard } from '../../src/embed/process/guard.js';
import { connect } from '../../src/index.js';
import { ChaosCluster, type Profile } from './cluster.js';
import { Crew, type Setup } from './crew.js';
import type { Defect } from './defects.js';
import { FullLog } from './full-log.js';
import { Recorder } from './history.js';
import { compact, unleash } from './nemesis.js';
import { type Network, namespaceNetwork, proxyNetwork } from './network.js';
import type { Plan } from './plan.js';
import type { Workload } from './workloads/names.js';

/** How a run is to be. */
export interface CampaignOptions {
  readonly seed: number;
  readonly members: number;
  readonly workers: number;
  readonly profile: Profile;
  readonly rate: number;
  readonly ttl: number;
  readonly transport: Setup['transport'];
  readonly defect?: Defect | undefined;
  readonly workloads: readonly Workload[];
  /** Ends once so many jobs were done. */
  readonly jobs?: number | undefined;
  readonly network: 'netns' | 'proxy';
  readonly binary: string;
  /** Where data and sockets go for the time of the run. */
  readonly scratch: string;
  /** Where the history goes. */
  readonly history: string;
}

/** What is known of a run besides its history. */
export interface Campaign {
  readonly etcd: string;
  /** Whether the full log has holes, so that nothing can be said. */
  readonly torn: boolean;
}

/** What is kept though nobody is there: what was written, and what barriers (also of who joined a round and died), semaphores and partitioners remember. */
const STAYS =
  /^(data|list|mark|counter|sequence|done|audit)\/|\/assignment$|\/limit\/|\/round$|^cyclic-barrier\/[^/]+\/\d+\/arrivals$|^queue\/[^/]+\/(dead\/|delayed!time$)/;
/** Bytes at which members take no more writes, where workers do one thing only, and that often. */
const QUOTA_OF_JOBS = 128 << 20;
const POLL = 100;
const FINISH = 300_000;
/** Milliseconds between two times that what nobody needs is removed. */
const TIDY = 2_000;
/** How often that is done before etcd has to forget what happened then. */
const REMEMBERED = 5;
/** The longest that a lease of a process lives after it was killed, and then some. */
const REMAINS = 80_000;

/** Runs the workloads with the plan's faults, heals, and has all come to rest. */
export async function campaign(
  options: CampaignOptions,
  plan: Plan,
  signal: AbortSignal,
  tell: (what: string) => void,
): Promise<Campaign> {
  const { scratch, history, network: kind, binary, members, seed } = options;
  await mkdir(history, { recursive: true });
  const undo: (() => Promise<unknown>)[] = [];
  try {
    // However we end: processes end and the directory goes.
    const guard = await Guard.start(scratch);
    undo.push(() => guard.close());
    const harness = new Recorder(history, 'harness');
    const network: Network =
      kind === 'netns'
        ? await namespaceNetwork(binary, members, scratch)
        : await proxyNetwork(binary, members);
    undo.push(() => network.close());
    const { workloads, profile, jobs = Number.POSITIVE_INFINITY } = options;
    const quota = workloads.length === 1 ? QUOTA_OF_JOBS : undefined;
    const cluster = await ChaosCluster.start(network, profile, scratch, signal, quota);
    undo.push(() => cluster.close());
    tell(`etcd ${cluster.version}, ${members} members, ${kind}`);
    const log = new FullLog(cluster, new Recorder(history, 'log'));
    undo.push(() => log.stop());
    const vault = join(scratch, 'vault');
    undo.push(await startVault(vault, history, guard));
    const { ttl, defect, transport } = options;
    const rate = options.rate / options.workers;
    const setup = { directory: history, vault, ttl, seed, rate, transport, defect, workloads };
    const crew = new Crew(setup, cluster.endpoints, harness, guard);
    undo.push(() => crew.end());
    await crew.start(options.workers);
    undo.push(followLeader(cluster, new Recorder(history, 'leader')));
    const tidied = tidy({ cluster, log, recorder: harness }, jobs, signal);
    undo.push(tidied.stop);
    {
      const session = { ttl: 60_000, label: 'nemesis' };
      await using observer = await connect({ endpoints: cluster.controls, session });
      const scene = { cluster, crew, log, recorder: harness, observer, seed, signal, tell };
      await unleash(scene, plan, tidied.enough);
      harness.write({ f: 'calm', e: 'info' });
    }
    tell('healing');
    await cluster.heal();
    const stuck = await crew.finish(await mark(cluster), FINISH);
    await tidied.stop();
    if (stuck.length > 0) tell(`did not finish: ${stuck.join(' ')}`);
    await remains(cluster, log, harness);
    return { etcd: cluster.version, torn: log.torn };
  } finally {
    for (const step of undo.toReversed()) {
      await step().catch((error: Error) => tell(`could not clean up: ${error.message}`));
    }
  }
}

/**
 * Deletes what says that jobs were done, and has etcd forget what happened some time ago, as operators do: what workers write
 * would fill it between two faults that compact it. The full log has it all. `enough` aborts once so many jobs were done.
 */
function tidy(
  scene: Parameters<typeof compact>[0],
  jobs: number,
  signal: AbortSignal,
): { readonly enough: AbortSignal; readonly stop: () => Promise<void> } {
  const { cluster, log } = scene;
  const [enough, stop] = [new AbortController(), new AbortController()];
  const either = AbortSignal.any([signal, stop.signal]);
  const range = { key: base64('done/'), range_end: base64('done0') };
  const work = async (): Promise<void> => {
    const revisions: number[] = [];
    while (!either.aborted) {
      revisions.push(log.revision);
      await sleep(TIDY, undefined, { signal: either }).catch(() => {});
      if (log.done >= jobs) enough.abort(new Error('enough'));
      await cluster.call('/v3/kv/deleterange', range).catch(() => {});
      const past = revisions.length > REMEMBERED ? revisions.shift() : undefined;
      if (past !== undefined) await compact(scene, past);
    }
  };
  const done = work();
  return {
    enough: enough.signal,
    stop: () => {
      stop.abort();
      return done;
    },
  };
}

async function startVault(
  socket: string,
  history: string,
  guard: Guard,
): Promise<() => Promise<unknown>> {
  const script = fileURLToPath(new URL('vault-process.ts', import.meta.url));
  const child = fork(script, [socket, history], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  guard.add(child.pid ?? 0);
  await once(child, 'message');
  const exit = once(child, 'exit');
  return () => {
    child.kill('SIGKILL');
    return exit;
  };
}

/** Takes down who leads, until it is told to stop. */
function followLeader(cluster: ChaosCluster, recorder: Recorder): () => Promise<void> {
  const stop = new AbortController();
  const follow = async (): Promise<void> => {
    let last = '';
    while (!stop.signal.aborted) {
      const leader = await cluster.leader();
      const target = leader ? `m${leader.index + 1}` : '';
      if (leader && target !== last) {
        recorder.write({ f: 'leader', e: 'info', target, term: leader.term });
        last = target;
      }
      await sleep(POLL, undefined, { signal: stop.signal }).catch(() => {});
    }
  };
  const done = follow();
  return () => {
    stop.abort();
    return done;
  };
}

/** Writes where every watch will see it, and gives the revision. */
async function mark(cluster: ChaosCluster): Promise<number> {
  const keys = ['data/cnt/marker', 'data/marker', 'data/reg/marker'];
  const success = keys.map((key) => ({ requestPut: { key: base64(key), value: '' } }));
  const { header } = await cluster.call<{ header: { revision: string } }>('/v3/kv/txn', {
    success,
  });
  return Number(header.revision);
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

interface Ranges {
  readonly header: { readonly revision: string };
  readonly responses: readonly {
    readonly response_range: { readonly kvs?: readonly { readonly key: string }[] };
  }[];
}

/** Takes down what is left when everything that can go has had time to. */
async function remains(cluster: ChaosCluster, log: FullLog, recorder: Recorder): Promise<void> {
  const limit = performance.now() + REMAINS;
  // Jobs that were done stay, and are many.
  const ranges = [
    ['\0', 'done/'],
    ['done0', '\0'],
  ] as const;
  const success = ranges.map(([key, end]) => ({
    requestRange: { key: base64(key), range_end: base64(end), keys_only: true },
  }));
  for (;;) {
    const { leases = [] } = await cluster.call<{ leases?: { ID: string }[] }>(
      '/v3/lease/leases',
      {},
    );
    const { header, responses } = await cluster.call<Ranges>('/v3/kv/txn', { success });
    const keys = responses
      .flatMap(({ response_range: { kvs = [] } }) => kvs)
      .map(({ key }) => Buffer.from(key, 'base64').toString())
      .filter((key) => !STAYS.test(key));
    const seen = log.torn || log.revision >= Number(header.revision);
    if ((leases.length === 0 && keys.length === 0 && seen) || performance.now() > limit) {
      const hashes = await hashKeyValues(cluster, header.revision);
      recorder.write({ f: 'remains', e: 'info', leases: leases.map(({ ID }) => ID), keys, hashes });
      return;
    }
    await sleep(POLL);
  }
}

/** What each member makes of all keys and values up to a revision. */
async function hashKeyValues(cluster: ChaosCluster, revision: string): Promise<string[]> {
  const all = cluster.members.map((_, i) => i);
  const hashes = await Promise.all(
    all.map((i) =>
      cluster
        .gateway(i)
        .call<{ hash: number; compact_revision?: string }>('/v3/maintenance/hashkv', { revision })
        .catch(() => undefined),
    ),
  );
  // Hashes are of what was not compacted yet: members may differ in how far they are.
  const [first] = hashes;
  const comparable = hashes.filter((h) => h && h.compact_revision === first?.compact_revision);
  return comparable.map((h) => String(h?.hash));
}
