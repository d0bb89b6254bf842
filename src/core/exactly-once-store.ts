import { setMaxListeners } from 'node:events';
import { maxTxnOps } from './check-txn.js';
import { type Clock, systemClock } from './clock.js';
import { ClosedError, RefusedError, UnavailableError } from './errors.js';
import { Patience } from './etcd3-patience.js';
import { Footprints, footprintOf, writes } from './footprint.js';
import { ForwardingStore } from './forwarding-store.js';
import { allMarks, type Mark, markOperations } from './mark.js';
import { MarkedCommit } from './marked-commit.js';
import { Marks } from './marks.js';
import { persist } from './persist.js';
import { waitScope } from './signals.js';
import type { CommitOptions, Store, Txn, TxnReply } from './store.js';
import { longest } from './validate.js';

/** What `ExactlyOnceStore` and `BatchingStore` are to know of the store below them. */
export interface CommitLimits {
  /** Limit for one commit that has none of its own, in milliseconds. @defaultValue 5,000 */
  readonly timeout?: number;
  /** Limit for one attempt, in milliseconds; longer where that was not enough twice. @defaultValue 500 */
  readonly attemptTimeout?: number;
  /** Operations that one transaction may have. @defaultValue 128, as etcd's */
  readonly maxTxnOps?: number;
}

/** Whatever writes marks is in conflict with this. */
const marks = new Footprints();
marks.add(footprintOf({ success: [{ range: allMarks }] }));

/** For the lease to be given back before the connection goes. */
const lastWords = 1_000;

/**
 * A store whose `exactlyOnce` commits are sent again until their fate is known: each with a mark (see `Mark`) that
 * shows whether an earlier attempt was applied; if one was, its reply is told from etcd's history. Marks
 * are keys under `.etcd-recipes/once/`, with a lease of their own that lasts for a minute after the last use.
 *
 * Sent once, as without `exactlyOnce`, is what cannot have a mark: transactions with more than 126 operations (in one list,
 * and the largest of those nested in it), those that may write marks, and all where etcd does not let us write them.
 * Exactly once means: unless somebody else deletes the marks.
 */
export class ExactlyOnceStore extends ForwardingStore {
  readonly #clock: Clock;
  readonly #timeout: number;
  readonly #maxTxnOps: number;
  readonly #marks: Marks;
  readonly #patience: Patience;
  readonly #life = new AbortController();
  #forbidden = false;

  constructor(store: Store, options: CommitLimits = {}, clock: Clock = systemClock) {
    super(store);
    this.#clock = clock;
    this.#timeout = options.timeout ?? 5_000;
    this.#maxTxnOps = options.maxTxnOps ?? maxTxnOps;
    this.#marks = new Marks(store, clock);
    this.#patience = new Patience(options.attemptTimeout ?? 500);
    setMaxListeners(0, this.#life.signal);
  }

  /**
   * Runs a transaction.
   *
   * @throws UnavailableError with `outcome: 'applied'` if it was applied exactly once, but its reply was lost and is not
   * in etcd's history (which is compacted, or does not show what was read between two writes); `unknown` if etcd
   * did not answer in time.
   */
  override async commit(txn: Txn, options: CommitOptions = {}): Promise<TxnReply> {
    if (!options.exactlyOnce || options.idempotent || !this.#canMark(txn)) {
      return this.store.commit(txn, options);
    }
    const { timeout = this.#timeout } = options;
    const deadline = this.#clock.now() + timeout;
    const reply = await this.#commitMarked(txn, { ...options, timeout });
    if (reply) return reply;
    const left = Math.max(0, deadline - this.#clock.now());
    return this.store.commit(txn, { ...options, timeout: left });
  }

  protected override end(store: Store): void {
    this.#life.abort(new ClosedError('store'));
    void this.#revoke(store);
  }

  #canMark(txn: Txn): boolean {
    if (this.#forbidden || !writes(txn)) return false;
    const footprint = footprintOf(txn);
    if (footprint.operations > this.#maxTxnOps - markOperations) return false;
    return !marks.conflict(footprint);
  }

  /** Gives `undefined` if no mark can be had. */
  async #commitMarked(
    txn: Txn,
    { signal, timeout, attemptTimeout = longest }: CommitOptions & { readonly timeout: number },
  ): Promise<TxnReply | undefined> {
    const { store } = this;
    const clock = this.#clock;
    const most = Math.min(attemptTimeout, timeout / 2);
    const scope = waitScope({ timeout, ...(signal && { signal }) }, this.#life.signal, clock);
    let state: Pick<MarkedCommit, 'outcome' | 'failures'> = {
      outcome: 'not-applied',
      failures: [],
    };
    const onTrouble = ({ failures }: UnavailableError): void => {
      state = { outcome: 'not-applied', failures };
    };
    try {
      for (;;) {
        const mark = await this.#takeMark(timeout, scope.signal, onTrouble);
        if (!mark) return undefined;
        const commit = new MarkedCommit({
          store,
          mark,
          txn,
          signal: scope.signal,
          patience: this.#patience,
          most,
          clock,
        });
        state = commit;
        const reply = await this.#run(commit, mark);
        if (typeof reply === 'object') return reply;
        if (reply === 'gone') this.#marks.forget(mark);
        else this.#forbidden = true;
      }
    } catch (error) {
      const isOurTimeout = error === scope.signal.reason && !signal?.aborted;
      if (!isOurTimeout || this.#life.signal.aborted) throw error;
      throw new UnavailableError(state.outcome, state.failures, { cause: error });
    } finally {
      scope.dispose();
    }
  }

  async #run(commit: MarkedCommit, mark: Mark): Promise<TxnReply | 'gone' | 'forbidden'> {
    try {
      return await commit.run();
    } finally {
      if (commit.settled) this.#marks.giveBack(mark);
    }
  }

  /** Gives `undefined` if etcd refuses us marks. */
  async #takeMark(
    need: number,
    signal: AbortSignal,
    onTrouble: (error: UnavailableError) => void,
  ): Promise<Mark | undefined> {
    if (this.#forbidden) return undefined;
    const take = async (): Promise<Mark> => {
      try {
        return await this.#marks.take(need, signal);
      } catch (error) {
        if (error instanceof UnavailableError) onTrouble(error);
        throw error;
      }
    };
    try {
      return await persist(take, signal, this.#clock);
    } catch (error) {
      if (error instanceof RefusedError) return undefined;
      throw error;
    }
  }

  async #revoke(store: Store): Promise<void> {
    const { lease } = this.#marks;
    try {
      if (lease !== undefined) await store.revoke(lease, { timeout: lastWords });
    } catch {
      // It ends by itself.
    }
    store.close();
  }
}
