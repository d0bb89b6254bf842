import type { Entry } from '../history.js';
import { Checker } from './checker.js';

/** From what to what an addition went. */
interface Step {
  readonly id: string;
  readonly from: number;
  readonly to: number;
}

interface Sum {
  /** The largest that was seen. */
  seen: number;
  /** All that was begun, and has not failed. */
  most: number;
  /** What nobody knows of. */
  unknown: number;
  readonly steps: Step[];
  readonly reads: { readonly id: string; readonly value: number }[];
  /** What was seen when an operation began, and what it is to add. */
  readonly pending: Map<string, { readonly seen: number; readonly delta: number }>;
  /** By etcd's history. */
  value: number;
  last: number;
}

const QUIET = 60_000_000;
const SWEEP = 5_000_000;

/**
 * Counters to which more than nothing is added: linearizable. Each addition goes from one value to another, no two by the same
 * way, and not back behind what anybody has seen before it began; what is read was a value between two of them; and in the end all
 * that was acknowledged is there, and no more than was begun.
 */
export class Sums extends Checker {
  readonly name = 'sums';
  readonly #sums = new Map<string, Sum>();
  #sweepAt = 0;

  see(entry: Entry): void {
    const { t, f } = entry;
    if (f === 'log') {
      for (const [, , key, value] of entry.changes ?? []) {
        if (key.startsWith('counter/')) this.#of(key, t).value = Number(value);
      }
    } else if (f === 'sum' || f === 'total') this.#operated(entry);
    if (t < this.#sweepAt) return;
    this.#sweepAt = t + SWEEP;
    for (const [key, { last }] of this.#sums) if (t - last > QUIET) this.#settle(key);
  }

  override end(): void {
    for (const key of Array.from(this.#sums.keys())) this.#settle(key);
  }

  #of(key: string, t: number): Sum {
    const none = { seen: 0, most: 0, unknown: 0, value: 0, last: t };
    const sum = this.#sums.get(key) ?? { ...none, steps: [], reads: [], pending: new Map() };
    this.#sums.set(key, sum);
    sum.last = t;
    return sum;
  }

  #operated(entry: Entry): void {
    const { t, e, p, i, key = '', delta = 0, succeeded } = entry;
    const id = `${p}:${i}`;
    const sum = this.#of(key, t);
    if (e === 'invoke') {
      sum.pending.set(id, { seen: sum.seen, delta });
      sum.most += delta;
      return;
    }
    const begun = sum.pending.get(id) ?? { seen: 0, delta: 0 };
    sum.pending.delete(id);
    if (e === 'unknown') sum.unknown += begun.delta;
    else if (e === 'fail' || succeeded === false) sum.most -= begun.delta;
    else this.#answered(entry, sum, id, begun.seen);
  }

  #answered({ t, f, key, delta = 0, after = 0 }: Entry, sum: Sum, id: string, seen: number): void {
    const from = after - delta;
    this.count(f === 'sum' ? 'additions' : 'reads');
    if (from < seen) {
      this.violation(t, `${id} found ${from} in ${key}, and began when ${seen} had been seen`);
    }
    if (after > sum.most) {
      this.violation(t, `${id} gave ${after} of ${key}, and ${sum.most} at most was added`);
    }
    if (f === 'sum') sum.steps.push({ id, from, to: after });
    else sum.reads.push({ id, value: after });
    sum.seen = Math.max(sum.seen, after);
  }

  #settle(key: string): void {
    const { steps, reads, value, unknown, pending, last: t } = this.#sums.get(key) as Sum;
    this.#sums.delete(key);
    this.count('counters');
    steps.sort((a, b) => a.from - b.from);
    let end = 0;
    let holes = 0;
    let before = '';
    for (const { id, from, to } of steps) {
      const way = `went from ${from} to ${to} of ${key}`;
      if (from < end) this.violation(t, `${id} ${way}, where ${before} had gone to ${end}`);
      holes += Math.max(0, from - end);
      end = Math.max(end, to);
      before = id;
    }
    for (const read of reads) {
      const step = steps.find(({ from, to }) => from < read.value && read.value < to);
      if (step)
        this.violation(t, `${read.id} read ${read.value} of ${key} in the middle of ${step.id}`);
    }
    holes += value - end;
    if (value < end)
      this.violation(t, `${key} ended with ${value}, and ${before} had made it ${end}`);
    // Who died has no answer.
    const lost = [...pending.values()].reduce((all, { delta }) => all + delta, unknown);
    if (holes > lost) {
      const what = `${key} ended with ${value}, of which ${holes} were added by nobody`;
      this.violation(t, `${what}; of ${lost} nobody knows`);
    }
  }
}
