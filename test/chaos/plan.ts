import { Random } from './random.js';

/** What can be done to the cluster, and to whom. */
const CLUSTER = [
  ['kill', 'leader'],
  ['kill', 'follower'],
  ['kill', 'endpoint'],
  ['outage', 'all'],
  ['restart', 'leader'],
  ['replace', 'endpoint'],
  ['pause', 'leader'],
  ['pause', 'follower'],
  ['stutter', 'leader'],
  ['isolate', 'leader'],
  ['isolate', 'follower'],
  ['cut-clients', 'endpoint'],
  ['mute', 'leader'],
  ['deafen', 'follower'],
  ['lose', 'leader'],
  ['lose', 'endpoint'],
  ['reset', 'endpoint'],
  ['jitter', 'all'],
  ['slow', 'endpoint'],
  ['throttle', 'endpoint'],
  ['compact', 'endpoint'],
  ['compact', 'endpoint'],
  ['compact', 'endpoint'],
  ['defragment', 'leader'],
  ['move-leader', 'leader'],
  ['move-leader', 'leader'],
  ['no-space', 'all'],
  ['fill', 'all'],
] as const;

/** What can be done to workers; above all what fencing is for. */
const WORKERS = [
  ['pause-worker', 'holder'],
  ['pause-worker', 'holder'],
  ['pause-worker', 'holder'],
  ['pause-worker', 'holder'],
  ['pause-worker', 'holder'],
  ['pause-worker', 'holder'],
  ['pause-worker', 'holder'],
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

/** What they can be aimed at: at holders of these, or at who waits for them. */
const LOCKS = ['vault', 'list', 'shared', 'permits', 'office'] as const;
/** Where nobody takes locks: at who works on jobs. */
const JOBS = ['jobs'] as const;

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
  readonly lock: (typeof LOCKS)[number] | (typeof JOBS)[number];
}

/** Two sequences of faults that run side by side: within each, one ends before the next begins. */
export interface Plan {
  readonly cluster: readonly PlannedFault[];
  readonly workers: readonly PlannedFault[];
}

const CALM = 2_000;

/**
 * What will be done in a run: the same for the same seed.
 *
 * @param only - nothing but these kinds of faults
 * @param hasLocks - whether somebody takes locks
 * @throws Error if there is no such kind
 */
export function planOf(
  seed: number,
  milliseconds: number,
  ttl: number,
  only?: readonly string[],
  hasLocks = true,
): Plan {
  const all = [...CLUSTER, ...WORKERS];
  const odd = only?.find((name) => !all.some(([kind]) => kind === name));
  if (odd !== undefined) throw new Error(`there is no fault "${odd}"`);
  const plan = (name: string, kinds: readonly (readonly [FaultKind, FaultTarget])[]) => {
    const wanted = kinds.filter(([kind]) => only?.includes(kind) ?? true);
    const locks = hasLocks ? LOCKS : JOBS;
    return sequence(new Random(seed, name), wanted, milliseconds, ttl, locks);
  };
  return { cluster: plan('cluster', CLUSTER), workers: plan('workers', WORKERS) };
}

function sequence(
  random: Random,
  kinds: readonly (readonly [FaultKind, FaultTarget])[],
  milliseconds: number,
  ttl: number,
  locks: typeof LOCKS | typeof JOBS,
): PlannedFault[] {
  const faults: PlannedFault[] = [];
  let bag: (readonly [FaultKind, FaultTarget])[] = [];
  let at = CALM + random.between(0, 2_000);
  while (at < milliseconds && kinds.length > 0) {
    // Out of a bag, so that in a while everything comes to its turn.
    if (bag.length === 0) bag = random.shuffled(kinds);
    const [kind, target] = bag.pop() as (typeof bag)[number];
    const duration = Math.round(durationOf(kind, random, ttl));
    // Pauses are for the vault above all: stale writes are what comes of them.
    const others = kind === 'pause-worker' ? 0.2 : 0.8;
    const lock = random.chance(others) ? random.pick<PlannedFault['lock']>(locks) : locks[0];
    faults.push({ at: Math.round(at), kind, target, duration, lock });
    at += Math.max(random.between(2_500, 4_500), duration + random.between(500, 1_000));
  }
  return faults;
}

function durationOf(kind: FaultKind, random: Random, ttl: number): number {
  if (kind === 'pause-worker') return random.between(ttl, 2.5 * ttl);
  // Now and then long, mostly short: as pauses are.
  if (kind === 'pause') return 500 + 9_500 * random.between(0, 1) ** 3;
  if (kind === 'kill' || kind === 'restart') return random.between(200, 2_000);
  if (kind === 'outage' || kind === 'replace') return random.between(200, 4_000);
  if (kind === 'no-space' || kind === 'fill') return random.between(300, 1_500);
  if (kind === 'compact') return random.between(1_000, 3_000);
  if (kind === 'isolate' || kind === 'mute' || kind === 'deafen') return random.between(500, 4_000);
  if (['cut-clients', 'jitter', 'slow', 'throttle', 'stutter', 'lose'].includes(kind))
    return random.between(500, 3_500);
  if (kind === 'reset') return random.between(300, 2_000);
  return 0;
}
