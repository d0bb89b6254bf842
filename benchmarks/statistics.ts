/** What several rounds gave. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The nearest-rank percentile, as Go's control program takes it; `p` is from 0 to 1. */
export function percentile(samples: readonly number[], p: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.max(Math.ceil(p * sorted.length), 1) - 1] ?? Number.NaN;
}

/** The arithmetic mean. */
export function mean(samples: readonly number[]): number {
  return samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
}

/** Median (of an even number: between the two in the middle) and extremes of one figure per round. */
export function summarize(rounds: readonly number[]): Summary {
  const sorted = rounds.toSorted((a, b) => a - b);
  const at = (index: number): number => sorted.at(index) ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  const median = (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2;
  return { median, min: at(0), max: at(-1) };
}

/** Each round's figure over the other figure of the same round: what slows one round down slows both. */
export function ratios(over: readonly number[], under: readonly number[]): number[] {
  return over.map((value, round) => value / (under[round] ?? Number.NaN));
}
