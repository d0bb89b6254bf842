import type { Checker, Violation } from './checkers/checker.js';
import { Counters } from './checkers/counters.js';
import { Effects } from './checkers/effects.js';
import { Exclusion } from './checkers/exclusion.js';
import { FencedStore } from './checkers/fenced-store.js';
import { GuardedList } from './checkers/guarded-list.js';
import { Liveness } from './checkers/liveness.js';
import { Measures } from './checkers/measures.js';
import { Registers } from './checkers/registers.js';
import { RevisionOrder } from './checkers/revision-order.js';
import { Sessions } from './checkers/sessions.js';
import { Watches } from './checkers/watches.js';
import { type Entry, readHistory } from './history.js';
import type { Plan } from './plan.js';

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

/** Judges a history by all checkers, in one pass. */
export function judge(directory: string, ttl: number, plan: Plan, torn: boolean): Verdict {
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
    new Watches(),
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
    : tooSeldom(plan, measures, counts);
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

/** What must have happened, given the length of the run, with how often it did. */
export function tooSeldom(
  plan: Plan,
  measures: Pick<Measures, 'seconds' | 'faults' | 'counts'>,
  counts: Verdict['counts'],
): string[] {
  const planned: Record<string, number> = {};
  for (const { kind } of [...plan.cluster, ...plan.workers]) {
    planned[kind] = (planned[kind] ?? 0) + 1;
  }
  const last = Math.max(0, ...[...plan.cluster, ...plan.workers].map(({ at }) => at)) / 1_000;
  const least = (perMinute: number): number => Math.max(1, Math.floor((perMinute * last) / 60));
  const of = (checker: string, what: string): number => counts[checker]?.[what] ?? 0;
  const lost = Object.entries(counts['sessions'] ?? {}).reduce(
    (sum, [what, times]) => (what.startsWith('lost') ? sum + times : sum),
    0,
  );
  const stale = of('fenced store', 'stale writes refused');
  // What is rare need not happen in a short run.
  const longer = last >= 120;
  const expected: [string, number, number][] = [
    // Of one or two that were planned none may have found its target.
    ...Object.entries(planned)
      .filter(([, times]) => times > 2)
      .map(([kind, times]): [string, number, number] => [
        `fault: ${kind}`,
        measures.faults[kind] ?? 0,
        Math.floor(SHARE * times),
      ]),
    ['stale writes', stale + of('fenced store', 'unfenced stale writes accepted'), least(0.5)],
    ['stale writes refused', stale, longer ? least(0.5) : 0],
    ['sessions lost', lost, least(2)],
    ['leader changes', measures.counts['leader changes'] ?? 0, least(1)],
    [
      'client connections in the way of a fault',
      measures.counts['client connections in the way of a fault'] ?? 0,
      least(5),
    ],
    ['operations ok', measures.counts['operations ok'] ?? 0, least(1_000)],
    ['hand-offs', of('exclusion', 'grants'), least(200)],
    [
      'updates lost without fencing',
      of('fenced store', 'unfenced updates lost'),
      longer ? least(0.2) : 0,
    ],
    ['gaps told by watches', of('watches', 'gaps'), longer ? least(0.5) : 0],
    ['events of watches', of('watches', 'events'), least(1_000)],
    ['writes of unknown outcome', of('effects', 'writes unknown'), longer ? least(0.5) : 0],
  ];
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
