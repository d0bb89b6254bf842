import { HoldLostError, type LossReason, UnavailableError } from './errors.js';
import { GuardedTxn } from './guarded-txn.js';
import { type KeyRange, keyId } from './keys.js';
import type { Lease } from './lease.js';
import { persist } from './persist.js';
import { checkedController } from './signals.js';
import type {
  CallOptions,
  Compare,
  Operation,
  RangeReply,
  Store,
  Txn,
  TxnReply,
  Watch,
  WatchListener,
} from './store.js';

/** How a hold came to be. */
export interface Grant {
  readonly key: string;
  readonly token: bigint;
  /** The revision at which the key was seen to be ours. */
  readonly revision: bigint;
  /** A range around the key that is watched for departures anyway. */
  readonly range: KeyRange;
  /** Whether a write of the key got no answer, and might still arrive after the release. */
  readonly unanswered: boolean;
  /** Whether the key was last seen by a linearizable read so long ago that another is due. */
  readonly verify: boolean;
  /** Called when the hold is lost. */
  onLost(hold: Hold): void;
  /** Called when it is given back, unless it was lost before. */
  onRelease(): void;
  /** Called when the key is gone for good after a release, and its name may be used again. */
  onGone(): void;
  /** Called when etcd refuses the release: the key must go all the same. */
  onRefused(): void;
}

/** Most holds end sooner than this many milliseconds; they do without a watch of their key. */
const watchAfter = 20;

/** Something won. It is ours until it is released or lost, and `signal` tells of a loss. */
export class Hold implements AsyncDisposable {
  /** The key in etcd whose existence is the hold. */
  readonly key: string;
  /** The fencing token: the create revision of `key`. Later holders of the same thing have larger ones. */
  readonly token: bigint;
  readonly #lease: Lease;
  readonly #store: Store;
  readonly #grant: Grant;
  readonly #stopListening: () => void;
  readonly #stopTimer: () => void;
  #controller: AbortController | undefined;
  #watch: Watch | undefined;
  #lost: LossReason | undefined;
  #releasing: Promise<boolean> | undefined;
  #deleted: Promise<void> | undefined;
  /** Whether the key is gone, and it is not known yet if the lease is. */
  #asking = false;

