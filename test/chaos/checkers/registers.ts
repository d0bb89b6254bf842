import type { Entry } from '../history.js';
import { Checker } from './checker.js';
import { linearizability, type RegisterOperation } from './linearizable.js';

interface Register {
  readonly operations: Map<string, RegisterOperation>;
  /** Values by the revisions at which they were written, as far as answers tell. */
  readonly revisions: Map<string, number>;
  readonly reads: { id: string; t: number; value: string | null; mod: number; rev: number }[];
  readonly swaps: { id: string; t: number; expect: string | null; rev: number }[];
  last: number;
}

const OPERATIONS = new Set(['read', 'write', 'cas']);
/** A register is judged when nothing was done with it for so many microseconds. */
const QUIET = 60_000_000;
const SWEEP = 5_000_000;
const FOREVER = Number.POSITIVE_INFINITY;

/**
 * Each register is linearizable: by the revisions of the answers, in one pass over each key's writes, and by a search
 * that knows nothing of revisions.
 */
export class Registers extends Checker {
  readonly name = 'registers';
  readonly #registers = new Map<string, Register>();
  #sweepAt = 0;

  see(entry: Entry): void {
    const { f, e, p, i, t, key = '' } = entry;
    if (t > this.#sweepAt) {
      this.#sweepAt = t + SWEEP;
      for (const [name, { last }] of this.#registers) if (t - last > QUIET) this.#judge(name);
    }
    if (!OPERATIONS.has(f)) return;
    const id = `${p}:${i}`;
    const register = this.#registers.get(key) ?? {
      operations: new Map(),
      revisions: new Map(),
      reads: [],
      swaps: [],
      last: t,
    };
    this.#registers.set(key, register);
    register.last = t;
    if (e === 'invoke') {
      const { value = null, expect } = entry;
      const kind = f as RegisterOperation['kind'];
      // A read without an answer says nothing.
      if (f === 'read') register.operations.set(id, { id, kind, value, invoked: t, completed: -1 });
      else {
        const swap = f === 'cas' ? { expect: expect ?? null } : {};
        register.operations.set(id, { id, kind, value, ...swap, invoked: t, completed: FOREVER });
      }
    } else if (e === 'fail') register.operations.delete(id);
    else if (e === 'ok') this.#answered(register, entry, id);
    else if (f === 'read') register.operations.delete(id);
  }

  override end(): void {
    for (const key of Array.from(this.#registers.keys())) this.#judge(key);
  }

  #answered(register: Register, entry: Entry, id: string): void {
    const operation = register.operations.get(id);
    if (!operation) return;
    const { t, f, rev = 0, mod = 0, value = null, succeeded } = entry;
    this.count(`${f}s`);
    if (f === 'read' || succeeded === false) {
      const { invoked } = operation;
      register.operations.set(id, { id, kind: 'read', value, invoked, completed: t });
      register.reads.push({ id, t, value, mod, rev });
      if (succeeded === false && value === operation.expect) {
        this.violation(t, `${id} found ${value}, as it expected, and wrote nothing`);
      }
      return;
    }
    register.operations.set(id, { ...operation, completed: t });
    register.revisions.set(operation.value ?? '', rev);
    if (operation.expect !== undefined) {
      register.swaps.push({ id, t, expect: operation.expect, rev });
    }
  }

  #judge(key: string): void {
    const register = this.#registers.get(key) as Register;
    this.#registers.delete(key);
    this.count('keys');
    this.#judgeRevisions(key, register);
    const operations = [...register.operations.values()].filter(({ completed }) => completed >= 0);
    const verdict = linearizability(operations);
    if (verdict === 'undecided') this.count('keys undecided by search');
    if (verdict === 'no') {
      this.violation(register.last, `${key} is not linearizable: ${operations.length} operations`);
    }
  }

  #judgeRevisions(key: string, { revisions, reads, swaps }: Register): void {
    for (const { id, t, value, mod } of reads) {
      if (value === null) continue;
      const known = revisions.get(value);
      if (known !== undefined && known !== mod) {
        this.violation(t, `${id} read ${value} of ${key} as of ${mod}; it was written at ${known}`);
      }
      revisions.set(value, known ?? mod);
    }
    const written = [...revisions].toSorted(([, a], [, b]) => a - b);
    for (const [n, [value, revision]] of written.entries()) {
      const [other, same] = written[n + 1] ?? [];
      if (revision === same) {
        this.violation(0, `${value} and ${other} were both written to ${key} at ${revision}`);
      }
    }
    /** What was written last before a revision, or at it. */
    const at = (revision: number): string | null => {
      let [low, high] = [0, written.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((written[middle]?.[1] ?? 0) <= revision) low = middle + 1;
        else high = middle;
      }
      return written[low - 1]?.[0] ?? null;
    };
    for (const { id, t, value, rev } of reads) {
      if (at(rev) !== value) {
        this.violation(
          t,
          `${id} read ${value} of ${key} at revision ${rev}, when it was ${at(rev)}`,
        );
      }
    }
    for (const { id, t, expect, rev } of swaps) {
      const before = at(rev - 1);
      // What it found may have been written by somebody who never heard of it.
      const known = expect === null || revisions.has(expect);
      if (known && before !== expect) {
        this.violation(t, `${id} found ${expect} in ${key} before ${rev}, when it was ${before}`);
      }
    }
  }
}
