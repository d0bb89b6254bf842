import { spanOf } from '../store/key-span.js';
import { type KeyRange, keyId, prefixRange } from '../store/keys.js';
import type { Compare, KeyValue, Operation, Txn, TxnReply } from '../store/store.js';
import type { Footprint } from './footprint.js';

const folder = '.etcd-recipes/once/';

/** Where all marks are, but those of users who may not write there. */
export const allMarks: KeyRange = prefixRange(folder);

/** The same for those who look at many commits. */
const usual = spanOf(allMarks);

/** Operations of etcd's limit that a mark takes from what it is put around. */
export const markOperations = 3;

/** Whether a transaction may write marks whose keys begin with `place`, and so cannot have one of them. */
export function mayWriteMarks({ writes }: Footprint, place: string): boolean {
  const { low, high = '' } = place === '' ? usual : spanOf(prefixRange(place + folder));
  return writes.some((span) => span.low < high && (span.high === undefined || span.high > low));
}

/** What a mark says was done: the steps on success, those on failure, or nothing. */
type What = 'succeeded' | 'failed' | 'sealed';

/** What was done under a mark, if anything. */
export interface Found {
  /** The transaction itself, one way or the other, or only `seal`. */
  readonly what: What;
  readonly revision: bigint;
  /** The reply of the transaction, unless it was applied by an earlier attempt than the one that was answered. */
  readonly reply?: TxnReply;
}

/**
 * A key that shows whether a transaction was applied, used by one at a time. Each is conditional on the revision
 * at which the key was written last, and writes the key: so of all attempts at it one can be applied, and from then on
 * no more, however late they come. Which way it took is noted beside it. Where the key was never written, that it is missing is the condition, and it is
 * missing again when its lease has ended; but attempts write it under that lease, and are refused then.
 */
export class Mark {
  readonly lease: bigint;
  /** What its key begins with. */
  readonly place: string;
  readonly #key: string;
  #revision = 0n;

  /** The `number` tells apart the marks of a lease. */
  constructor(lease: bigint, number: number, place: string) {
    this.lease = lease;
    this.place = place;
    this.#key = `${place}${folder}${lease.toString(16)}/${number.toString(16)}`;
  }

  /** The transaction as it is sent. It may not write marks. */
  around({ compare = [], success = [], failure = [] }: Txn): Txn {
    // Of the mark itself etcd sees that it needs space: nested puts it does not count.
    const txn =
      compare.length === 0
        ? { success }
        : { compare, success, failure: [...failure, this.#put('failed', this.#note)] };
    // Reads of the transaction come first, so that they never see the mark written.
    return this.#once([{ txn }, this.#put('applied')]);
  }

  /** What is written at most, after all that the transaction does. */
  get traces(): readonly Operation[] {
    return [this.#put('failed', this.#note), this.#put('applied')];
  }

  /** Shuts out all attempts that were not applied yet. */
  get seal(): Txn {
    return this.#once([this.#put('sealed')]);
  }

  /** Asks whether an attempt was applied: `learn` tells by which if it does not succeed. */
  get look(): Txn {
    return this.#once([]);
  }

  /** Takes up the reply to what was sent: what it shows to be done, by whichever attempt; `undefined` if the mark is gone. */
  learn({ succeeded, revision, replies }: TxnReply): Found | undefined {
    const [first] = replies;
    if (succeeded) {
      this.#revision = revision;
      const { txn } = first ?? {};
      if (!txn) return { what: 'sealed', revision };
      if (txn.succeeded) return { what: 'succeeded', revision, reply: { ...txn, revision } };
      // The last is the note's; and a nested reply has no revision of its own.
      const reply = { ...txn, replies: txn.replies.slice(0, -1), revision };
      return { what: 'failed', revision, reply };
    }
    const [kv, note] = first?.kvs ?? [];
    // One from before its last use is there again because etcd was restored, and shows nothing of this one.
    if (!kv || keyId(kv.key) !== this.#key || kv.modRevision < this.#revision) return undefined;
    this.#revision = kv.modRevision;
    return { what: whatOf(kv, note), revision: kv.modRevision };
  }

  /** Whose conditions did not hold writes this, too. */
  get #note(): string {
    return `${this.#key}!`;
  }

  #once(success: Operation[]): Txn {
    const unused: Compare = { key: this.#key, target: 'mod', to: this.#revision };
    // The mark and its note.
    const both = { key: this.#key, end: `${this.#key}"` };
    return { compare: [unused], success, failure: [{ range: both }] };
  }

  #put(value: string, key: string = this.#key): Operation {
    return { put: { key, value, lease: this.lease } };
  }
}

function whatOf({ value, modRevision }: KeyValue, note: KeyValue | undefined): What {
  if (value.toString() === 'sealed') return 'sealed';
  return note?.modRevision === modRevision ? 'failed' : 'succeeded';
}
