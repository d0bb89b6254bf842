import { setTimeout as sleep } from 'node:timers/promises';
import { presenceIn } from '../../src/core/line/ticket.js';
import type { Coordinator, LineEntry, WaitOptions } from '../../src/index.js';
import { again, type ChaosCluster } from './cluster.js';
import type { Crew } from './crew.js';
import type { FullLog } from './full-log.js';
import type { Recorder } from './history.js';
import type { Way } from './network.js';
import type { FaultTarget, Plan, PlannedFault } from './plan.js';
import { Random } from './random.js';
import { under } from './workloads/context.js';

/** What the nemesis works with. */
export interface Scene {
  readonly cluster: ChaosCluster;
  readonly crew: Crew;
  readonly log: FullLog;
  readonly recorder: Recorder;
  /** Connected past all faults. */
  readonly observer: Coordinator;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly tell: (what: string) => void;
}

/** What a fault hit, and how it is ended. */
interface Strike {
  readonly target: string;
  /** Client connections in its way. */
  readonly links?: number;
  readonly pid?: number;
  readonly token?: number;
  readonly lease?: string;
  readonly rev?: number;
  /** What goes on while it lasts. */
  readonly during?: () => Promise<void>;
  /** Every so many milliseconds. */
  readonly every?: number;
  readonly heal?: () => Promise<unknown> | void;
}

/** Does what the plan says, at its times, and takes it down: until that is over, or there was `enough`. What was begun is ended. */
export async function unleash(scene: Scene, plan: Plan, enough: AbortSignal): Promise<void> {
  const begun = performance.now();
  let number = 0;
  const signal = AbortSignal.any([scene.signal, enough]);
  const track = async (faults: readonly PlannedFault[]): Promise<void> => {
    for (const fault of faults) {
      const wait = Math.max(0, begun + fault.at - performance.now());
      await sleep(wait, undefined, { signal }).catch(() => scene.signal.throwIfAborted());
      if (enough.aborted) return;
      number += 1;
      await inflict(scene, fault, number);
    }
  };
  await Promise.all([track(plan.cluster), track(plan.workers)]);
}

async function inflict(scene: Scene, fault: PlannedFault, i: number): Promise<void> {
  const { recorder, signal, tell } = scene;
  const { kind, lock } = fault;
  let strike: Strike;
  try {
    strike = await begin(scene, fault);
  } catch (error) {
    signal.throwIfAborted();
    recorder.write({ f: 'fault', e: 'fail', i, kind, error: (error as Error).message });
    return;
  }
  const { target, during, every = 50, heal, ...hit } = strike;
  recorder.write({ f: 'fault', e: 'info', i, kind, target, lock, ...hit });
  tell(`${kind} ${fault.target} (${target})${fault.duration > 0 ? ` ${fault.duration} ms` : ''}`);
  try {
    const until = performance.now() + fault.duration;
    while (performance.now() < until) {
      await during?.();
      const left = until - performance.now();
      await sleep(Math.max(0, during ? Math.min(every, left) : left), undefined, { signal });
    }
  } finally {
    try {
      await heal?.();
      recorder.write({ f: 'healed', e: 'ok', i, kind, target });
    } catch (error) {
      recorder.write({ f: 'healed', e: 'fail', i, kind, error: (error as Error).message });
    }
  }
}

function begin(scene: Scene, fault: PlannedFault): Promise<Strike> {
  switch (fault.kind) {
    case 'pause-worker':
    case 'kill-worker':
    case 'revoke':
    case 'delete-key':
      return againstWorker(scene, fault);
    default:
      return againstCluster(scene, fault);
  }
}

/** Which member plays a role now. */
async function memberOf({ cluster, seed }: Scene, fault: PlannedFault): Promise<number> {
  const role: FaultTarget = fault.target;
  const leader = await cluster.leader();
  if (leader === undefined) throw new Error('nobody leads');
  if (role === 'leader') return leader.index;
  const all = cluster.members.map((_, i) => i);
  if (role === 'endpoint') {
    const links = (i: number): number => cluster.network.places[i]?.proxy.connections ?? 0;
    return all.toSorted((a, b) => links(b) - links(a))[0] ?? 0;
  }
  const followers = all.filter((i) => i !== leader.index);
  return new Random(seed, fault.at).pick(followers as [number, ...number[]]);
}

