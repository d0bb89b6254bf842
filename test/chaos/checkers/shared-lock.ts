import type { Entry } from '../history.js';
import { Checker } from './checker.js';
import { excludes } from './exclusion.js';
import { Keys, type Mark, markIn } from './line.js';

const LOCK = 'shared';
const FOLDER = `read-write-lock/${LOCK}/`;

/**
 * A lock of readers and writers, in the order of etcd alone: from the first mark of a holder to the end of its keys nobody
 * makes a mark whom it excludes. What is left when some of its keys went may be a reader, or one who is to write later.
 */
export class SharedLock extends Checker {
  readonly name = 'shared lock';
  readonly #keys = new Keys(FOLDER);
  /** Who has made a mark and is there still: token and way of holding. */
  readonly #holders = new Map<number, string>();

  see(entry: Entry): void {
    if (entry.f !== 'log') return;
    for (const change of entry.changes ?? []) {
      const mark = markIn(LOCK, change, entry);
      if (mark) this.#marked(mark);
      else if (this.#keys.take(change) && change[1] === 'delete') this.#left();
    }
  }

  #marked({ t, revision, token, as, by }: Mark): void {
    const what = `${by} of token ${token} made a mark as ${as} at revision ${revision}`;
    if (!this.#isThere(token, as)) this.violation(t, `${what}, and was not there`);
    for (const [other, mode] of this.#holders) {
      if (other !== token && excludes(mode, as)) {
        this.violation(t, `${what}, while token ${other} was there as ${mode}`);
      }
    }
    this.#holders.set(token, as);
    this.count(`marks as ${as}`);
  }

  #left(): void {
    for (const [token, mode] of this.#holders) {
      const left = [mode, 'upgradeable', 'read'].find((each) => this.#isThere(token, each));
      if (left) this.#holders.set(token, left);
      else this.#holders.delete(token);
    }
  }

  /** Whether a token has the keys that it takes to hold the lock so. */
  #isThere(token: number, mode: string): boolean {
    const folders = new Set(this.#keys.of(token).map((key) => key.slice(FOLDER.length)[0]));
    if (mode === 'read') return folders.has('r');
    if (mode === 'upgradeable') return folders.has('u');
    return folders.has('w') || (folders.has('u') && this.#keys.any('x/'));
  }
}
