import { ClosedError, UnavailableError } from '../store/errors.js';
import { ForwardingStore } from '../store/forwarding-store.js';
import { ranOutOfSpace, wasRefused } from '../store/refusals.js';
import type { CommitOptions, Store, Txn, TxnReply } from '../store/store.js';
import { type Clock, systemClock } from '../time/clock.js';
import { tell } from '../trace.js';
import { wholeFrom } from '../validate.js';
import { type BatchLimits, inBatches } from './batch.js';
import { afterAll, lastWord, ofAll } from './batch-errors.js';
import { type CommitLimits, checkCall, commitLimits } from './commit-limits.js';
import { writes } from './footprint.js';
import { markOperations } from './mark.js';
import { PartialReply } from './partial-reply.js';
import { PendingCommit } from './pending-commit.js';

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
/** Once etcd has refused a request for want of space, so many milliseconds pass before those that need none are at its mercy. */
const untilSpace = 60_000;
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
  readonly #limits: Pick<BatchLimits, 'operations' | 'bytes'>;
  #waiting: PendingCommit[] = [];
  #onTheirWay = 0;
  #isScheduled = false;
  /** Until when etcd is taken to have no space, by our clock. */
  #fullUntil = Number.NEGATIVE_INFINITY;

  /** @throws ArgumentError if an option is not usable. */
  constructor(store: Store, options: BatchingOptions = {}, clock: Clock = systemClock) {
    super(store);
    const { maxBytes = 1_048_576 } = options;
    const { timeout, maxTxnOps } = commitLimits(options);
    this.#clock = clock;
    this.#timeout = timeout;
    this.#limits = {
      operations: maxTxnOps - markOperations,
      bytes: wholeFrom(1, 'maxBytes', maxBytes),
    };
  }

  override commit(txn: Txn, options: CommitOptions = {}): Promise<TxnReply> {
    // An async function would cost as much again as all that is done here.
    try {
      return this.#commit(this.store, txn, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  protected override end(store: Store): void {
    for (const member of this.#waiting.splice(0)) member.reject(new ClosedError('store'));
    store.close();
  }

  #commit(store: Store, txn: Txn, options: CommitOptions): Promise<TxnReply> {
    if (options.batch === false || !writes(txn)) return store.commit(txn, options);
    checkCall(options);
    const { signal, timeout = this.#timeout } = options;
    signal?.throwIfAborted();
    const member = new PendingCommit(txn, options, timeout, this.#clock);
    this.#waiting.push(member);
    this.#schedule();
    return member.reply;
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
    const bySpace = this.#clock.now() < this.#fullUntil;
    const limits = { ...this.#limits, size: Math.max(few, share), bySpace };
    for (const batch of inBatches(members, limits)) void this.#send(batch.members);
  }

  async #send(members: readonly PendingCommit[]): Promise<void> {
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

  /** Sends one, perhaps after a request that it was in has failed. */
  async #sendAlone(member: PendingCommit, earlier?: UnavailableError): Promise<void> {
    member.handOver();
    try {
      const options = { ...member.options, timeout: member.left };
      member.resolve(await this.store.commit(member.txn, options));
    } catch (error) {
      member.reject(earlier ? afterAll(error, earlier) : error);
    }
  }

  /** Sends several, perhaps after a larger request that they were in has failed. */
  async #sendTogether(
    members: readonly PendingCommit[],
    earlier?: UnavailableError,
  ): Promise<void> {
    for (const member of members) member.sent = true;
    const success = members.map(({ txn }) => ({ txn }));
    try {
      const { replies, revision } = await this.store.commit({ success }, optionsFor(members));
      resolveAll(members, replies, revision);
    } catch (error) {
      if (ranOutOfSpace(error)) this.#fullUntil = this.#clock.now() + untilSpace;
      const { cause } = error as Error;
      if (cause instanceof PartialReply) resolveAll(members, cause.replies, cause.revision);
      await this.#withoutReply(members, ofAll(error), earlier);
    }
  }

  /**
   * Ends those that have no reply, but for what had no effect because of others, or may be applied twice. That is sent again:
   * in one request where it can be, since who does not answer may have too much to do.
   */
  async #withoutReply(
    members: readonly PendingCommit[],
    error: unknown,
    earlier?: UnavailableError,
  ): Promise<void> {
    const again: PendingCommit[] = [];
    for (const member of members) {
      if (member.isOver) continue;
      if (mayGoOn(member, error, earlier)) again.push(member);
      else member.reject(lastWord(member, error, earlier));
    }
    const isLost = error instanceof UnavailableError;
    const lost = isLost ? error : earlier;
    if (isLost && error.outcome !== 'applied' && again.length > 1) {
      await this.#sendTogether(again, lost);
    } else {
      await Promise.all(again.map((member) => this.#sendAlone(member, lost)));
    }
  }
}

/** Whether one that failed together with others is to be sent again. */
function mayGoOn(member: PendingCommit, error: unknown, earlier?: UnavailableError): boolean {
  if (error instanceof UnavailableError) {
    const isFirst = !earlier || error.outcome === 'applied';
    return isFirst && member.options.idempotent === true && member.left > 0;
  }
  return wasRefused(error) && !(ranOutOfSpace(error) && member.footprint.puts);
}

/** Gives each its reply, as far as it is known. */
function resolveAll(
  members: readonly PendingCommit[],
  replies: PartialReply['replies'],
  revision: bigint,
): void {
  for (const [i, member] of members.entries()) {
    const txn = replies[i]?.txn;
    // A nested reply has no revision of its own.
    if (txn) member.resolve({ succeeded: txn.succeeded, revision, replies: txn.replies });
  }
}

/**
 * How to send what is for all of them: as long as one of them waits, and with the care that one of them asks for.
 */
function optionsFor(members: readonly PendingCommit[]): CommitOptions {
  const attempts = members.flatMap(({ options }) => options.attemptTimeout ?? []);
  return {
    timeout: Math.max(...members.map(({ left }) => left)),
    ...(attempts.length === members.length && { attemptTimeout: Math.min(...attempts) }),
    repeated: members.every(({ options }) => options.repeated === true),
    idempotent: members.every(({ options }) => options.idempotent === true),
    exactlyOnce: members.some(({ options }) => options.exactlyOnce === true),
    marksIn: members.find(({ options }) => options.marksIn !== undefined)?.options.marksIn,
  };
}
