import { type KeyRange, prefixRange } from './keys.js';
import type { Compare, KeyValue, Operation, Txn, TxnReply } from './store.js';

const folder = '.etcd-recipes/once/';

/** Where all marks are. */
export const allMarks: KeyRange = prefixRange(folder);

/** Operations of etcd's limit that a mark takes from what it is put around. */
export const markOperations = 2;

/** What was done under a mark, if anything. */
export interface Found {
  /** The transaction itself, or only `seal`. */
  readonly what: 'applied' | 'sealed';
  readonly revision: bigint;
  /** The reply of the transaction, unless it was applied by an earlier attempt than the one that was answered. */
  readonly reply?: TxnReply;
}

/**
 * A key that shows whether a transaction was applied, used by one at a time. Each is conditional on the revision
 * at which the key was written last, and writes the key: so of all attempts at it one can be applied, and from then on
 * no more, however late they come. Where the key was never written, that it is missing is the condition, and it is
 * missing again when its lease has ended; but attempts write it under that lease, and are refused then.
 */
export class Mark {
  readonly lease: bigint;
  readonly #key: string;
  #revision = 0n;

  /** The `number` tells apart the marks of a lease. */
  constructor(lease: bigint, number: number) {
    this.lease = lease;
    this.#key = `${folder}${lease.toString(16)}/${number.toString(16)}`;
  }

  /** The transaction as it is sent. It may not write `allMarks`. */
  around(txn: Txn): Txn {
    // Reads of the transaction come first, so that they never see the mark written.
    return this.#once([{ txn }, this.#put('applied')]);
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
      // A nested reply has no revision of its own.
      return txn
        ? { what: 'applied', revision, reply: { ...txn, revision } }
        : { what: 'sealed', revision };
    }
    const kv: KeyValue | undefined = first?.kvs[0];
    // One from before its last use is there again because etcd was restored, and shows nothing of this one.
    if (!kv || kv.modRevision < this.#revision) return undefined;
    this.#revision = kv.modRevision;
    const what = kv.value.toString() === 'sealed' ? 'sealed' : 'applied';
    return { what, revision: kv.modRevision };
  }

  #once(success: Operation[]): Txn {
    const unused: Compare = { key: this.#key, target: 'mod', to: this.#revision };
    return { compare: [unused], success, failure: [{ range: { key: this.#key } }] };
  }

  #put(value: string): Operation {
    return { put: { key: this.#key, value, lease: this.lease } };
  }
}
