import {
  type EndpointFailure,
  RefusedError,
  UnavailableError,
  type WriteOutcome,
} from '../store/errors.js';
import {
  isDenied,
  leaseIsGone,
  ranOutOfSpace,
  wasRefused,
  withoutEffect,
} from '../store/refusals.js';
import type { CallOptions, Store, Txn, TxnReply } from '../store/store.js';
import type { Clock } from '../time/clock.js';
import type { Patience } from '../time/patience.js';
import { limitAtOneMember, persist } from '../time/persist.js';
import { effectOf } from './effect.js';
import { footprintOf } from './footprint.js';
import type { Found, Mark } from './mark.js';
import { PartialReply } from './partial-reply.js';
import { type Recalled, recall } from './recall.js';

/**
 * Why a transaction had no effect, for the sake of its mark: its lease has ended, we may not write it, or there is no space
 * for it, though the transaction itself needs none.
 */
export type NotMarked = 'gone' | 'forbidden' | 'no space';

/** How one transaction is sent under a mark. */
export interface MarkedCommitParts {
  readonly store: Store;
  readonly mark: Mark;
  readonly txn: Txn;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** How long an attempt may take. */
  readonly patience: Patience;
  /** Milliseconds for all attempts. */
  readonly timeout: number;
  /** Milliseconds that no attempt may exceed. */
  readonly most: number;
  readonly clock: Clock;
}

/**
 * One transaction under a mark, sent again and again until it is known what became of it. Attempts are sent
 * by the store below as what may be done once: only so do we learn which of them stayed without an answer.
 */
export class MarkedCommit {
  /** What there is to say if it ends now. */
  outcome: WriteOutcome = 'not-applied';
  /** What went wrong last. */
  failures: readonly EndpointFailure[] = [];
  /** Whether nothing that was sent is still on its way, or what is can have no effect. */
  settled = false;
  readonly #parts: MarkedCommitParts;

  constructor(parts: MarkedCommitParts) {
    this.#parts = parts;
  }

  /**
   * Sends it.
   *
   * @returns the reply, or why the transaction had no effect
   * @throws the reason of the signal; `outcome` tells what became of it.
   * @throws UnavailableError if it was applied, or may have been, and etcd cannot tell its reply.
   * @throws RefusedError and others, as the store below.
   */
  async run(): Promise<TxnReply | NotMarked> {
    let reply: TxnReply;
    try {
      reply = await this.#persist((limit) => this.#attempt(limit));
    } catch (error) {
      // Who gives up may do so for an error that etcd gave to another.
      if (error instanceof RefusedError && !this.#parts.signal.aborted) return this.#refused(error);
      this.settled = this.outcome === 'not-applied';
      throw error;
    }
    const found = this.#parts.mark.learn(reply);
    return found ? this.#replyOf(found) : this.#without('gone');
  }

  async #attempt(limit: CallOptions): Promise<TxnReply> {
    const { store, mark, txn, signal, patience, most, clock } = this.#parts;
    const before = this.outcome;
    this.outcome = 'unknown';
    const sent = clock.now();
    try {
      const reply = await store.commit(mark.around(txn), limit);
      patience.answered(clock.now() - sent, limit.timeout ?? most);
      this.outcome = before;
      return reply;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof UnavailableError) this.failures = error.failures;
      const { outcome } = error as Partial<UnavailableError>;
      // It may have been applied all the same, and only the mark shows.
      const found = ranOutOfSpace(error) && (await store.commit(mark.look, limit));
      if (found || wasRefused(error) || outcome === 'not-applied') this.outcome = before;
      if (found && !found.succeeded) return found;
      throw error;
    }
  }

  /**
   * That the last attempt was refused says nothing of earlier ones, nor whether it was for the mark's sake. Writing
   * the mark alone tells both, and shuts out what is still on its way.
   */
  async #refused(error: RefusedError): Promise<TxnReply | NotMarked> {
    const { store, mark } = this.#parts;
    const unanswered = this.outcome === 'unknown';
    const aboutMark = leaseIsGone(error) || isDenied(error);
    if (!unanswered && !aboutMark) return this.#withoutEffect(error);
    let reply: TxnReply;
    try {
      reply = await this.#persist((limit) => store.commit(mark.seal, limit));
    } catch (failure) {
      if (!(failure instanceof RefusedError)) throw failure;
      if (leaseIsGone(failure)) return this.#without('gone');
      if (isDenied(failure)) return this.#without('forbidden');
      throw unanswered ? this.#unavailable(error) : error;
    }
    const found = mark.learn(reply);
    if (!found) return this.#without('gone');
    return found.what === 'sealed' ? this.#withoutEffect(error) : this.#replyOf(found);
  }

  /** It was refused, whatever was sent of it. */
  #withoutEffect(error: RefusedError): 'no space' {
    this.settled = true;
    if (!ranOutOfSpace(error)) throw error;
    if (!footprintOf(this.#parts.txn).puts) return 'no space';
    throw withoutEffect(error);
  }

  /** There is no mark to go by: whether an attempt without an answer was applied cannot be known. */
  #without<R>(reason: R): R {
    if (this.outcome === 'unknown') throw this.#unavailable();
    return reason;
  }

  async #replyOf({ what, revision, reply }: Found): Promise<TxnReply> {
    const { store, mark, txn, signal } = this.#parts;
    const succeeded = what === 'succeeded';
    this.settled = true;
    if (reply) return reply;
    this.outcome = effectOf(txn, succeeded);
    const { success = [], failure = [] } = txn;
    const steps = succeeded ? success : failure;
    const ran = [...steps, ...mark.traces];
    let told: Recalled;
    try {
      told = await this.#persist((limit) => recall(store, ran, revision, limit));
    } catch (error) {
      signal.throwIfAborted();
      throw this.#unavailable(error);
    }
    const { cause } = told;
    const replies = told.replies.slice(0, steps.length);
    const known = replies.filter((each) => each !== undefined);
    if (known.length < replies.length) {
      throw this.#unavailable(new PartialReply(revision, replies, { cause }));
    }
    return { succeeded, revision, replies: known };
  }

  #persist<T>(operation: (limit: CallOptions) => Promise<T>): Promise<T> {
    const { signal, patience, timeout, most, clock } = this.#parts;
    const limitOf = (tries: number): number =>
      Math.min(limitAtOneMember(patience, tries, timeout), most);
    return persist((limit) => operation({ ...limit, signal }), signal, clock, limitOf);
  }

  #unavailable(cause?: unknown): UnavailableError {
    return new UnavailableError(this.outcome, this.failures, cause === undefined ? {} : { cause });
  }
}
