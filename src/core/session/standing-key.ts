import { ClosedError, ConflictError, isLoss, type LossReason } from '../store/errors.js';
import { type Data, toBytes } from '../store/keys.js';
import { leaseIsGone, wasRefused } from '../store/refusals.js';
import type { CallOptions, KeyValue, Operation, Txn, TxnReply } from '../store/store.js';
import { Backoff } from '../time/backoff.js';
import { type Deferred, deferred } from '../time/deferred.js';
import { persist } from '../time/persist.js';
import { abortable, onAbort, type WaitOptions, waitScope } from '../time/signals.js';
import type { Lease } from './lease.js';
import { LeaseSlot } from './lease-slot.js';
import type { Session } from './session.js';
import { pairOf, removalUnder } from './standing-pair.js';
import { StandingWatch } from './standing-watch.js';

/** Who is told what becomes of a key. */
export interface StandingKeyUser {
  /** Whether who waits for it goes on while somebody else has it, rather than with a `ConflictError`. @defaultValue `false` */
  readonly waits?: boolean;
  /** Whether what etcd does not take is not wanted any more, but what it has taken last. @defaultValue `false` */
  readonly reverts?: boolean;
  /** It is there as it is wanted, and was not before; since this revision. */
  stands(revision: bigint): void;
  /** It is not there any more: its lease was lost, or somebody deleted it. It is being put again. */
  lost(reason: LossReason): void;
  /** Somebody else has it. It is put once he has not. */
  taken(by: KeyValue): void;
  /** etcd refuses it. It is tried again. */
  failed(error: unknown): void;
}

/**
 * A key of a name of our choice that is to be there as long as we are: bound to the session, and put again whenever it went
 * without us. Whatever is known of it, by replies, events and reads, is compared with what is wanted; where they differ, one write
 * after the other goes out, each on condition that the key is as it is known. So a write that comes late finds it changed, and no
 * order of losses and lost replies brings an old value back.
 */
export class StandingKey {
  readonly key: string;
  readonly #session: Session;
  readonly #user: StandingKeyUser;
  readonly #life = new AbortController();
  readonly #waits = new Set<Deferred<bigint>>();
  /** IDs of leases under which it may be there because of us. */
  #ours = new Set<bigint>();
  readonly #stopListening: () => void;
  #wanted: Buffer | undefined;
  /** What was wanted when it last was as it was wanted. */
  #granted: Buffer | undefined;
  /** What is there, as of `#revision`. */
  #present: KeyValue | undefined;
  #revision = 0n;
  /** What is known must be as of this revision at least: what happened before was told to nobody. */
  #atLeast = 0n;
  /** From here on all is told. */
  #since = 0n;
  #stands = false;
  /** It went, and nobody was told yet: perhaps its lease did. */
  #isMissed = false;
  #isTaken = false;
  #isBusy = false;
  /** Whether a put got no answer, and might still arrive. */
  #unanswered = false;
  readonly #slot: LeaseSlot;
  readonly #watch: StandingWatch;
  /** The last write. */
  #sent: Promise<TxnReply> | undefined;
  #closed: Promise<void> | undefined;

  /** @throws ClosedError if the session is closed. */
  constructor(session: Session, key: string, user: StandingKeyUser) {
    if (session.closing.aborted) throw new ClosedError('session');
    this.key = key;
    this.#session = session;
    this.#user = user;
    this.#slot = new LeaseSlot(session, (reason) => this.#lost(reason));
    this.#stopListening = onAbort(session.closing, () => void this.close());
    this.#watch = this.#follow();
  }

  /** Whether it is there, as far as is known, as it was wanted last. */
  get stands(): boolean {
    return this.token !== undefined;
  }

  /** Since which revision it is there without a break, while it `stands`. Looking at it checks the lease. */
  get token(): bigint | undefined {
    const isBound = this.#slot.lease?.fate.ended === undefined;
    return isBound && this.#stands ? this.#present?.createRevision : undefined;
  }

  /** Aborts when it is closed, or the session is. */
  get closing(): AbortSignal {
    return this.#life.signal;
  }

