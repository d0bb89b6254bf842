import type { Entry } from '../history.js';

/** Something that must not have happened. */
export interface Violation {
  readonly checker: string;
  readonly what: string;
  /** When, in the history's time. */
  readonly t: number;
}

/** So many violations of a kind are told; all are counted. */
const TOLD = 20;

/** Reads a history once, in the order of time, and says what in it must not be. It keeps no more of it than it needs. */
export abstract class Checker {
  abstract readonly name: string;
  readonly violations: Violation[] = [];
  /** What it counted. */
  readonly counts: Record<string, number> = {};
  #found = 0;

  /** Takes the next line. */
  abstract see(entry: Entry): void;

  /** The history is over: what should have come has not. */
  end(): void {}

  /** How many violations there are, those that are not told included. */
  get found(): number {
    return this.#found;
  }

  protected violation(t: number, what: string): void {
    this.#found += 1;
    if (this.violations.length < TOLD) this.violations.push({ checker: this.name, what, t });
  }

  protected count(what: string, by = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + by;
  }
}

/** Has checkers read a history to its end. */
export function check<T extends Checker>(checker: T, history: Iterable<Entry>): T {
  for (const entry of history) checker.see(entry);
  checker.end();
  return checker;
}

/** When processes were stopped, as far as the history has come. */
export class Pauses {
  readonly #pauses = new Map<string, { readonly from: number; to: number }[]>();

  see({ t, f, target = '' }: Entry): void {
    if (f === 'stopped') {
      const pauses = this.#pauses.get(target) ?? [];
      this.#pauses.set(target, [...pauses, { from: t, to: Number.POSITIVE_INFINITY }]);
    } else if (f === 'continued') {
      const last = this.#pauses.get(target)?.at(-1);
      if (last) last.to = t;
    }
  }

  /** For how long, in microseconds, a process was stopped between two moments. */
  within(process: string, from: number, to: number): number {
    let sum = 0;
    for (const pause of this.#pauses.get(process) ?? []) {
      sum += Math.max(0, Math.min(to, pause.to) - Math.max(from, pause.from));
    }
    return sum;
  }
}
