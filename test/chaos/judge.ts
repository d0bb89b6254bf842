import type { Checker, Violation } from './checkers/checker.js';
import { Counters } from './checkers/counters.js';
import { Effects } from './checkers/effects.js';
import { Exclusion } from './checkers/exclusion.js';
import { FencedStore } from './checkers/fenced-store.js';
import { GuardedList } from './checkers/guarded-list.js';
import { Jobs } from './checkers/jobs.js';
import { Liveness } from './checkers/liveness.js';
import { Measures } from './checkers/measures.js';
import { Mirrors } from './checkers/mirrors.js';
import { Numbers } from './checkers/numbers.js';
import { Permits } from './checkers/permits.js';
import { Registers } from './checkers/registers.js';
import { RevisionOrder } from './checkers/revision-order.js';
import { Rounds } from './checkers/rounds.js';
import { Sessions } from './checkers/sessions.js';
import { Shards } from './checkers/shards.js';
import { SharedLock } from './checkers/shared-lock.js';
import { Sums } from './checkers/sums.js';
import { Terms } from './checkers/terms.js';
import { Watches } from './checkers/watches.js';
import { type Entry, readHistory } from './history.js';
import type { Plan } from './plan.js';
import { WORKLOADS, type Workload } from './workloads/names.js';

/** A violation with what happened around it. */
interface Evidence extends Violation {
  readonly history: readonly Entry[];
}

/** What became of a run. */
export interface Verdict {
  readonly outcome: 'green' | 'violations' | 'inconclusive';
  readonly violations: readonly Evidence[];
  /** How many there are, by checker; not all are told. */
  readonly found: Readonly<Record<string, number>>;
  /** What happened too seldom for the run to mean something. */
  readonly missing: readonly string[];
  readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly measures: Measures;
  /** Milliseconds that the judgement took. */
  readonly took: number;
}

/** What a run was to show. */
export interface Aim {
  readonly plan: Plan;
  /** What workers did. @defaultValue all that there is */
  readonly workloads?: readonly Workload[];
  /** How many jobs were to be done. @defaultValue as many as the run was long enough for */
  readonly jobs?: number | undefined;
}

/** Judges a history by all checkers, in one pass. */
export function judge(directory: string, ttl: number, aim: Aim, torn: boolean): Verdict {
  const begun = performance.now();
  const measures = new Measures();
  const checkers: readonly Checker[] = [
    new FencedStore(),
    new Exclusion(ttl),
    new GuardedList(),
    new Effects(),
    new RevisionOrder(),
    new Registers(),
    new Counters(),
    new SharedLock(),
    new Permits(),
    new Terms(),
    new Rounds(),
    new Sums(),
    new Numbers(),
    new Jobs(),
    new Shards(),
    new Watches(),
    new Mirrors(),
    new Sessions(),
    new Liveness(),
    measures,
  ];
  for (const entry of readHistory(directory)) {
    for (const checker of checkers) checker.see(entry);
  }
  for (const checker of checkers) checker.end();
  const counts = Object.fromEntries(checkers.map((checker) => [checker.name, checker.counts]));
  const violations = checkers.flatMap((checker) => checker.violations);
  const missing = torn
    ? ['etcd forgot what the full log had yet to see']
    : tooSeldom(aim, measures, counts);
  const red = violations.length > 0;
  return {
    outcome: red ? 'violations' : missing.length > 0 ? 'inconclusive' : 'green',
    violations: red ? withHistory(directory, violations) : [],
    found: Object.fromEntries(checkers.filter((c) => c.found > 0).map((c) => [c.name, c.found])),
    missing,
    counts,
    measures,
    took: performance.now() - begun,
  };
}

const SHARE = 0.6;
/** Seconds for which what was planned last may have been waiting for what was planned before. */
const UNFINISHED = 10;

/** What, how often it did happen, and how often it must. */
type Expected = readonly [string, number, number];

