import { type BatchLimits, inBatches } from './batch.js';
import { maxTxnOps } from './check-txn.js';
import { type Clock, systemClock } from './clock.js';
import { ArgumentError, ClosedError, LimitError, UnavailableError } from './errors.js';
import type { CommitLimits } from './exactly-once-store.js';
import { writes } from './footprint.js';
import { ForwardingStore } from './forwarding-store.js';
import { markOperations } from './mark.js';
import { Member } from './member.js';
import type { CommitOptions, Store, Txn, TxnReply } from './store.js';
import { tell } from './trace.js';
import { milliseconds } from './validate.js';
import { wasRefused } from './was-refused.js';

/** How commits are put together. */
export interface BatchingOptions extends CommitLimits {
  /**
   * Bytes of one request, about; a larger transaction travels alone.
   * @defaultValue 1 MiB, since etcd takes 1.5 MiB unless told otherwise
   */
  readonly maxBytes?: number;
}

/** While so many requests are on their way, commits wait: one for etcd to work on while we work on the other. */
const atOnce = 2;
/** Fewer transactions are not divided between requests: each request has a cost of its own. */
const few = 64;
/** A request that has taken so many milliseconds is waited for no more: etcd may be far away, or silent. */
const patience = 10;

/**
 * A store that commits in groups. While requests are being answered, commits wait; then they travel together as one
 * transaction of nested ones, as far as they are independent: etcd compares for all of them with the state
 * before, and gives all of them one revision. One that is alone is sent as it is and at once, and none waits longer
 * than 10 ms. To its caller each commit is as if it were sent by itself: refused alone, and given up alone.
 *
 * Not for transactions that are told apart by their revisions, unless they read what the others write.
 */
export class BatchingStore extends ForwardingStore {
  readonly #clock: Clock;
  readonly #timeout: number;
  readonly #limits: Omit<BatchLimits, 'size'>;
  #waiting: Member[] = [];
  #onTheirWay = 0;
  #isScheduled = false;

  /** @throws ArgumentError if an option is not usable. */
  constructor(store: Store, options: BatchingOptions = {}, clock: Clock = systemClock) {
    super(store);
    const { timeout = 5_000, maxBytes = 1_048_576 } = options;
    if (!(maxBytes > 0)) throw new ArgumentError('maxBytes', 'a number above 0', maxBytes);
    this.#clock = clock;
    this.#timeout = timeout;
    this.#limits = {
      operations: (options.maxTxnOps ?? maxTxnOps) - markOperations,
      bytes: maxBytes,
    };
  }

  override async commit(txn: Txn, options: CommitOptions = {}): Promise<TxnReply> {
    const { store } = this;
    if (options.batch === false || !writes(txn)) return store.commit(txn, options);
    const { signal, timeout = this.#timeout } = options;
    signal?.throwIfAborted();
    const member = new Member(txn, options, milliseconds('timeout', timeout), this.#clock);
    this.#waiting.push(member);
    this.#schedule();
    return member.reply;
  }

  protected override end(store: Store): void {
    for (const member of this.#waiting.splice(0)) member.reject(new ClosedError('store'));
    store.close();
  }

  /** Sends what waits, as soon as all have come that are about to: who has just got an answer often commits again. */
  #schedule(): void {
    if (this.#isScheduled || this.#onTheirWay >= atOnce || this.#waiting.length === 0) return;
    this.#isScheduled = true;
    process.nextTick(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  /** Sends all of it: who is in conflict with those before would not find better company by waiting. */
  #flush(): void {
    const members = this.#waiting.filter(({ isOver }) => !isOver);
    this.#waiting = [];
    const share = Math.ceil(members.length / (atOnce - this.#onTheirWay));
    const limits = { ...this.#limits, size: Math.max(few, share) };
    for (const batch of inBatches(members, limits)) void this.#send(batch.members);
  }

  async #send(members: readonly Member[]): Promise<void> {
    let isCounted = true;
    const release = (): void => {
      if (isCounted) this.#onTheirWay -= 1;
      isCounted = false;
      this.#schedule();
    };
    this.#onTheirWay += 1;
    const stopTimer = this.#clock.after(patience, release);
    tell('batch', () => ({ size: members.length }));
    const [first, second] = members;
    if (first && !second) await this.#sendAlone(first);
    else await this.#sendTogether(members);
    stopTimer();
    release();
  }

  async #sendAlone(member: Member): Promise<void> {
    member.handOver();
    try {
      const options = { ...member.options, timeout: member.left };
      member.resolve(await this.store.commit(member.txn, options));
    } catch (error) {
      member.reject(error);
    }
  }

  async #sendTogether(members: readonly Member[]): Promise<void> {
    for (const member of members) member.sent = true;
    const success = members.map(({ txn }) => ({ txn }));
    try {
      const { replies, revision } = await this.store.commit({ success }, optionsFor(members));
      // A nested reply has no revision of its own.
      for (const [i, member] of members.entries()) {
        member.resolve({ ...(replies[i]?.txn as TxnReply), revision });
      }
    } catch (error) {
      const ours = ofOne(error);
      await Promise.all(members.map((member) => this.#withoutReply(member, ours)));
    }
  }

  /** Sends again, alone, what had no effect because of others, or may be applied twice. */
  async #withoutReply(member: Member, error: unknown): Promise<void> {
    if (member.isOver) return;
    const { idempotent, exactlyOnce } = member.options;
    const isLost = error instanceof UnavailableError;
    if (wasRefused(error) || (isLost && idempotent && member.left > 0)) {
      await this.#sendAlone(member);
    } else if (isLost && error.outcome === 'applied' && !exactlyOnce) {
      // Who did not ask for it need not know of this outcome.
      member.reject(new UnavailableError('unknown', error.failures, { cause: error }));
    } else {
      member.reject(error);
    }
  }
}

/** What an error of all means for one: that the replies are too large together says that it was applied, and its own is lost. */
function ofOne(error: unknown): unknown {
  if (!(error instanceof LimitError) || wasRefused(error)) return error;
  const failure = { endpoint: 'etcd', status: 'RESOURCE_EXHAUSTED', message: error.message };
  return new UnavailableError('applied', [failure], { cause: error });
}

/** How to send what is for all of them: as long as one of them waits, and with the care that one of them asks for. */
function optionsFor(members: readonly Member[]): CommitOptions {
  const attempts = members.flatMap(({ options }) => options.attemptTimeout ?? []);
  return {
    timeout: Math.max(...members.map(({ left }) => left)),
    ...(attempts.length > 0 && { attemptTimeout: Math.min(...attempts) }),
    idempotent: members.every(({ options }) => options.idempotent === true),
    exactlyOnce: members.some(({ options }) => options.exactlyOnce === true),
  };
}
