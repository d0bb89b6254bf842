import { Random } from './random.js';

/** What can be done to the cluster, and to whom. */
const CLUSTER = [
  ['kill', 'leader'],
  ['kill', 'follower'],
  ['kill', 'endpoint'],
  ['pause', 'leader'],
  ['pause', 'follower'],
  ['isolate', 'leader'],
  ['isolate', 'follower'],
  ['cut-clients', 'endpoint'],
  ['mute', 'leader'],
  ['deafen', 'follower'],
  ['reset', 'endpoint'],
  ['jitter', 'all'],
  ['slow', 'endpoint'],
  ['compact', 'endpoint'],
  ['compact', 'endpoint'],
  ['defragment', 'leader'],
  ['move-leader', 'leader'],
  ['move-leader', 'leader'],
  ['no-space', 'all'],
] as const;

/** What can be done to workers. */
const WORKERS = [
  ['pause-worker', 'holder'],
  ['pause-worker', 'holder'],
  ['pause-worker', 'holder'],
  ['pause-worker', 'holder'],
  ['pause-worker', 'holder'],
  ['pause-worker', 'waiter'],
  ['kill-worker', 'holder'],
  ['kill-worker', 'waiter'],
  ['revoke', 'holder'],
  ['delete-key', 'holder'],
] as const;

type FaultKind = (typeof CLUSTER)[number][0] | (typeof WORKERS)[number][0];
export type FaultTarget = (typeof CLUSTER)[number][1] | (typeof WORKERS)[number][1];

/** A fault to be. */
export interface PlannedFault {
  /** Milliseconds from the start of the run. */
  readonly at: number;
  readonly kind: FaultKind;
  readonly target: FaultTarget;
  /** Milliseconds until it is healed, where it lasts. */
  readonly duration: number;
  /** Which lock it concerns, where it concerns one. */
  readonly lock: 'vault' | 'list';
}

/** Two sequences of faults that run side by side: within each, one ends before the next begins. */
export interface Plan {
  readonly cluster: readonly PlannedFault[];
  readonly workers: readonly PlannedFault[];
}

const CALM = 2_000;

/** What will be done in a run: the same for the same seed. */
export function planOf(seed: number, milliseconds: number, ttl: number): Plan {
  return {
    cluster: sequence(new Random(seed, 'cluster'), CLUSTER, milliseconds, ttl),
    workers: sequence(new Random(seed, 'workers'), WORKERS, milliseconds, ttl),
  };
}

function sequence(
  random: Random,
  kinds: readonly (readonly [FaultKind, FaultTarget])[],
  milliseconds: number,
  ttl: number,
): PlannedFault[] {
  const faults: PlannedFault[] = [];
  let bag: (readonly [FaultKind, FaultTarget])[] = [];
  let at = CALM + random.between(0, 2_000);
  while (at < milliseconds) {
    // Out of a bag, so that in a while everything comes to its turn.
    if (bag.length === 0) bag = random.shuffled(kinds);
    const [kind, target] = bag.pop() as (typeof bag)[number];
    const duration = Math.round(durationOf(kind, random, ttl));
    const lock = random.chance(0.8) ? 'vault' : 'list';
    faults.push({ at: Math.round(at), kind, target, duration, lock });
    at += Math.max(random.between(3_000, 5_000), duration + random.between(500, 1_500));
  }
  return faults;
}

function durationOf(kind: FaultKind, random: Random, ttl: number): number {
  if (kind === 'pause-worker') return random.between(ttl, 2.5 * ttl);
  // Now and then long, mostly short: as pauses are.
  if (kind === 'pause') return 500 + 9_500 * random.between(0, 1) ** 3;
  if (kind === 'kill') return random.between(200, 2_000);
  if (kind === 'no-space') return random.between(300, 1_500);
  if (kind === 'compact') return random.between(1_000, 3_000);
  if (kind === 'isolate' || kind === 'mute' || kind === 'deafen') return random.between(500, 4_000);
  if (kind === 'cut-clients' || kind === 'jitter' || kind === 'slow')
    return random.between(500, 3_500);
  if (kind === 'reset') return random.between(300, 2_000);
  return 0;
}
