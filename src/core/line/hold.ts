import type { Lease } from '../session/lease.js';
import { ArgumentError, HoldLostError, type LossReason } from '../store/errors.js';
import type { CallOptions, Compare, Operation, Store, Txn, TxnReply } from '../store/store.js';
import { checkedController } from '../time/signals.js';
import { GuardedTxn } from '../txn/guarded-txn.js';
import type { Grant } from './grant.js';
import { checkCaps, type HoldCaps } from './hold-caps.js';
import { lossOf } from './inquest.js';
import type { HeldPlace } from './place.js';
import { remove } from './removal.js';
import type { RevokeRequest } from './revoke-request.js';
import { Vigil } from './vigil.js';

/** Something won. It is ours until it is released or lost, and `signal` tells of a loss. */
export class Hold implements AsyncDisposable {
  /** The fencing token: the create revision of the first key. Later holders of the same thing have larger ones. */
  readonly token: bigint;
  /** Where its keys are. */
  readonly store: Store;
  readonly #place: HeldPlace;
  readonly #lease: Lease;
  readonly #grant: Grant;
  readonly #vigil: Vigil;
  /** Holds within this one. */
  #inner: Set<Hold> | undefined;
  #controller: AbortController | undefined;
  #lost: LossReason | undefined;
  #releasing: Promise<boolean> | undefined;
  /** Steps that are to end this: whether one was done. */
  #ending: Promise<boolean> | undefined;
  #deleted: Promise<void> | undefined;
  /** Whether the key is gone, and it is not known yet if the lease is. */
  #asking = false;

  /** @throws HoldLostError if it is not held any more, or what it is within is not. */
  constructor(store: Store, grant: Grant) {
    const { place, within } = grant;
    if (within) within.throwIfOver();
    this.#place = place;
    this.#lease = place.lease;
    this.store = store;
    this.#grant = grant;
    if (place.token <= 0n) throw new HoldLostError(place.key, 'deleted');
    this.token = within?.token ?? place.token;
    if (within) (within.#inner ??= new Set()).add(this);
    this.#vigil = new Vigil(store, grant, {
      gone: () => void this.#onGone(),
      lost: (reason) => this.lose(reason),
      ...(grant.inquest && { inquest: grant.inquest }),
    });
    if (this.#lost) this.#settle();
    else if (grant.verify) this.#vigil.verify();
  }

