import type { Bytes } from '../wire/fields.js';
import { type Interval, isEmpty, isSingle } from './interval.js';
import { Log } from './log.js';
import { newTree, rankOf, type Tree } from './tree.js';
import { asOf, isDeletion, type Version } from './version.js';
import { Writer } from './writer.js';

const sizeOf = ({ key, value }: Version): number => key.length + value.length;

/** Ends a walk through a tree. */
const STOP = { break: 0 };

/** Told of the changes of each transaction, in order, when it is through. */
export type OnChange = (changes: readonly Version[]) => void;

/**
 * Keys with their history, as etcd's multi-version store has them: each transaction that changes something gets
 * one revision, and what was can be read as it was until it is compacted. Everything is done when a call returns.
 *
 * Reads of the present cost the same however much history there is: what exists now is in a tree of its own.
 */
export class MvccStore {
  /** The revision of the last change. An empty store has 1. */
  revision = 1;
  /** Up to which revision history was forgotten; -1 if never. */
  compacted = -1;
  /** The newest version of each key that exists. */
  readonly #living: Tree<Version> = newTree();
  /** The deletion of each key that does not exist now, but did. */
  readonly #dead: Tree<Version> = newTree();
  readonly #log: Log = new Log();
  #bytes = 0;
  readonly #onChange: OnChange;

  constructor(onChange: OnChange = () => {}) {
    this.#onChange = onChange;
  }

  /** The history in the order in which it happened. */
  get log(): Pick<Log, 'at' | 'indexOf' | 'length'> {
    return this.#log;
  }

  /** How many keys exist. */
  get size(): number {
    return this.#living.size;
  }

  /** Bytes of all keys and values that are remembered. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The key as it is now. */
  get(key: Bytes): Version | undefined {
    return this.#living.get(key);
  }

  /** The newest change of a key, a deletion included. */
  newest(key: Bytes): Version | undefined {
    return this.#living.get(key) ?? this.#dead.get(key);
  }

  /** How many keys of the interval exist. */
  count(interval: Interval): number {
    if (isEmpty(interval)) return 0;
    if (isSingle(interval)) return this.#living.has(interval.low) ? 1 : 0;
    return rankOf(this.#living, interval.high) - rankOf(this.#living, interval.low);
  }

  /** The keys of the interval as they are now, by key, at most `limit`. */
  read(interval: Interval, limit: number = Number.POSITIVE_INFINITY): Version[] {
    if (isSingle(interval)) {
      const found = this.#living.get(interval.low);
      return found ? [found] : [];
    }
    const found: Version[] = [];
    if (isEmpty(interval) || limit <= 0) return found;
    this.#living.forRange(interval.low, interval.high, false, (_, version) => {
      found.push(version);
      return found.length >= limit ? STOP : undefined;
    });
    return found;
  }

  /** The keys of the interval as they were at `revision`, by key. */
  readAt(interval: Interval, revision: number): Version[] {
    const found: Version[] = [];
    if (isEmpty(interval)) return found;
    const collect = (_: Bytes, newest: Version): void => {
      const version = asOf(newest, revision);
      if (version) found.push(version);
    };
    this.#living.forRange(interval.low, interval.high, false, collect);
    this.#dead.forRange(interval.low, interval.high, false, collect);
    return found.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  }

  /**
   * Runs a transaction: its changes become one new revision, or none if it changes nothing. If it throws,
   * it did not happen.
   */
  write<T>(transaction: (writer: Writer) => T): T {
    const writer = new Writer(this, this.#apply);
    const result = this.#orUndo(writer, transaction);
    if (writer.changes.length > 0) {
      this.revision = writer.revision;
      this.#onChange(writer.changes);
    }
    return result;
  }

  /** Forgets what was before `revision`, but for what was valid at it. */
  compact(revision: number): void {
    this.compacted = revision;
    this.#log.compact(revision, (last) => {
      for (let past = last.previous; past; past = past.previous) this.#bytes -= sizeOf(past);
      last.previous = undefined;
      // One of that very revision is still told to watches that begin there.
      const isPast = isDeletion(last) && last.mod < revision;
      if (isPast && this.#dead.get(last.key) === last) {
        this.#dead.delete(last.key);
        this.#bytes -= sizeOf(last);
      }
    });
  }

  #orUndo<T>(writer: Writer, transaction: (writer: Writer) => T): T {
    try {
      return transaction(writer);
    } catch (error) {
      for (const change of writer.changes.toReversed()) this.#undo(change);
      throw error;
    }
  }

  readonly #apply = (change: Version): void => {
    const [to, from] = isDeletion(change) ? [this.#dead, this.#living] : [this.#living, this.#dead];
    // A key is in one of the trees.
    if (to.set(change.key, change) && change.previous) from.delete(change.key);
    this.#log.append(change);
    this.#bytes += sizeOf(change);
  };

  #undo(change: Version): void {
    const { key, previous } = change;
    this.#bytes -= sizeOf(change);
    this.#living.delete(key);
    this.#dead.delete(key);
    if (previous) (isDeletion(previous) ? this.#dead : this.#living).set(key, previous);
    this.#log.drop();
  }
}
