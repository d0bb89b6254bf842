import type { Outcome } from './benchmark.js';
import { percentile, ratios, summarize } from './statistics.js';

/** What one round of puts came to, which are to be seen in this process. */
export interface ViewsReport {
  /** Watches that there are at etcd. */
  readonly watches: number;
  /** Microseconds from a put until its answer, and until everybody here sees it. */
  readonly puts: readonly number[];
  readonly views: readonly number[];
}

/** The most that the 99th percentile of views may be, as a multiple of the puts'. */
export const viewsAtMost = 3;

/** How far behind the puts the views are; `rounds` of the outcome are the caller's to add. */
export function viewsOutcome(rounds: readonly ViewsReport[]): Omit<Outcome, 'rounds'> {
  const at = (who: 'puts' | 'views', p: number): number[] =>
    rounds.map((report) => percentile(report[who], p));
  const ratio = summarize(ratios(at('views', 0.99), at('puts', 0.99)));
  const watches = summarize(rounds.map((report) => report.watches));
  return {
    ours: summarize(at('views', 0.99)),
    unit: 'µs',
    control: { name: 'the put', figure: summarize(at('puts', 0.99)) },
    ratio,
    reached: ratio.median <= viewsAtMost && watches.max === 1,
    asides: [
      { what: 'p50', figure: summarize(at('views', 0.5)), unit: 'µs' },
      { what: 'the put: p50', figure: summarize(at('puts', 0.5)), unit: 'µs' },
      { what: 'watches at etcd', figure: watches, unit: 'number' },
    ],
  };
}
