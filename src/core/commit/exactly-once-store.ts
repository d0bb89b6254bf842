import { setMaxListeners } from 'node:events';
import { ClosableStore } from '../store/closable-store.js';
import { ClosedError, RefusedError, UnavailableError } from '../store/errors.js';
import { ForwardingStore } from '../store/forwarding-store.js';
import { isDenied } from '../store/refusals.js';
import type { CommitOptions, Store, Txn, TxnReply } from '../store/store.js';
import { type Clock, systemClock } from '../time/clock.js';
import { Patience } from '../time/patience.js';
import { persist } from '../time/persist.js';
import { waitScope } from '../time/signals.js';
import { longest } from '../validate.js';
import { type CommitLimits, checkCall, commitLimits } from './commit-limits.js';
import { type Footprint, footprintOf } from './footprint.js';
import { type Mark, markOperations, mayWriteMarks } from './mark.js';
import { MarkedCommit, type NotMarked } from './marked-commit.js';
import { Marks } from './marks.js';

/** Milliseconds for the lease to be given back before the connection goes. */
const lastWords = 1_000;
/** Milliseconds before it is tried again whether etcd lets us write marks: permissions change. */
const untilRetried = 60_000;

/**
 * A store whose `exactlyOnce` commits are sent again until their fate is known: each with a mark (see `Mark`) that
 * shows whether an earlier attempt was applied; if one was, its reply is told from etcd's history. Marks
 * are keys under `.etcd-recipes/once/`, with a lease of their own that lasts for a minute after the last use. Where etcd does
 * not let us write these, they begin with the `marksIn` of a commit.
 *
 * Sent once, as without `exactlyOnce`, is what cannot have a mark: transactions with more than 125 operations (in one list,
 * and the largest of those nested in it), those that may write marks, those that put nothing where etcd has no space
 * for a mark, and all where it does not let us write them.
 * Exactly once means: unless somebody else deletes the marks.
 */
export class ExactlyOnceStore extends ForwardingStore {
  readonly #below: Store;
  readonly #clock: Clock;
  readonly #limits: Required<CommitLimits>;
  readonly #marks: Marks;
  readonly #patience: Patience;
  readonly #life = new AbortController();
  /** Until when etcd is not asked for marks, by our clock. */
  #forbiddenUntil = Number.NEGATIVE_INFINITY;