  constructor(lease: Lease, store: Store, grant: Grant) {
    this.#lease = lease;
    this.#store = store;
    this.#grant = grant;
    if (grant.token <= 0n) throw new HoldLostError(grant.key, 'deleted');
    this.key = grant.key;
    this.token = grant.token;
    this.#stopListening = lease.fate.onEnd((reason) => this.#lose(reason));
    this.#stopTimer = lease.clock.after(watchAfter, () => this.#watchKey());
    if (this.#lost) this.#settle();
    else if (grant.verify) void this.#verify();
  }

  /**
   * Aborts with a `HoldLostError` as soon as the hold is lost: before etcd can give it away by expiry, and
   * one event after anybody removed its key. A release does not abort it.
   */
  get signal(): AbortSignal {
    this.#check();
    this.#controller ??= this.#newController();
    return this.#controller.signal;
  }

  /** Why the hold is lost; `undefined` while it is held, and after a release. */
  get lost(): LossReason | undefined {
    this.#check();
    return this.#lost;
  }

  /** Milliseconds for which it is surely ours, unless somebody removes its key; renewals move it on. */
  remaining(): number {
    return this.#lost || this.#releasing ? 0 : this.#lease.fate.remaining();
  }

  /** Begins a transaction that takes effect only while this is held. */
  txn(): GuardedTxn {
    return new GuardedTxn((operation, options) => this.#commit(operation, options));
  }

  /**
   * Gives it back. Goes on through outages until etcd has confirmed it or the session has ended; calling
   * it again gives the same promise.
   *
   * @returns whether it was held until now; `false` after a loss. When the answer to the release itself was
   * lost and the key is found gone, that counts as released.
   * @throws RefusedError if etcd refuses it, such as for a permission withdrawn; it is tried again in the background.
   */
  release(): Promise<boolean> {
    this.#releasing ??= this.#release();
    return this.#releasing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  get #isOurs(): Compare {
    return { key: this.key, target: 'create', to: this.token };
  }

  async #commit(operation: Operation, options: CallOptions): Promise<TxnReply> {
    const reason = this.#releasing ? 'released' : this.lost;
    if (reason) throw new HoldLostError(this.key, reason);
    const guarded: Txn = { compare: [this.#isOurs], success: [operation] };
    const reply = await this.#store.commit(guarded, { ...options, exactlyOnce: true });
    if (!reply.succeeded) {
      await this.#onDeleted();
      throw new HoldLostError(this.key, this.#lost ?? 'released');
    }
    return reply;
  }

  async #release(): Promise<boolean> {
    const { signal, clock } = this.#lease;
    const held = this.lost === undefined;
    if (held) this.#grant.onRelease();
    this.#settle();
    const remove: Operation = { delete: { key: this.key } };
    // Where a put of the key is still out, neither branch may leave it the way to come back.
    const fence = this.#lease.fenceIn(this.#store);
    const raise = this.#grant.unanswered ? [fence.raise] : [];
    const txn: Txn = { compare: [this.#isOurs], success: [remove, ...raise], failure: raise };
    let mayHaveDeleted = false;
    const compareAndDelete = async (limit: CallOptions): Promise<boolean> => {
      try {
        // Not sent twice by the store: whether an earlier try may have been applied decides what "gone" means.
        return (await this.#lease.commit(this.#store, txn, limit)).succeeded;
      } catch (error) {
        if (error instanceof UnavailableError) mayHaveDeleted ||= error.outcome === 'unknown';
        throw error;
      }
    };
    try {
      const deleted = await persist(compareAndDelete, signal, clock, this.#lease.limitOf);
      this.#grant.onGone();
      // Somebody was faster than the watch. He may have ended the lease, and others hang on it.
      if (held && !deleted) void this.#lease.ask();
      return held && (deleted || mayHaveDeleted);
    } catch (error) {
      if (signal.aborted) return false;
      this.#grant.onRefused();
      throw error;
    }
  }

  /** Others are told of the end of the lease by turns; whoever looks knows at once. */
  #check(): void {
    const { ended } = this.#lease.fate;
    if (ended) this.#lose(ended);
  }

  #lose(reason: LossReason): void {
    if (this.#end(reason)) this.#grant.onLost(this);
    // The key went first, and the lease took it along.
    else if (this.#asking && reason !== 'closed') this.#lost = reason;
  }

  /** The key is gone, and the hold with it: at once. Whether that is because the lease is gone is known when this resolves. */
  #onDeleted(): Promise<void> {
    this.#deleted ??= this.#loseToDeletion();
    return this.#deleted;
  }

  async #loseToDeletion(): Promise<void> {
    if (!this.#end('deleted')) return;
    this.#asking = true;
    await this.#lease.ask();
    this.#check();
    this.#asking = false;
    this.#grant.onLost(this);
  }

  #end(reason: LossReason): boolean {
    if (this.#lost || this.#releasing) return false;
    this.#lost = reason;
    this.#settle();
    this.#controller?.abort(new HoldLostError(this.key, reason));
    return true;
  }

  #newController(): AbortController {
    const controller = checkedController(() => this.#check());
    const { lost } = this;
    if (lost) controller.abort(new HoldLostError(this.key, lost));
    return controller;
  }

  /** From here on nothing changes any more. */
  #settle(): void {
    this.#stopListening?.();
    this.#stopTimer?.();
    this.#watch?.close();
  }

  /** Watches for the removal of the key since it was last seen, by whomever. */
  #watchKey(): void {
    const { range, revision } = this.#grant;
    const id = keyId(this.key);
    const listener: WatchListener = {
      events: (events) => {
        if (events.some(({ kv }) => keyId(kv.key) === id)) void this.#onDeleted();
      },
      gap: () => void this.#verify(),
      closed: () => this.#lose('no-contact'),
    };
    try {
      const options = { from: revision + 1n, only: 'delete' } as const;
      this.#watch = this.#store.watch(range, listener, options);
    } catch {
      // The store was closed under us: nobody will renew the lease any more.
      this.#lose('closed');
    }
  }

  async #verify(): Promise<void> {
    const { signal, clock } = this.#lease;
    const read = (limit: CallOptions): Promise<RangeReply> =>
      this.#store.read({ key: this.key }, limit);
    try {
      const { kvs } = await persist(read, signal, clock);
      if (kvs[0]?.createRevision !== this.token) await this.#onDeleted();
    } catch {
      // The session has ended, which the hold knows already, or we may not read our own key.
      this.#lose('no-contact');
    }
  }
}