/** What must have happened, given the length of the run, with how often it did. */
export function tooSeldom(
  { plan, workloads = WORKLOADS, jobs }: Aim,
  measures: Pick<Measures, 'seconds' | 'faults' | 'counts' | 'calm'>,
  counts: Verdict['counts'],
): string[] {
  const planned: Record<string, number> = {};
  // It may have been over before all was done that was planned.
  const faults = [...plan.cluster, ...plan.workers].filter(
    ({ at }) => jobs === undefined || at / 1_000 < measures.calm - UNFINISHED,
  );
  for (const { kind } of faults) planned[kind] = (planned[kind] ?? 0) + 1;
  const last = Math.max(0, ...faults.map(({ at }) => at)) / 1_000;
  const least = (perMinute: number): number => Math.max(1, Math.floor((perMinute * last) / 60));
  const of = (checker: string, what: string): number => counts[checker]?.[what] ?? 0;
  const lost = Object.entries(counts['sessions'] ?? {}).reduce(
    (sum, [what, times]) => (what.startsWith('lost') ? sum + times : sum),
    0,
  );
  const stale = of('fenced store', 'stale writes refused');
  // What is rare need not happen in a short run.
  const longer = last >= 120;
  // What an hour has to show can be asked of what is about as long.
  const long = last >= 1_800;
  const always: Expected[] = [
    // Of one or two that were planned none may have found its target.
    ...Object.entries(planned)
      .filter(([, times]) => times > 2)
      .map(
        ([kind, times]): Expected => [
          `fault: ${kind}`,
          measures.faults[kind] ?? 0,
          Math.floor(SHARE * times),
        ],
      ),
    ['leader changes', measures.counts['leader changes'] ?? 0, least(1)],
    [
      'client connections in the way of a fault',
      measures.counts['client connections in the way of a fault'] ?? 0,
      least(long ? 500 / 60 : 5),
    ],
    ['operations ok', measures.counts['operations ok'] ?? 0, least(1_000)],
  ];
  const each: Partial<Record<Workload, Expected[]>> = {
    sessions: [
      ['stale writes', stale + of('fenced store', 'unfenced stale writes accepted'), least(0.5)],
      ['stale writes refused', stale, long ? least(200 / 60) : longer ? least(0.5) : 0],
      ['guarded updates', of('guarded list', 'appends ok'), least(2_000 / 60)],
      ['sessions lost', lost, least(2)],
      ['hand-offs', of('exclusion', 'grants'), least(200)],
      ['marks of readers', of('shared lock', 'marks as read'), least(10)],
      ['marks of writers', of('shared lock', 'marks as write'), least(5)],
      ['upgrades', of('exclusion', 'upgrades'), longer ? least(0.5) : 0],
      ['marks beside others who have permits', of('permits', 'marks beside others'), least(4)],
      ['terms', of('terms', 'terms'), least(5)],
      ['rounds of a cyclic barrier', of('rounds', 'cyclic-barrier/circle: tripped'), least(5)],
      ['rounds that broke', of('rounds', 'cyclic-barrier/circle: broken'), longer ? least(1) : 0],
      ['rounds of a double barrier', of('rounds', 'double-barrier/stage: tripped'), least(5)],
      [
        'updates lost without fencing',
        of('fenced store', 'unfenced updates lost'),
        longer ? least(0.2) : 0,
      ],
    ],
    registers: [
      ['writes of unknown outcome', of('effects', 'writes unknown'), longer ? least(0.5) : 0],
    ],
    sums: [['additions', of('sums', 'additions'), least(60)]],
    numbers: [['numbers', of('numbers', 'of single'), least(60)]],
    jobs: [
      ['jobs done', of('jobs', 'done'), jobs ?? least(4_000)],
      ['jobs begun again', of('jobs', 'begun again'), least(5)],
      ['jobs ended with others', of('jobs', 'ended with others'), least(300)],
      ['jobs of batches begun again', of('jobs', 'begun again in batches'), least(5)],
      ['jobs given up', of('jobs', 'given up'), longer ? least(1) : 0],
      ['jobs in the order of their puts', of('jobs', 'in order'), least(100)],
    ],
    shards: [
      ['owners of shards', of('shards', 'owners'), least(10)],
      ['marks of shards', of('shards', 'marks'), least(100)],
      ['assignments of shards', of('shards', 'assignments'), least(2)],
    ],
    mirrors: [['mirrors compared', of('mirrors', 'compared'), least(200)]],
    watches: [
      ['compactions', of('watches', 'compactions'), long ? least(100 / 60) : 0],
      ['gaps told by watches', of('watches', 'gaps'), longer ? least(0.5) : 0],
      ['events of watches', of('watches', 'events'), least(1_000)],
    ],
  };
  const expected = [...always, ...workloads.flatMap((name) => each[name] ?? [])];
  return expected
    .filter(([, times, required]) => times < required)
    .map(([what, times, required]) => `${what}: ${times} times, should be ${required} at least`);
}

const BEFORE = 400_000;
const AFTER = 50_000;
const LINES = 60;
const QUIET: ReadonlySet<string> = new Set(['events', 'session']);

/** Finds what happened around the first violations of each checker. */
function withHistory(directory: string, violations: readonly Violation[]): Evidence[] {
  const shown = violations.map((violation) => ({ ...violation, history: [] as Entry[] }));
  const perChecker = new Map<string, number>();
  const wanted = shown.filter(({ checker }) => {
    const times = (perChecker.get(checker) ?? 0) + 1;
    perChecker.set(checker, times);
    return times <= 3;
  });
  for (const entry of readHistory(directory)) {
    for (const { t, what, checker, history } of wanted) {
      const fault = entry.f === 'fault' || entry.f === 'healed' || entry.f === 'leader';
      const near = entry.t >= t - (fault ? 10_000_000 : BEFORE) && entry.t <= t + AFTER;
      if (!near || entry.kind === 'compacted') continue;
      if (!fault && !concerns(entry, what, checker)) continue;
      history.push(entry);
      if (history.length > LINES) history.shift();
    }
  }
  return shown;
}

/** Whether a line is about something that the violation names. */
function concerns(entry: Entry, what: string, checker: string): boolean {
  if (checker !== 'watches' && QUIET.has(entry.f)) return false;
  const { p, i, key, value, op, lease, token, changes } = entry;
  const names = [`${p}:${i} `, `${p}#${i} `, key, value, op, lease, token && `token ${token}`];
  if (names.some((name) => name && what.includes(name))) return true;
  return changes?.some(([, , changed]) => what.includes(changed)) ?? false;
}