  /**
   * From now on it is to have this value; `undefined`: it is not to be there. Gives a revision at which it was so.
   *
   * @throws ConflictError if somebody else has it, unless the user waits.
   * @throws RefusedError, LimitError if etcd does not take it: it is tried again all the same, unless the user reverts.
   * @throws WaitTimeoutError, or the reason of `wait.signal`: it may be so later. ClosedError.
   */
  async want(value: Data | undefined, wait: WaitOptions = {}): Promise<bigint> {
    const scope = waitScope(wait, this.#life.signal, this.#session.clock, this.key);
    const settled = deferred<bigint>();
    try {
      scope.signal.throwIfAborted();
      this.#wanted = value === undefined ? undefined : toBytes(value);
      this.#waits.add(settled);
      this.#wake();
      return await abortable(settled.promise, scope.signal);
    } finally {
      this.#waits.delete(settled);
      scope.dispose();
    }
  }

  /**
   * Deletes it, if it is ours, and has no write that is still out bring it back. Settles when etcd has confirmed that, or its
   * lease has ended.
   *
   * @throws RefusedError if etcd refuses it: then it goes with the lease.
   */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    const { lease } = this.#slot;
    this.#life.abort(new ClosedError(this.key));
    this.#stopListening();
    this.#watch.close();
    this.#stands = false;
    // Of a put, what is known by now; the answer to a deletion may save us another.
    await this.#sent?.catch(() => {});
    const mayBeThere = this.#ours.size > 0 && (this.#isOurs || this.#isUnsure || this.#unanswered);
    try {
      // With the session all of its leases are given back.
      if (lease && mayBeThere && !this.#session.closing.aborted) {
        const success = [...removalUnder(this.#ours, this.key), ...this.#raise(lease)];
        await this.#commit(lease, { success }, lease.signal);
      }
    } catch (error) {
      if (!isLoss(error) && !(error instanceof ClosedError) && !leaseIsGone(error)) throw error;
    } finally {
      this.#slot.giveBack();
    }
  }

  get #isOurs(): boolean {
    return this.#present !== undefined && this.#ours.has(this.#present.lease);
  }

  get #isUnsure(): boolean {
    return this.#revision < this.#atLeast;
  }

