import { contains, type Interval } from '../mvcc/interval.js';

/** A set of keys that is made of intervals. */
export class KeyRanges {
  /** In their order; none touches the next one. */
  readonly #intervals: readonly Interval[];

  constructor(intervals: readonly Interval[]) {
    const joined: Interval[] = [];
    for (const next of intervals.toSorted((a, b) => (a.low < b.low ? -1 : 1))) {
      const last = joined.at(-1);
      // Two that touch are as good as one.
      if (last === undefined || last.high < next.low) joined.push(next);
      else if (last.high < next.high) joined.splice(-1, 1, { low: last.low, high: next.high });
    }
    this.#intervals = joined;
  }

  /** Whether it has all keys of an interval; of one that has no keys, whether it has the first that is named. */
  covers({ low, high }: Interval): boolean {
    return this.#intervals.some((own) => contains(own, low) && high <= own.high);
  }
}
