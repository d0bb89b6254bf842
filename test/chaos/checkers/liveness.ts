import type { Entry } from '../history.js';
import { Checker, Pauses } from './checker.js';

/** Microseconds by which a call may be late on a busy machine. */
const SLACK = 2_500_000;

/**
 * Every call settles in time, with an error that a user could expect; nothing is thrown that nobody handles; and
 * every process ends as it was asked to.
 */
export class Liveness extends Checker {
  readonly name = 'liveness';
  readonly #calls = new Map<string, Entry>();
  readonly #pauses = new Pauses();
  /** Processes that were killed. */
  readonly #killed = new Set<string>();
  readonly #ended = new Set<string>();
  #last = 0;

  see(entry: Entry): void {
    this.#pauses.see(entry);
    const { t, f, e, p, i, target = '' } = entry;
    this.#last = t;
    const id = `${p}:${i}`;
    if (e === 'invoke') this.#calls.set(id, entry);
    else if (f === 'fault' && entry.kind === 'kill-worker' && e === 'info')
      this.#killed.add(target);
    else if (f === 'crash') this.violation(t, `${p}: ${entry.error}`);
    else if (f === 'died') this.violation(t, `${target} ${entry.reason}`);
    else if (f === 'end') this.#ended.add(p);
    else if (e !== 'info' && p.startsWith('w')) {
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      if (entry.unexpected) this.violation(t, `${f} ${id} failed with ${entry.error}`);
      if (call?.limit !== undefined) this.#timely(call, t);
    }
  }

  override end(): void {
    for (const [id, call] of this.#calls) {
      const { p, f, t, limit = Number.POSITIVE_INFINITY } = call;
      if (this.#killed.has(p)) continue;
      const late = this.#last - t - this.#pauses.within(p, t, this.#last) - limit * 1_000;
      if (this.#ended.has(p) || late > SLACK) this.violation(t, `${f} ${id} never settled`);
    }
  }

  #timely({ f, p, i, t: begun, limit = 0 }: Entry, t: number): void {
    const taken = t - begun - this.#pauses.within(p, begun, t);
    this.count('calls');
    if (taken > limit * 1_000 + SLACK) {
      this.violation(t, `${f} ${p}:${i} took ${taken / 1_000} ms, should be ${limit} at most`);
    }
  }
}
