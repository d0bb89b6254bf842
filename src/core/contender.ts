import { Backoff } from './backoff.js';
import { ClosedError, HoldLostError, UnavailableError } from './errors.js';
import type { Fence } from './fence.js';
import { type Data, keyId } from './keys.js';
import type { Lease } from './lease.js';
import type { LineSpec } from './line.js';
import { persist } from './persist.js';
import type { CallOptions, Compare, KeyValue, Operation, Store, Txn, TxnReply } from './store.js';

/** What a contender knows of the line at one revision, at which its own key was there. Kept up to date in place. */
export interface View {
  revision: bigint;
  /** The rivals before us, by `keyId`: all of them or, in a long line, those nearest to us. */
  readonly ahead: Set<string>;
  /** The one right before us, when the line was read. */
  readonly nearest: string | undefined;
  /** Whether that is all of them. */
  readonly complete: boolean;
}

/** So many rivals are listed, besides as many as there are slots; more take time on both ends. */
export const listed = 8;

/** One place in a line: a key with a name of its own, so that every step can be repeated and undone. */
export class Contender {
  readonly key: string;
  /** The create revision of `key`: our place. 0 before we have joined. */
  token = 0n;
  /** Whether a write of `key` got no answer, and might still arrive. */
  unanswered = false;
  /** What our key hangs on. */
  readonly lease: Lease;
  readonly #store: Store;
  readonly #fence: Fence;
  readonly #spec: LineSpec;
  readonly #value: Data;
  /** When the last request that showed our key to be there was sent, by the lease's clock. */
  seenAt = 0;
  #sent: Promise<unknown> | undefined;

  constructor(lease: Lease, store: Store, spec: LineSpec, value: Data) {
    this.lease = lease;
    this.#store = store;
    this.#fence = lease.fenceIn(store);
    this.#spec = spec;
    this.#value = value;
    this.key = lease.takeKey(spec.folder);
  }

  /** Puts our key, and reads who was there before in the same transaction. */
  async join(signal: AbortSignal): Promise<View> {
    const { reply, ours } = await this.#put([], [this.#rivalsBefore()], signal);
    if (reply.succeeded) {
      this.token = reply.revision;
      return this.#viewOf(reply);
    }
    // An earlier attempt was applied, and somebody deleted the key since.
    if (!ours) throw await this.#lostPlace(signal);
    this.token = ours.createRevision;
    return this.look(signal);
  }

  /**
   * Puts our key if there is none in the line.
   *
   * @returns the revision at which it was there, first in line; `undefined` if somebody else was
   */
  async tryJoin(signal: AbortSignal): Promise<bigint | undefined> {
    const empty: Compare = { ...this.#spec.rivals, target: 'create', to: 0n };
    const { reply, ours } = await this.#put([empty], [], signal);
    this.token = reply.succeeded ? reply.revision : (ours?.createRevision ?? 0n);
    if (this.token > 0n) return reply.revision;
    if (this.unanswered) this.withdraw();
    else this.giveBackKey();
    return undefined;
  }

  /**
   * Reads who is before us, together with the proof that our key is still ours.
   *
   * @throws HoldLostError if it is not, `SessionLostError` if the lease is gone.
   */
  async look(signal: AbortSignal): Promise<View> {
    const sent = this.lease.clock.now();
    const compare: Compare[] = [{ key: this.key, target: 'create', to: this.token }];
    const reply = await this.#commit(
      { compare, success: [this.#rivalsBefore(this.token)] },
      signal,
    );
    this.seenAt = sent;
    if (!reply.succeeded) throw await this.#lostPlace(signal);
    return this.#viewOf(reply);
  }

  /** Gives our place up, in the background: until our key is proven gone for good, or the session has ended. */
  withdraw(): void {
    this.#withdraw().catch(() => {});
  }

  /** Lets the name of our key be used again: it is gone, and no request on its way can touch it. */
  giveBackKey(): void {
    this.lease.giveBack(this.#spec.folder, this.key);
  }

  async #withdraw(): Promise<void> {
    const { signal, clock } = this.lease;
    // Once we have joined, what is on its way only reads.
    if (this.token === 0n) await this.#sent?.catch(() => {});
    const remove: Operation = { delete: { key: this.key } };
    const success = this.unanswered ? [remove, this.#fence.raise] : [remove];
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
        if (tries === 1) this.giveBackKey();
        else this.lease.drop(this.key);
        return;
      } catch (error) {
        if (signal.aborted || error instanceof ClosedError) return;
        // etcd refuses, for want of space or of a permission: that may pass, and others wait behind us.
        await this.#store.commit({ success: [remove] }).catch(() => {});
        await clock.sleep(pause.next(), signal);
      }
    }
  }

  async #lostPlace(signal: AbortSignal): Promise<HoldLostError> {
    // Rather than our key alone, the lease may be gone.
    await this.lease.ask();
    signal.throwIfAborted();
    return new HoldLostError(`place in line ${this.key}`, 'deleted');
  }

  /** Puts our key on conditions, once: finds it again if an attempt was applied whose answer was lost. */
  async #put(
    conditions: Compare[],
    reads: Operation[],
    signal: AbortSignal,
  ): Promise<{ reply: TxnReply; ours: KeyValue | undefined }> {
    const { id, clock } = this.lease;
    const fence = this.#fence;
    const absent: Compare = { key: this.key, target: 'create', to: 0n };
    const put: Operation = { put: { key: this.key, value: this.#value, lease: id } };
    const success = [...reads, put];
    const failure = [{ range: { key: this.key, keysOnly: true } }, fence.read];
    for (;;) {
      this.seenAt = clock.now();
      const { standing } = fence;
      const compare = [absent, standing, ...conditions];
      const reply = await this.#commit({ compare, success, failure }, signal);
      if (reply.succeeded) return { reply, ours: undefined };
      const [ours] = reply.replies[0]?.kvs ?? [];
      // Others of this session may have learned of the same raise meanwhile: what counts is what we sent.
      if (ours || !fence.learn(reply.replies[1], standing)) return { reply, ours };
    }
  }

  async #commit(txn: Txn, signal: AbortSignal): Promise<TxnReply> {
    const send = async (limit: CallOptions): Promise<TxnReply> => {
      try {
        return await this.lease.commit(this.#store, txn, limit);
      } catch (error) {
        if (error instanceof UnavailableError) this.unanswered ||= error.outcome === 'unknown';
        throw error;
      }
    };
    try {
      const { clock, limitOf } = this.lease;
      return await persist((limit) => (this.#sent = send(limit)), signal, clock, limitOf);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }

  #rivalsBefore(token?: bigint): Operation {
    const { rivals } = this.#spec;
    const older = token === undefined ? {} : { maxCreateRevision: token - 1n };
    const newestFirst = { sortBy: 'create', order: 'descending' } as const;
    return { range: { ...rivals, ...older, ...newestFirst, limit: this.#limit, keysOnly: true } };
  }

  #viewOf({ revision, replies }: TxnReply): View {
    const nearestFirst = replies[0]?.kvs.map(({ key }) => keyId(key)) ?? [];
    const [nearest] = nearestFirst;
    const complete = nearestFirst.length < this.#limit;
    return { revision, ahead: new Set(nearestFirst), nearest, complete };
  }

  get #limit(): number {
    return this.#spec.slots + listed;
  }
}
