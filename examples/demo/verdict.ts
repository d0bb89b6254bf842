import { count } from './format.js';
import type { Ledger, Tally } from './ledger.js';
import type { Kind, Section } from './messages.js';

/** What was read when all had finished. */
export interface Remains {
  readonly values: Record<Kind, number>;
  /** The keys that are neither of the two counters. */
  readonly keys: readonly string[];
  /** Workers that did not finish, or ended badly; faults that could not be carried out. */
  readonly complaints: readonly string[];
}

/** One thing that must be true. */
export interface Check {
  readonly claim: string;
  /** In what way it is not true; empty if it is. */
  readonly violations: readonly string[];
}

/** Holds everything against what is promised. */
export function judge(ledger: Ledger, { values, keys, complaints }: Remains): Check[] {
  const bySince = ledger.sections.toSorted((a, b) => a.since - b.since);
  const pairs = bySince.slice(1).map((next, n) => [bySince[n] as Section, next] as const);
  return [
    {
      claim: 'no guarded update was lost, and none applied twice',
      violations: balance(ledger.tallies.guarded, values.guarded),
    },
    { claim: 'every late guarded write was refused', violations: lateWrites(ledger) },
    {
      claim: 'tokens grew from holder to holder',
      violations: pairs
        .filter(([one, next]) => next.token <= one.token)
        .map(([one, next]) => `${next.token} (${next.worker}) after ${one.token} (${one.worker})`),
    },
    {
      claim: 'no two sections overlapped while both holds were good',
      violations: pairs
        .filter(([one, next]) => next.since < one.until)
        .map(([one, next]) => {
          const overlap = (one.until - next.since).toFixed(3);
          return `${one.worker} (${one.token}) and ${next.worker} (${next.token}): ${overlap} ms`;
        }),
    },
    { claim: 'every fault hit a holder in the middle of its section', violations: misses(ledger) },
    { claim: 'every worker finished', violations: complaints },
    { claim: 'nothing was left in the line', violations: keys },
  ];
}

/** How many acknowledged increments the counter does not show. */
export function lostUpdates(tally: Tally, value: number): number {
  return Math.max(0, tally.acknowledged - value);
}

function balance(tally: Tally, value: number): string[] {
  const { acknowledged, unknown } = tally;
  if (value < acknowledged) return [`${count(acknowledged - value)} acknowledged updates are lost`];
  const extra = value - acknowledged - unknown;
  return extra > 0 ? [`${count(extra)} updates more than were sent`] : [];
}

function lateWrites(ledger: Ledger): string[] {
  const paused = ledger.faults.filter((fault) => fault.signal === 'SIGSTOP');
  return paused
    .filter((fault) => fault.kind === 'guarded')
    .map(({ token, worker }) => ({ worker, outcome: ledger.sectionOf(token)?.outcome }))
    .filter(({ outcome }) => outcome !== 'refused')
    .map(({ worker, outcome }) => `that of ${worker} was ${outcome ?? 'never made'}`);
}

const WANTED = ['SIGKILL guarded', 'SIGSTOP guarded', 'SIGSTOP plain'];

function misses({ faults }: Ledger): string[] {
  const hit = new Set(faults.filter(({ aimed }) => aimed).map((f) => `${f.signal} ${f.kind}`));
  return WANTED.filter((wanted) => !hit.has(wanted)).map((wanted) => `not ${wanted}`);
}
