import type { Bytes } from '../wire/fields.js';
import type { Interval } from './interval.js';
import type { MvccStore } from './store.js';
import { isDeletion, NO_LEASE, type Version } from './version.js';

/** The changes of one transaction; each is visible to reads that follow. */
export class Writer {
  /** What was changed so far, in order. */
  readonly changes: Version[] = [];
  readonly #store: Pick<MvccStore, 'newest' | 'read'>;
  readonly #base: number;
  readonly #apply: (change: Version) => void;

  /** @internal */
  constructor(
    store: Pick<MvccStore, 'newest' | 'read' | 'revision'>,
    apply: (change: Version) => void,
  ) {
    this.#store = store;
    this.#base = store.revision;
    this.#apply = apply;
  }

  /** The revision as of now: the one being written, once something was. */
  get revision(): number {
    return this.changes.length > 0 ? this.#base + 1 : this.#base;
  }

  put(key: Bytes, value: Bytes, lease: bigint): void {
    const previous = this.#store.newest(key);
    const mod = this.#base + 1;
    const isNew = previous === undefined || isDeletion(previous);
    this.#add({
      // One text for all versions of a key.
      key: previous?.key ?? key,
      value,
      create: isNew ? mod : previous.create,
      mod,
      version: isNew ? 1 : previous.version + 1,
      lease,
      previous,
    });
  }

  /** Deletes the keys of an interval in their order, and gives what they were. */
  delete(interval: Interval): Version[] {
    const found = this.#store.read(interval);
    for (const previous of found) {
      const { key } = previous;
      const mod = this.#base + 1;
      this.#add({ key, value: '', create: 0, mod, version: 0, lease: NO_LEASE, previous });
    }
    return found;
  }

  #add(change: Version): void {
    this.changes.push(change);
    this.#apply(change);
  }
}