  get #isAsWanted(): boolean {
    if (this.#isUnsure) return false;
    if (this.#wanted === undefined) return !this.#isOurs && !this.#unanswered;
    const isBound = this.#present !== undefined && this.#present.lease === this.#slot.lease?.id;
    return isBound && this.#present?.value.equals(this.#wanted) === true;
  }

  /** Has what is there become what is wanted, until it is, or nothing can be done for now. */
  #wake(): void {
    if (this.#isBusy) return;
    this.#isBusy = true;
    // It rejects when it is over.
    this.#work().catch(() => {});
  }

  async #work(): Promise<void> {
    const pause = new Backoff(100, 5_000);
    while (!this.#life.signal.aborted && !this.#rests()) {
      const wanted = this.#wanted;
      try {
        await (this.#isUnsure ? this.#read() : this.#write());
        pause.reset();
      } catch (error) {
        await this.#failed(error, wanted, pause);
      }
    }
    this.#isBusy = false;
  }

  async #failed(error: unknown, wanted: Buffer | undefined, pause: Backoff): Promise<void> {
    // With another lease it goes on at once.
    if (this.#life.signal.aborted || isLoss(error) || leaseIsGone(error)) return;
    if (error instanceof ClosedError) return this.close();
    // What is wanted by now may be taken.
    if (wanted !== this.#wanted) return;
    this.#settle((wait) => wait.reject(error));
    if (this.#user.reverts && wasRefused(error)) this.#wanted = this.#granted ?? wanted;
    this.#user.failed(error);
    await this.#session.clock.sleep(pause.next(), this.#life.signal);
  }

  /** Whether nothing is to be done for now; tells what that comes to. */
  #rests(): boolean {
    const isThere = this.#wanted !== undefined;
    if (this.#isAsWanted) {
      const isNews = isThere && !this.#stands;
      this.#stands = isThere;
      this.#granted = this.#wanted;
      this.#settle((wait) => wait.resolve(this.#revision));
      if (isNews) this.#user.stands(this.#revision);
      // Who was told may want something else.
      return this.#isAsWanted;
    }
    if (!isThere || this.#isUnsure || this.#isOurs || !this.#present) return false;
    const error = new ConflictError(`${this.key} is somebody else's`);
    if (!this.#user.waits) this.#settle((wait) => wait.reject(error));
    if (!this.#isTaken) this.#user.taken(this.#present);
    [this.#isTaken, this.#isMissed] = [true, false];
    return true;
  }

  #settle(how: (wait: Deferred<bigint>) => void): void {
    for (const wait of this.#waits) how(wait);
    this.#waits.clear();
  }

  async #read(): Promise<void> {
    const { store, clock } = this.#session;
    const { revision, kvs } = await persist(
      (limit) => store.read({ key: this.key }, limit),
      this.#life.signal,
      clock,
    );
    this.#learn(revision, kvs[0]);
  }

  async #write(): Promise<void> {
    const life = this.#life.signal;
    const lease = await this.#slot.take(life);
    life.throwIfAborted();
    if (this.#isMissed) await this.#tellMissed(lease);
    const { key } = this;
    const [value, before] = [this.#wanted, this.#present];
    const fence = lease.fenceIn(this.#session.store);
    const { standing } = fence;
    const remove = [...(this.#isOurs ? [{ delete: { key } }] : []), ...this.#raise(lease)];
    const txn: Txn = {
      compare: [{ key, target: 'mod', to: before?.modRevision ?? 0n }, standing],
      success: value === undefined ? remove : [{ put: { key, value, lease: lease.id } }],
      failure: [{ range: { key } }, fence.read],
    };
    if (value !== undefined) this.#ours.add(lease.id);
    // What takes it away is wanted by who closes it, too.
    const scope = waitScope(value === undefined ? {} : { signal: life }, lease.signal, lease.clock);
    try {
      this.#sent = this.#commit(lease, txn, scope.signal);
      const { succeeded, revision, replies } = await this.#sent;
      if (!succeeded) fence.learn(replies[1], standing);
      else if (value === undefined) [this.#unanswered, this.#stands] = [false, false];
      // Those before it have been lost, and what is out under them is refused.
      else this.#ours = new Set([lease.id]);
      const written = value && pairOf(key, value, lease.id, revision, before);
      this.#learn(revision, succeeded ? written : replies[0]?.kvs[0]);
    } finally {
      scope.dispose();
    }
  }

  #lost(reason: LossReason): void {
    const isNews = this.#stands || this.#isMissed;
    [this.#stands, this.#isMissed] = [false, false];
    if (isNews && !this.#life.signal.aborted) this.#user.lost(reason);
    this.#wake();
  }

  /** It went: alone, or with its lease. */
  async #tellMissed(lease: Lease): Promise<void> {
    await lease.ask();
    for (const { signal } of [lease, this.#life]) signal.throwIfAborted();
    this.#isMissed = false;
    this.#user.lost('deleted');
  }

  /** What was there at a revision. */
  #learn(revision: bigint, present: KeyValue | undefined): void {
    if (revision < this.#revision) return;
    this.#revision = revision;
    this.#present = present;
    if (revision > 0n && this.#atLeast < this.#since) this.#atLeast = this.#since - 1n;
    if (this.#isOurs) return;
    this.#isMissed ||= this.#stands && this.#wanted !== undefined;
    this.#stands = false;
    if (!present) this.#isTaken = false;
  }

  #follow(): StandingWatch {
    return new StandingWatch(this.#session, this.key, {
      heard: (revision, present) => {
        this.#learn(revision, present);
        this.#wake();
      },
      live: (since) => {
        this.#since = since;
        this.#learn(this.#revision, this.#present);
        this.#wake();
      },
      failed: (error) => this.#user.failed(error),
      closed: () => void this.close(),
    });
  }

  /** Commits what may be applied twice, until there is an answer. */
  async #commit(lease: Lease, txn: Txn, signal: AbortSignal): Promise<TxnReply> {
    let isUnanswered = this.#unanswered;
    // Until it is known; also if the wait for it is given up.
    this.#unanswered = true;
    const send = (limit: CallOptions): Promise<TxnReply> =>
      lease.commit(this.#session.store, txn, limit, () => {
        isUnanswered = true;
      });
    const reply = await persist(send, signal, lease.clock, lease.limitOf);
    this.#unanswered = isUnanswered;
    return reply;
  }

  /** Shuts out what is still out. */
  #raise(lease: Lease): Operation[] {
    return this.#unanswered ? [lease.fenceIn(this.#session.store).raise] : [];
  }
}
