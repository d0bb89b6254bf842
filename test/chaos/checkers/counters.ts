import type { Entry } from '../history.js';
import { Checker } from './checker.js';

interface Counter {
  /** Adds acknowledged, and those that are not known to have failed. */
  least: number;
  most: number;
  readonly revisions: Set<number>;
  readonly pending: Map<string, number>;
  last: number;
}

const QUIET = 60_000_000;
const SWEEP = 5_000_000;

/**
 * Counters whose value is how often their key was written. Whoever reads one sees all that was acknowledged
 * before, and no more than was begun; and no two acknowledged adds are one.
 */
export class Counters extends Checker {
  readonly name = 'counters';
  readonly #counters = new Map<string, Counter>();
  #sweepAt = 0;

  see(entry: Entry): void {
    const { t, f, e, p, i, key = '', rev = 0, version = 0, mod = 0 } = entry;
    if (t > this.#sweepAt) {
      this.#sweepAt = t + SWEEP;
      for (const [name, { last }] of this.#counters)
        if (t - last > QUIET) this.#counters.delete(name);
    }
    if (f !== 'add' && f !== 'count') return;
    const id = `${p}:${i}`;
    const counter = this.#counters.get(key) ?? {
      least: 0,
      most: 0,
      revisions: new Set(),
      pending: new Map(),
      last: t,
    };
    this.#counters.set(key, counter);
    counter.last = t;
    if (f === 'count') {
      if (e === 'invoke') counter.pending.set(id, counter.least);
      else {
        const least = counter.pending.get(id) ?? 0;
        counter.pending.delete(id);
        if (e !== 'ok') return;
        this.count('reads');
        if (version < least || version > counter.most) {
          const range = `${least} to ${counter.most}`;
          this.violation(t, `${id} read ${version} of ${key} as of ${mod}, should be ${range}`);
        }
      }
    } else if (e === 'invoke') counter.most += 1;
    else if (e === 'fail') counter.most -= 1;
    else if (e === 'unknown') counter.least += entry.applied ? 1 : 0;
    else if (e === 'ok') {
      this.count('adds');
      counter.least += 1;
      if (counter.revisions.has(rev)) {
        this.violation(t, `${id} was added to ${key} at ${rev}, as another was`);
      }
      counter.revisions.add(rev);
    }
  }
}
