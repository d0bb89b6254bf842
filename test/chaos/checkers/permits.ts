import type { Entry } from '../history.js';
import { Checker } from './checker.js';
import { Keys, type Mark, markIn } from './line.js';

const LOCK = 'permits';
const KEPT = 1_000;
const FOLDER = `semaphore/${LOCK}/`;

interface Holder {
  readonly token: number;
  readonly permits: number;
  /** The largest limit from when it came until it was surely let in. */
  readonly most: number;
}

/**
 * Permits, in the order of etcd alone: those who hold some, from the first mark of each to the end of its key, have no more
 * together than the limit was when the last of them was let in.
 */
export class Permits extends Checker {
  readonly name = 'permits';
  readonly #keys = new Keys(`${FOLDER}permits/`);
  #holders: Holder[] = [];
  /** Revision and limit; so many changes of it are kept. */
  readonly #limits: (readonly [revision: number, limit: number])[] = [];

  see(entry: Entry): void {
    if (entry.f !== 'log') return;
    for (const change of entry.changes ?? []) {
      const [revision, type, key, value] = change;
      const mark = markIn(LOCK, change, entry);
      if (mark) this.#marked(mark);
      else if (this.#keys.take(change) && type === 'delete') {
        this.#holders = this.#holders.filter(({ token }) => this.#keys.of(token).length > 0);
      } else if (key.startsWith(`${FOLDER}limit/`) && type === 'put') {
        this.#limits.push([revision, Number(value)]);
        if (this.#limits.length > KEPT) this.#limits.shift();
        this.count('limits');
      }
    }
  }

  #marked({ t, revision, token, as, by }: Mark): void {
    const what = `${by} of token ${token} used ${as} permits at revision ${revision}`;
    this.count('marks');
    if (this.#keys.of(token).length === 0) this.violation(t, `${what}, and was not there`);
    if (this.#holders.some((holder) => holder.token === token)) return;
    const most = this.#most(token, revision);
    this.#holders.push({ token, permits: Number(as), most });
    this.#holders.sort((a, b) => a.token - b.token);
    let used = 0;
    for (const holder of this.#holders) {
      used += holder.permits;
      if (holder.token >= token && used > holder.most) {
        const others = this.#holders.map((one) => `${one.permits} of token ${one.token}`).join();
        this.violation(t, `${what}, of ${holder.most}, while these were held: ${others}`);
      }
    }
    if (this.#holders.length > 1) this.count('marks beside others');
  }

  /** The largest limit between two revisions. */
  #most(from: number, to: number): number {
    const next = this.#limits.findIndex(([revision]) => revision > from);
    const first = Math.max(0, (next < 0 ? this.#limits.length : next) - 1);
    const limits = this.#limits.slice(first).filter(([revision]) => revision <= to);
    return Math.max(0, ...limits.map(([, limit]) => limit));
  }
}
