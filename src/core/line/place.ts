import type { Fence } from '../session/fence.js';
import type { Lease } from '../session/lease.js';
import { ClosedError, HoldLostError } from '../store/errors.js';
import type { Data } from '../store/keys.js';
import type {
  CallOptions,
  CommitOptions,
  Compare,
  KeyValue,
  Operation,
  Store,
  Txn,
  TxnReply,
} from '../store/store.js';
import { Backoff } from '../time/backoff.js';
import { persist } from '../time/persist.js';

/** What a hold needs to know of the keys that it is, and does with them. */
export type HeldPlace = Pick<
  Place,
  | 'lease'
  | 'token'
  | 'key'
  | 'keys'
  | 'isOurs'
  | 'along'
  | 'removal'
  | 'removed'
  | 'leave'
  | 'keepLast'
  | 'withdraw'
>;

/** What came of putting keys. */
interface Put {
  readonly reply: TxnReply;
  /** Is there if an earlier attempt was applied. */
  readonly ours: KeyValue | undefined;
}

/** Keys that are ours alone, put and deleted together: with names of their own, so that every step can be repeated and undone. */
export class Place {
  #keys: readonly [string, ...string[]];
  /** The create revision of the keys. 0 before they were put. */
  token = 0n;
  /** Whether a write of the keys got no answer, and might still arrive. */
  unanswered = false;
  /** What they hang on. */
  readonly lease: Lease;
  /** What `removal` does too. */
  readonly along: Operation[] = [];
  /** When the last request that showed them to be there was sent, by the lease's clock. */
  seenAt = 0;
  readonly #store: Store;
  readonly #fence: Fence;
  /** What the keys have once they are put. */
  protected value: Data;
  #sent: Promise<unknown> | undefined;
  /** Whether what becomes of the keys' names is settled: given back twice, they would be two others' at the same time. */
  #isGivenUp = false;

  /** @param folders - where to put a key each: one at least */
  constructor(lease: Lease, store: Store, folders: readonly string[], value: Data) {
    this.lease = lease;
    this.#store = store;
    this.#fence = lease.fenceIn(store);
    this.value = value;
    this.#keys = folders.map((folder) => lease.takeKey(folder)) as [string, ...string[]];
  }

  /** All of them. */
  get keys(): readonly [string, ...string[]] {
    return this.#keys;
  }

  /** The key that stands for all. */
  get key(): string {
    return this.keys[0];
  }

  /** The condition that all keys are there and ours. */
  get isOurs(): Compare[] {
    return this.keys.map((key) => ({ key, target: 'create', to: this.token }));
  }

  /** Deletes the keys if they are ours. */
  get removal(): Txn {
    const remove = this.keys.map((key) => ({ delete: { key } }));
    const { raise } = this;
    const success = [...remove, ...this.along, ...raise];
    return { compare: this.isOurs, success, failure: raise };
  }