  /** @throws ArgumentError if an option is not usable. */
  constructor(store: Store, options: CommitLimits = {}, clock: Clock = systemClock) {
    super(new ClosableStore(store));
    this.#below = store;
    this.#clock = clock;
    this.#limits = commitLimits(options);
    this.#marks = new Marks(store, clock);
    this.#patience = new Patience(this.#limits.attemptTimeout);
    setMaxListeners(0, this.#life.signal);
  }

  /**
   * Runs a transaction.
   *
   * @throws UnavailableError if its reply was lost and is not in etcd's history (which is compacted, or does not show what was
   * read between two writes): `outcome` is `applied` if it took effect, exactly once, `not-applied` if its conditions did not
   * hold and it wrote nothing; `unknown` if etcd did not answer in time.
   */
  override async commit(txn: Txn, options: CommitOptions = {}): Promise<TxnReply> {
    checkCall(options);
    if (!options.exactlyOnce || options.idempotent) return this.store.commit(txn, options);
    const footprint = footprintOf(txn);
    if (!this.#canMark(footprint)) return this.store.commit(txn, options);
    const { timeout = this.#limits.timeout } = options;
    const deadline = this.#clock.now() + timeout;
    const reply = await this.#commitMarked(txn, footprint, { ...options, timeout });
    if (reply) return reply;
    const left = Math.max(0, deadline - this.#clock.now());
    return this.#commitUnmarked(txn, { ...options, timeout: left });
  }

  protected override end(store: Store): void {
    this.#life.abort(new ClosedError('store'));
    store.close();
    void this.#sayLastWords();
  }

  #canMark(footprint: Footprint): boolean {
    if (footprint.writes.length === 0) return false;
    if (footprint.operations > this.#limits.maxTxnOps - markOperations) return false;
    return !mayWriteMarks(footprint, this.#marks.place);
  }

  async #commitUnmarked(txn: Txn, options: CommitOptions): Promise<TxnReply> {
    try {
      return await this.store.commit(txn, options);
    } catch (error) {
      // It was not for the marks: who was kept out altogether is to have them as soon as he is let in again.
      if (isDenied(error)) this.#forbiddenUntil = Number.NEGATIVE_INFINITY;
      throw error;
    }
  }

  /** Gives `undefined` if no mark can be had. */
  async #commitMarked(
    txn: Txn,
    footprint: Footprint,
    options: CommitOptions & { readonly timeout: number },
  ): Promise<TxnReply | undefined> {
    const { store } = this;
    const { signal, timeout, attemptTimeout = longest, marksIn } = options;
    const scope = waitScope({ timeout, ...(signal && { signal }) }, this.#life.signal, this.#clock);
    let state: Pick<MarkedCommit, 'outcome' | 'failures'> = {
      outcome: 'not-applied',
      failures: [],
    };
    const onTrouble = ({ failures }: UnavailableError): void => {
      state = { outcome: 'not-applied', failures };
    };
    const refused = new Set<string>();
    try {
      while (this.#hasPlace(marksIn, refused)) {
        const mark = await this.#takeMark(timeout, scope.signal, onTrouble);
        if (!mark || !this.#isFit(mark, footprint)) return undefined;
        const commit = new MarkedCommit({
          store,
          mark,
          txn,
          signal: scope.signal,
          patience: this.#patience,
          timeout,
          most: attemptTimeout,
          clock: this.#clock,
        });
        state = commit;
        const reply = await this.#run(commit, mark);
        if (typeof reply === 'object') return reply;
        if (reply === 'no space') return undefined;
        if (reply === 'gone') this.#marks.forget(mark);
        else {
          refused.add(mark.place);
          this.#forbid(mark);
        }
      }
      return undefined;
    } catch (error) {
      signal?.throwIfAborted();
      this.#life.signal.throwIfAborted();
      if (error !== scope.signal.reason) throw error;
      throw new UnavailableError(state.outcome, state.failures, { cause: error });
    } finally {
      scope.dispose();
    }
  }

  /** That of before may have been given up while the mark was waited for. */
  #isFit(mark: Mark, footprint: Footprint): boolean {
    const isFit = !mayWriteMarks(footprint, mark.place);
    if (!isFit) this.#marks.giveBack(mark, true);
    return isFit;
  }

  /** Says whether there is a place for marks that etcd has not just refused us. */
  #hasPlace(other: string | undefined, refused: ReadonlySet<string>): boolean {
    const { place } = this.#marks;
    // Who may write marks in that place only has none for what may lie elsewhere.
    if (other === undefined && place !== '') return false;
    if (this.#clock.now() >= this.#forbiddenUntil) return true;
    if (other === undefined || other === place || refused.has(other)) return false;
    this.#marks.moveTo(other);
    this.#forbiddenUntil = Number.NEGATIVE_INFINITY;
    return true;
  }

  #forbid({ place }: Mark): void {
    if (place === this.#marks.place) this.#forbiddenUntil = this.#clock.now() + untilRetried;
  }

  async #run(commit: MarkedCommit, mark: Mark): Promise<TxnReply | NotMarked> {
    try {
      return await commit.run();
    } finally {
      this.#marks.giveBack(mark, commit.settled);
    }
  }

  /** Gives `undefined` if etcd refuses us marks. */
  async #takeMark(
    need: number,
    signal: AbortSignal,
    onTrouble: (error: UnavailableError) => void,
  ): Promise<Mark | undefined> {
    const prepare = async (): Promise<void> => {
      try {
        await this.#marks.prepare(need);
      } catch (error) {
        if (error instanceof UnavailableError) onTrouble(error);
        throw error;
      }
    };
    try {
      for (;;) {
        // At once: what was taken while it was waited for, nobody would give back after an abort.
        const mark = this.#marks.take(need);
        if (mark) return mark;
        await persist(prepare, signal, this.#clock);
      }
    } catch (error) {
      if (error instanceof RefusedError) return undefined;
      throw error;
    }
  }

  async #sayLastWords(): Promise<void> {
    const answered = new AbortController();
    void this.#marks.close().then(() => answered.abort());
    await this.#clock.sleep(lastWords, answered.signal).catch(() => {});
    this.#below.close();
  }
}