async function againstCluster(scene: Scene, fault: PlannedFault): Promise<Strike> {
  const { cluster, log, seed } = scene;
  const { network, members } = cluster;
  const { kind } = fault;
  const m = await memberOf(scene, fault);
  const member = members[m] as (typeof members)[number];
  const proxy = network.places[m]?.proxy;
  const target = member.name;
  const links = proxy?.connections ?? 0;
  const everyone = members.map((_, i) => i);
  const others = everyone.filter((i) => i !== m);
  const out: Way[] = others.map((to) => ({ from: m, to }));
  const into: Way[] = others.map((from) => ({ from, to: m }));
  const clients: Way[] = [
    { from: 'clients', to: m },
    { from: m, to: 'clients' },
  ];
  const cut = async (ways: Way[]): Promise<Strike> => {
    await network.drop(ways);
    return { target, links, heal: () => network.heal() };
  };
  const random = new Random(seed, fault.at, 'how');
  switch (kind) {
    case 'kill':
      await member.kill();
      return { target, links, heal: () => member.start() };
    case 'outage':
      await Promise.all(members.map((one) => one.kill()));
      return { target: 'all', heal: () => Promise.all(members.map((one) => one.start())) };
    case 'restart':
      await member.stop();
      return { target, links, heal: () => member.start() };
    case 'replace':
      await cluster.remove(m);
      return { target, links, heal: () => cluster.add(m) };
    case 'stutter': {
      // As on a disk that takes its time.
      const stop = async (): Promise<void> => {
        member.pause();
        await sleep(random.between(50, 400));
        member.resume();
      };
      return { target, links, during: stop };
    }
    case 'pause':
      member.pause();
      return { target, links, heal: () => member.resume() };
    case 'isolate':
      return cut(random.chance(0.5) ? [...out, ...into] : [...out, ...into, ...clients]);
    case 'mute':
      return cut(out);
    case 'deafen':
      return cut(into);
    case 'cut-clients':
      return cut(clients);
    case 'lose': {
      const share = random.between(0.05, 0.4);
      await network.lose(m, share);
      return {
        target: `${Math.round(100 * share)} % of ${target}`,
        links,
        heal: () => network.heal(),
      };
    }
    case 'reset': {
      const storm = async (): Promise<void> => {
        proxy?.cut();
        await sleep(30);
        proxy?.heal();
      };
      return { target, links, every: 250, during: storm, heal: () => proxy?.heal() };
    }
    case 'jitter':
      return {
        target: 'all',
        during: async () => network.delay(random.between(25, 125), everyone),
        heal: () => network.heal(),
      };
    case 'slow': {
      const latency = Math.round(random.between(200, 2_000));
      network.delay(latency, [m]);
      return { target: `${target} by ${latency} ms`, links, heal: () => network.heal() };
    }
    case 'throttle': {
      const rate = Math.round(random.between(2_000, 20_000));
      proxy?.throttle(rate);
      return { target: `${target} to ${rate} B/s`, links, heal: () => network.heal() };
    }
    case 'compact':
      // Some of those that watch hear nothing meanwhile.
      await network.drop(clients);
      return {
        target,
        links,
        rev: log.revision,
        every: 200,
        during: () => compact(scene),
        heal: () => network.heal(),
      };
    case 'defragment':
      await member.gateway.call('/v3/maintenance/defragment', {});
      return { target };
    case 'move-leader': {
      const [next] = await Promise.all(
        others.slice(-1).map((i) => cluster.gateway(i).call<Status>('/v3/maintenance/status', {})),
      );
      const targetID = next?.header.member_id;
      await member.gateway.call('/v3/maintenance/transfer-leadership', { targetID });
      return { target };
    }
    case 'fill':
      await fill(scene);
      return { target: 'all', heal: () => again(10, () => makeRoom(scene)) };
    default: {
      const alarm = 'NOSPACE';
      const memberID = '0';
      await cluster.call('/v3/maintenance/alarm', { action: 'ACTIVATE', memberID, alarm });
      return { target: 'all', heal: () => cluster.disarm() };
    }
  }
}

interface Status {
  readonly header: { readonly member_id: string };
}

/** Has etcd forget what was before a revision; all but the newest, of what the full log has. */
export async function compact(
  { cluster, log, recorder }: Pick<Scene, 'cluster' | 'log' | 'recorder'>,
  revision: number = log.revision - 10,
  physical = false,
): Promise<void> {
  if (revision < 2) return;
  recorder.write({ f: 'fault', e: 'invoke', kind: 'compacted', rev: revision });
  try {
    await cluster.call('/v3/kv/compaction', { revision: String(revision), physical });
    recorder.write({ f: 'fault', e: 'ok', kind: 'compacted', rev: revision });
  } catch {
    // It was compacted that far before, or nobody leads.
  }
}

const FILLER = Buffer.from('filler').toString('base64');
const MEGABYTE = Buffer.alloc(1 << 20).toString('base64');

/** Writes until etcd says that there is no more space. */
async function fill({ cluster, signal }: Scene): Promise<void> {
  for (;;) {
    try {
      await cluster.call('/v3/kv/put', { key: FILLER, value: MEGABYTE });
    } catch (error) {
      if (/space exceeded/.test((error as Error).message)) return;
      await sleep(100, undefined, { signal });
    }
  }
}

