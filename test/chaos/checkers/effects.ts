import type { Entry } from '../history.js';
import { Checker } from './checker.js';

interface Effect {
  outcome: 'none' | 'ok' | 'fail' | 'unknown';
  /** What the answer said. */
  acknowledged: number;
  /** What etcd's history says; 0 if it is not there. */
  applied: number;
  /** Whether it was said to have been applied, though the answer was lost. */
  sure: boolean;
  t: number;
}

const WRITES = new Set(['write', 'cas', 'add', 'append', 'mark']);
const CONDITIONAL = new Set(['cas', 'append', 'mark']);
/** Where values name who wrote them. */
const SIGNED = /^(data|list|mark)\//;
/** What is settled is forgotten after so many microseconds; a write applied later than that is one of nobody. */
const KEPT = 120_000_000;
const SWEEP = 10_000_000;

/**
 * Every write that was acknowledged is in etcd's history once, at the revision of the answer; one that failed is not;
 * one of which nobody knows is there once at most.
 */
export class Effects extends Checker {
  readonly name = 'effects';
  readonly #effects = new Map<string, Effect>();
  #sweepAt = 0;

  see(entry: Entry): void {
    const { t, f, e, p, i } = entry;
    if (f === 'log') {
      for (const [revision, type, key, value] of entry.changes ?? []) {
        if (type === 'put' && value !== '' && SIGNED.test(key))
          this.#applied(t, revision, key, value);
      }
    } else if (WRITES.has(f)) {
      const id = `${p}:${i}`;
      if (e === 'invoke') {
        this.#effects.set(id, { outcome: 'none', acknowledged: 0, applied: 0, sure: false, t });
        return;
      }
      const effect = this.#effects.get(id);
      if (!effect || e === 'info') return;
      this.count(`writes ${e}`);
      effect.t = t;
      // Of what is conditional, it may have been the branch that writes nothing.
      effect.sure = e === 'ok' || (entry.applied === true && !CONDITIONAL.has(f));
      effect.outcome = e === 'ok' && entry.succeeded === false ? 'fail' : e;
      effect.acknowledged = e === 'ok' ? (entry.rev ?? 0) : 0;
      this.#compare(id, effect, t);
    }
    if (t > this.#sweepAt) this.#sweep(t);
  }

  override end(): void {
    for (const [id, { outcome, applied, acknowledged, sure, t }] of this.#effects) {
      if (sure && outcome !== 'fail' && applied === 0) {
        this.violation(t, `${id} was acknowledged at revision ${acknowledged}, and never applied`);
      }
      if (outcome === 'unknown')
        this.count(applied > 0 ? 'unknown, applied' : 'unknown, not applied');
    }
  }

  #applied(t: number, revision: number, key: string, value: string): void {
    // Of a list the last element is what was written.
    const id = value.split(/[|,]/).at(-1) ?? '';
    const effect = this.#effects.get(id);
    if (!effect) {
      this.violation(
        t,
        `${id} was applied to ${key} at revision ${revision}: long after, or again`,
      );
      return;
    }
    if (effect.applied > 0) {
      this.violation(t, `${id} was applied to ${key} at ${effect.applied} and at ${revision}`);
    }
    effect.applied = revision;
    this.#compare(id, effect, t);
  }

  #compare(id: string, { outcome, acknowledged, applied }: Effect, t: number): void {
    if (applied === 0) return;
    if (outcome === 'fail') this.violation(t, `${id} failed, and was applied at ${applied}`);
    if (outcome === 'ok' && acknowledged !== applied) {
      this.violation(t, `${id} was acknowledged at ${acknowledged}, and applied at ${applied}`);
    }
  }

  #sweep(now: number): void {
    this.#sweepAt = now + SWEEP;
    for (const [id, { outcome, applied, t }] of this.#effects) {
      const settled = (outcome === 'ok' && applied > 0) || outcome === 'fail';
      if (settled && now - t > KEPT) this.#effects.delete(id);
    }
  }
}