  /** The key in etcd whose existence is the hold. */
  get key(): string {
    return this.#place.key;
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

  /** Milliseconds for which it is surely ours, unless somebody removes its key; renewals move it on, and where it is capped by `idle` uses do. */
  remaining(): number {
    return this.#lost || this.#releasing ? 0 : this.#vigil.remaining();
  }

  /** @throws HoldLostError if it is not held any more. */
  throwIfOver(): void {
    const reason = this.#releasing ? 'released' : this.lost;
    if (reason) throw this.#lossBy(reason);
  }

  /** Begins a transaction that takes effect only while this is held. */
  txn(): GuardedTxn {
    return new GuardedTxn((operation, options) => this.guarded(operation, options));
  }

  /**
   * Gives it back. Goes on through outages until etcd has confirmed it or the session has ended; calling
   * it again gives the same promise.
   *
   * @returns whether it was held until now; `false` after a loss. When the answer to the release itself was
   * lost and the key is found gone, that counts as released, unless the lease is gone as well.
   * @throws RefusedError if etcd refuses it, such as for a permission withdrawn; it is tried again in the background.
   */
  release(): Promise<boolean> {
    this.#releasing ??= this.#release();
    return this.#releasing;
  }

  /** Counts as a use, where `idle` was asked for: of what this is within, too. */
  touch(): void {
    if (this.#lost || this.#releasing) return;
    this.#vigil.used();
    this.#grant.within?.touch();
  }

  /** Has it end by itself. @throws ArgumentError unless the caps are numbers of milliseconds from 1. */
  cap(caps: HoldCaps): void {
    checkCaps(caps);
    this.#vigil.cap(caps);
  }

  /**
   * Tells of requests to give this back (`requestRevoke`), from its beginning on: nothing happens by itself. The function
   * returned takes it back.
   */
  onRevokeRequest(listener: (request: RevokeRequest) => void): () => void {
    return this.#vigil.onRequest(listener);
  }

  /** Whether one of its keys is in a folder. */
  isIn(folder: string): boolean {
    return this.#place.keys.some((key) => key.startsWith(folder));
  }

  /**
   * Another hold of the same: it ends with this one at the latest, and giving it back changes nothing here.
   *
   * @throws HoldLostError if this is not held any more.
   */
  share(): Hold {
    return new Hold(this.store, {
      ...this.#grant,
      watched: [],
      verify: false,
      within: this,
      isShared: true,
      onLost: () => {},
      onRelease: () => {},
      onGone: () => {},
    });
  }

  /** The hold whose keys these are: itself, unless it was made by `share`. */
  get origin(): Hold {
    const { within, isShared } = this.#grant;
    return within && isShared ? within.origin : this;
  }

  /** Has a release do this too, in the same step. */
  releaseWith(operation: Operation): void {
    this.#place.along.push(operation);
  }

  /**
   * Goes on with the last key alone: for recipes where that is less. Holds within this one end.
   *
   * @throws ArgumentError if this is within another, whose keys they are.
   * @throws HoldLostError if it is not held any more.
   */
  async reduce(): Promise<void> {
    if (this.#grant.isShared) throw new ArgumentError('hold', 'not within another', this.key);
    this.throwIfOver();
    for (const inner of this.#inner ?? []) inner.#loseWith('released');
    try {
      await this.#place.keepLast(this.#lease.signal);
    } catch (error) {
      if (error instanceof HoldLostError) await this.#onDeleted();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  /** The conditions that it is ours. */
  protected get isOurs(): Compare[] {
    const { place, within, isShared } = this.#grant;
    if (!within) return place.isOurs;
    return isShared ? within.isOurs : [...place.isOurs, ...within.isOurs];
  }

  /** Runs one step that takes effect only while this is held. @throws as `txn().commit`. */
  protected async guarded(operation: Operation, options: CallOptions): Promise<TxnReply> {
    const { keys } = this.#place;
    const reply = await this.#send([operation], options);
    if (reply.succeeded) return reply;
    // What was missing may be what we gave up ourselves meanwhile.
    if (keys !== this.#place.keys) return this.guarded(operation, options);
    throw await this.#missed();
  }

  /**
   * Runs a transaction that deletes the keys, and is the end of this. Others may run at the same time; one of them is done.
   *
   * @returns `false` if a condition of its own did not hold: then this is held as before
   * @throws as `guarded`.
   */
  protected async endWith(txn: Txn, options: CallOptions): Promise<boolean> {
    const { compare = [], success = [] } = txn;
    // One without conditions needs not be a transaction of its own, each of which costs etcd as much as a write.
    const isPlain = compare.length === 0;
    const step = this.#send(isPlain ? success : [{ txn }], options);
    const isDone = step.then(
      ({ succeeded, replies }) => succeeded && (isPlain || replies[0]?.txn?.succeeded === true),
      (error: unknown) => isPlain && wasApplied(error),
    );
    this.endsBy(isDone);
    if (!(await isDone)) {
      if (!(await step).succeeded) throw await this.#missed();
      return false;
    }
    this.endedBy(isDone);
    return true;
  }

  /** Steps are on their way that may be the end of this. */
  protected endsBy(isDone: Promise<boolean>): void {
    const ending = this.#ending;
    // Nearly always there is but one.
    this.#ending = ending ? isDone.then(async (isIt) => isIt || (await ending)) : isDone;
  }

  /** They were done. */
  protected endedBy(isDone: Promise<boolean>): void {
    if (!this.#lost) {
      this.#releasing = isDone;
      this.#grant.onRelease();
      this.#settle();
    }
    this.#place.removed(true);
    this.#grant.onGone();
  }

  /** @throws HoldLostError, at once. */
  #send(success: readonly Operation[], options: CallOptions): Promise<TxnReply> {
    this.throwIfOver();
    this.touch();
    const guarded: Txn = { compare: this.isOurs, success };
    return this.store.commit(guarded, { ...options, exactlyOnce: true });
  }

  /** What to throw where the keys were not there. */
  async #missed(): Promise<HoldLostError> {
    await this.#grant.inquest?.look();
    await this.#onGone();
    return this.#lossBy(this.#lost ?? 'released');
  }

  async #release(): Promise<boolean> {
    const held = this.lost === undefined;
    if (held) this.#grant.onRelease();
    this.#settle();
    if (this.#grant.isShared) return held;
    try {
      const { deleted, mayHave } = await remove(this.#place, this.store);
      if (deleted || !held) return held;
      // Somebody was faster than the watch. He may have ended the lease, and others hang on it.
      const asked = this.#lease.ask();
      if (mayHave) await asked;
      return mayHave && !this.#lease.signal.aborted;
    } catch (error) {
      if (this.#lease.signal.aborted) return false;
      throw error;
    } finally {
      this.#grant.onGone();
    }
  }

  /** Others are told of the end of the lease by turns, and timers may be late; whoever looks knows at once. */
  #check(): void {
    const { ended } = this.#lease.fate;
    if (ended) this.lose(ended);
    this.#vigil?.check();
  }

  /** Ends it here: `signal` aborts. The keys stay, unless they are what is gone. */
  protected lose(reason: LossReason): void {
    if (this.#end(reason)) this.#onLost();
    // The key went first, and the lease took it along.
    else if (this.#asking && reason !== 'closed') this.#lost = reason;
  }

  /** What it was within has ended. */
  #loseWith(reason: LossReason): void {
    if (this.#end(reason)) this.#onLost();
  }

  /** The key was found gone. That may be our own doing. */
  async #onGone(): Promise<void> {
    if (!(await this.#ending)) await this.#onDeleted();
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
    this.#onLost();
  }

  #onLost(): void {
    const { within, isShared } = this.#grant;
    const isOver = this.#lost === 'max-hold' || this.#lost === 'idle';
    // Where it is not our own key that was deleted, that must go, too.
    if (!isShared && (within || isOver)) this.#place.withdraw();
    else if (!isShared && this.#lost === 'deleted') this.#place.leave();
    this.#grant.onLost(this);
  }

  #end(reason: LossReason): boolean {
    if (this.#lost || this.#releasing) return false;
    this.#lost = reason;
    this.#settle();
    this.#controller?.abort(this.#lossBy(reason));
    return true;
  }

  #newController(): AbortController {
    const controller = checkedController(() => this.#check());
    if (this.#lost) controller.abort(this.#lossBy(this.#lost));
    return controller;
  }

  #lossBy(reason: LossReason): HoldLostError {
    return lossOf(this.key, reason, this.#grant.inquest);
  }

  /** From here on nothing changes any more. */
  #settle(): void {
    const { within } = this.#grant;
    if (within) within.#inner?.delete(this);
    for (const inner of this.#inner ?? []) inner.#loseWith(this.#lost ?? 'released');
    this.#vigil?.close();
  }
}

/** Whether etcd has forgotten all of what it did but that: which is all that counts where nothing is read. */
export function wasApplied(error: unknown): boolean {
  return Object(error).outcome === 'applied';
}