  /** What any removal does besides: where a put of the keys is still out, it has no way to come back. */
  get raise(): Operation[] {
    return this.unanswered ? [this.#fence.raise] : [];
  }

  /** `removal` was applied, and deleted the keys; or it did not find all of them. */
  removed(all: boolean): void {
    if (this.#isGivenUp) return;
    if (all || this.#isOver) this.giveBackKeys();
    else this.withdraw();
  }

  /** One of the keys was deleted by somebody else. */
  leave(): void {
    if (this.#isGivenUp) return;
    if (this.#isOver) this.lease.drop(this.key);
    else this.withdraw();
  }

  /** Whether nothing is left where somebody else deleted a key: there is no other, and none can have been put once more since. */
  get #isOver(): boolean {
    return this.keys.length === 1 && !this.unanswered;
  }

  /**
   * Gives all keys up but the last.
   *
   * @throws HoldLostError if that is gone, SessionLostError if the lease is.
   */
  async keepLast(signal: AbortSignal): Promise<void> {
    const keys = this.#keys;
    const given = keys.slice(0, -1);
    // A watch may tell of the deletion before its answer comes.
    this.#keys = [keys.at(-1) as string];
    const remove: Operation[] = given.map((key) => ({ delete: { key } }));
    remove.push(...this.raise);
    // Nobody else deletes them where the last was given up meanwhile.
    const txn = { compare: this.isOurs, success: remove, failure: remove };
    let reply: TxnReply;
    try {
      reply = await this.commit(txn, signal);
    } catch (error) {
      // They may be there still, and are to be given up with the last.
      this.#keys = keys;
      throw error;
    }
    // A deletion that got no answer might still come, and meet the key of somebody else.
    for (const key of given) this.lease.drop(key);
    if (!reply.succeeded) throw await this.lostPlace(signal);
  }

  /** Gives the place up, in the background: until the keys are proven gone for good, or the session has ended. */
  withdraw(): void {
    if (this.#isGivenUp) return;
    this.#isGivenUp = true;
    this.#withdraw().catch(() => {});
  }

  /** Lets the names of the keys be used again: they are gone, and no request on its way can touch them. */
  giveBackKeys(): void {
    if (this.#isGivenUp) return;
    this.#isGivenUp = true;
    this.#giveBackKeys();
  }

  #giveBackKeys(): void {
    for (const key of this.keys) this.lease.giveBack(key);
  }

  /** All that may be there because of us, which goes when we withdraw. */
  protected get traces(): readonly string[] {
    return this.keys;
  }

  /** Puts the keys on conditions, once: finds them again if an attempt was applied whose answer was lost. */
  protected async put(
    conditions: readonly Compare[],
    reads: readonly Operation[],
    signal: AbortSignal,
  ): Promise<Put> {
    const fence = this.#fence;
    for (;;) {
      const { standing } = fence;
      const { compare, success, failure } = this.putting(conditions, reads);
      const reply = await this.commit(
        { compare: [standing, ...compare], success, failure: [...failure, fence.read] },
        signal,
      );
      if (reply.succeeded) return { reply, ours: undefined };
      const [ours] = reply.replies[0]?.kvs ?? [];
      // Others of this session may have learned of the same raise meanwhile: what counts is what we sent.
      if (ours || !fence.learn(reply.replies[1], standing)) return { reply, ours };
    }
  }

  /** Puts the keys of several places on one lease in one step, each by its `putting`. Gives nothing where it is to be tried again. */
  protected static async putAll(
    places: readonly [Place, ...Place[]],
    puttings: readonly Txn[],
    signal: AbortSignal,
    options: CommitOptions,
  ): Promise<TxnReply | undefined> {
    const fence = places[0].#fence;
    const { standing } = fence;
    const success = puttings.map((txn) => ({ txn }));
    const txn = { compare: [standing], success, failure: [fence.read] };
    const reply = await Place.commitFor(places, txn, signal, options);
    if (reply.succeeded) return reply;
    fence.learn(reply.replies[0], standing);
    return undefined;
  }

  /** That no key was put yet. */
  protected get absent(): Compare {
    return { key: this.key, target: 'create', to: 0n };
  }

  /** One try to put the keys, but for the fence: where it fails, it reads the first. */
  protected putting(conditions: readonly Compare[], reads: readonly Operation[]): Required<Txn> {
    const { id, clock } = this.lease;
    const { key, value } = this;
    this.seenAt = clock.now();
    const puts = this.keys.map((each) => ({ put: { key: each, value, lease: id } }));
    return {
      compare: [this.absent, ...conditions],
      success: [...reads, ...puts],
      failure: [{ range: { key } }],
    };
  }

  /** Commits what may be applied twice, until there is an answer. */
  protected commit(txn: Txn, signal: AbortSignal): Promise<TxnReply> {
    return Place.commitFor([this], txn, signal);
  }

  /** The same for several places on one lease. */
  protected static commitFor(
    places: readonly [Place, ...Place[]],
    txn: Txn,
    signal: AbortSignal,
    options: CommitOptions = {},
  ): Promise<TxnReply> {
    const [first] = places;
    const { lease } = first;
    const onUnanswered = (): void => {
      for (const place of places) place.unanswered = true;
    };
    const send = (limit: CallOptions): Promise<TxnReply> => {
      const sent = lease.commit(first.#store, txn, { ...options, ...limit }, onUnanswered);
      for (const place of places) place.#sent = sent;
      return sent;
    };
    return persist(send, signal, lease.clock, lease.limitOf);
  }

  /** What to throw where `isOurs` does not hold. */
  async lostPlace(signal: AbortSignal): Promise<HoldLostError> {
    // Rather than our key alone, the lease may be gone.
    await this.lease.ask();
    signal.throwIfAborted();
    return new HoldLostError(`place in line ${this.key}`, 'deleted');
  }

  async #withdraw(): Promise<void> {
    const { signal, clock } = this.lease;
    // Once we have joined, what is on its way only reads.
    if (this.token === 0n) await this.#sent?.catch(() => {});
    const remove: Operation[] = this.traces.map((key) => ({ delete: { key } }));
    const success = [...remove, ...this.raise];
    let tries = 0;
    const commit = (limit: CallOptions): Promise<TxnReply> => {
      tries += 1;
      return this.lease.commit(this.#store, { success }, limit);
    };
    const pause = new Backoff(100, 5_000);
    for (;;) {
      try {
        await persist(commit, signal, clock, this.lease.limitOf);
        // A deletion that got no answer might still come, and meet the key of somebody else.
        if (tries === 1) this.#giveBackKeys();
        else for (const key of this.keys) this.lease.drop(key);
        return;
      } catch (error) {
        if (signal.aborted || error instanceof ClosedError) return;
        // etcd refuses, for want of space or of a permission: that may pass, and others wait behind us.
        await this.#store.commit({ success: remove }).catch(() => {});
        await clock.sleep(pause.next(), signal);
      }
    }
  }
}