/** What an operator does then: deletes, compacts, defragments, and disarms. */
async function makeRoom(scene: Scene): Promise<void> {
  const { cluster, log, signal } = scene;
  type Reply = { readonly header: { readonly revision: string } };
  const { header } = await cluster.call<Reply>('/v3/kv/deleterange', { key: FILLER });
  const revision = Number(header.revision);
  // What is compacted must be in the full log.
  while (log.revision < revision) await sleep(20, undefined, { signal });
  await compact(scene, revision, true);
  for (const { gateway } of cluster.members) await gateway.call('/v3/maintenance/defragment', {});
  await cluster.disarm();
}

interface Claimant {
  readonly pid: number;
  readonly label: string;
  readonly entry: LineEntry;
}

/** Who has something, and who waits for it. */
async function lineOf(
  observer: Coordinator,
  lock: PlannedFault['lock'],
  wait: WaitOptions,
): Promise<Record<'holders' | 'waiters', readonly LineEntry[]>> {
  if (lock === 'shared') return observer.readWriteLock(lock).inspect(wait);
  if (lock === 'permits') return observer.semaphore(lock).inspect(wait);
  if (lock === 'office') {
    const { leader, candidates } = await observer.election(lock).inspect(wait);
    return { holders: leader ? [leader] : [], waiters: candidates };
  }
  if (lock === 'jobs') {
    const { kvs } = await observer.store.read({ ...under('queue/any/ready/'), limit: 500 }, wait);
    const claims = kvs.filter(({ key }) => key.includes('!c/'));
    const all = claims.map(({ key, value, lease, createRevision: token }): LineEntry => {
      const { owner, age } = presenceIn(value);
      return { key: key.toString(), token, lease, owner, age };
    });
    return { holders: all, waiters: all.toReversed() };
  }
  const { holder, waiters } = await observer.mutex(lock).inspect(wait);
  return { holders: holder ? [holder] : [], waiters };
}

async function claimant({ observer, crew, signal }: Scene, fault: PlannedFault): Promise<Claimant> {
  for (let tries = 1; tries <= 100; tries += 1) {
    const line = await lineOf(observer, fault.lock, { timeout: 3_000, signal });
    const [entry] = fault.target === 'holder' ? line.holders : line.waiters;
    const worker = crew.alive.find(({ name }) => name === entry?.owner?.label);
    if (entry && worker) return { pid: worker.pid, label: worker.name, entry };
    await sleep(10);
  }
  throw new Error(`no ${fault.target} of ${fault.lock} was found`);
}

const MOST_TRIES = 50;

async function againstWorker(scene: Scene, fault: PlannedFault): Promise<Strike> {
  const { cluster, crew, observer, signal } = scene;
  if (fault.kind === 'pause-worker') return pause(scene, fault);
  for (let tries = 1; ; tries += 1) {
    const { pid, label, entry } = await claimant(scene, fault);
    const lease = String(entry.lease);
    const hit = { target: label, pid, lease, token: Number(entry.token) };
    if (fault.kind === 'kill-worker') crew.kill(pid);
    else if (fault.kind === 'revoke') await cluster.call('/v3/lease/revoke', { ID: lease });
    else {
      // Only if it is still the one that we saw.
      const txn = {
        compare: [{ key: entry.key, target: 'create' as const, to: entry.token }],
        success: [{ delete: { key: entry.key } }],
      };
      const { succeeded } = await observer.store.commit(txn, { signal, timeout: 3_000 });
      if (!succeeded && tries < MOST_TRIES) continue;
      if (!succeeded) throw new Error('every holder was gone already');
    }
    return hit;
  }
}

/** Milliseconds after which somebody who has the lock is likely to be in the middle of something. */
const SETTLED = 25;

/** Stops a worker while it is what it should be: that is looked at again when it cannot change any more. */
async function pause(scene: Scene, fault: PlannedFault): Promise<Strike> {
  const { crew } = scene;
  for (let tries = 1; ; tries += 1) {
    const { pid, label, entry } = await claimant(scene, fault);
    const isStill = async (): Promise<boolean> => {
      await sleep(SETTLED);
      return (await claimant(scene, fault)).entry.token === entry.token;
    };
    if (!(await isStill()) && tries < MOST_TRIES) continue;
    crew.pause(pid);
    try {
      // What it sent last may have been on its way.
      if ((await isStill()) || tries >= MOST_TRIES) {
        const hit = { target: label, pid, token: Number(entry.token), lease: String(entry.lease) };
        return { ...hit, heal: () => crew.resume(pid) };
      }
    } catch (error) {
      crew.resume(pid);
      throw error;
    }
    crew.resume(pid);
  }
}
