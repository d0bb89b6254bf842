import { type Digested, digestOf } from '../digest.js';
import type { Change, Entry } from '../history.js';
import { Checker } from './checker.js';

const PREFIX = 'data/';
/** So many changes can be undone, for mirrors that are behind the log. */
const KEPT = 20_000;

/** What a mirror showed. */
interface Shown {
  readonly t: number;
  readonly p: string;
  readonly rev: number;
  readonly value: string;
}

/** What a key was before a change. */
interface Undo {
  readonly rev: number;
  readonly key: string;
  readonly before: Digested | undefined;
}

/** Whatever fails, a mirror shows what etcd had at the revision that it says, all of it, and never goes back. */
export class Mirrors extends Checker {
  readonly name = 'mirrors';
  readonly #state = new Map<string, Digested>();
  readonly #undo: Undo[] = [];
  /** The first revision from which on all changes can be undone. */
  #first = 0;
  readonly #last = new Map<string, number>();
  /** What the log has yet to come to. */
  #ahead: Shown[] = [];
  #revision = 0;

  see(entry: Entry): void {
    const { f, t, p, rev = 0, value, error } = entry;
    if (f === 'log') for (const change of entry.changes ?? []) this.#logged(change);
    else if (f !== 'mirror') return;
    else if (error !== undefined) this.violation(t, `the mirror of ${p} failed: ${error}`);
    else {
      this.count(`looks while ${entry.state}`);
      const before = this.#last.get(p) ?? 0;
      if (rev < before) this.violation(t, `the mirror of ${p} went from ${before} back to ${rev}`);
      this.#last.set(p, rev);
      const shown = { t, p, rev, value: value ?? '' };
      if (rev < this.#revision) this.#compare(shown);
      else this.#ahead.push(shown);
    }
  }

  override end(): void {
    this.#comesTo(this.#revision + 1);
    this.count('beyond the log', this.#ahead.length);
  }

  #logged([rev, type, key, value, version, createRevision]: Change): void {
    if (rev > this.#revision) this.#comesTo(rev);
    this.#revision = rev;
    if (!key.startsWith(PREFIX)) return;
    this.#undo.push({ rev, key, before: this.#state.get(key) });
    if (type === 'put')
      this.#state.set(key, { key, value, modRevision: rev, createRevision, version });
    else this.#state.delete(key);
    if (this.#undo.length <= 2 * KEPT) return;
    this.#first = this.#undo.splice(0, KEPT).at(-1)?.rev ?? 0;
  }

  /** All before this revision is known. */
  #comesTo(next: number): void {
    const due = this.#ahead.filter(({ rev }) => rev < next);
    if (due.length === 0) return;
    this.#ahead = this.#ahead.filter(({ rev }) => rev >= next);
    for (const shown of due) this.#compare(shown);
  }

  #compare({ t, p, rev, value }: Shown): void {
    if (rev < this.#first) return this.count('too far behind to compare');
    const state = new Map(this.#state);
    for (let i = this.#undo.length - 1; i >= 0; i -= 1) {
      const { rev: changed, key, before } = this.#undo[i] as Undo;
      if (changed <= rev) break;
      if (before) state.set(key, before);
      else state.delete(key);
    }
    this.count('compared');
    const digest = digestOf([...state.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1)));
    if (value !== digest) this.violation(t, `the mirror of ${p} is not as etcd was at ${rev}`);
  }
}
