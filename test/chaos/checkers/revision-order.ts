import type { Entry, What } from '../history.js';
import { Checker } from './checker.js';

const READS = new Set<What>(['read', 'count']);
const WRITES = new Set<What>(['write', 'cas', 'add', 'append', 'mark']);

/**
 * Revisions grow with time: whatever began after another had its answer has no older revision, and a newer one if
 * it wrote. What holds for each key as well: no two writes of one key share a revision.
 */
export class RevisionOrder extends Checker {
  readonly name = 'revision order';
  readonly #floors = new Map<string, number>();
  #newest = 0;

  see({ t, f, e, p, i, rev = 0, succeeded, key }: Entry): void {
    const writes = WRITES.has(f);
    if (!writes && !READS.has(f)) return;
    const id = `${p}:${i}`;
    if (e === 'invoke') {
      this.#floors.set(id, this.#newest);
      return;
    }
    const floor = this.#floors.get(id) ?? 0;
    this.#floors.delete(id);
    if (e !== 'ok') return;
    const wrote = writes && succeeded !== false;
    if (rev < floor || (wrote && rev === floor)) {
      this.violation(t, `${f} ${id} of ${key} is at revision ${rev}, and began after ${floor}`);
    }
    this.count('answers');
    if (rev > this.#newest) {
      this.#newest = rev;
    }
  }
}
