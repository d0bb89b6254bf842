import { HoldLostError, RefusedError, UnavailableError } from './errors.js';
import type { Data } from './keys.js';
import type { LineSpec } from './line.js';
import { persist } from './persist.js';
import type { Session } from './session.js';
import type { Compare, KeyValue, Operation, Txn, TxnReply } from './store.js';

/** What a contender knows of the line at one revision. */
export interface View {
  readonly revision: bigint;
  /** The keys next before ours, newest first: as many as there are slots, or all there are. */
  readonly ahead: readonly Uint8Array[];
}

/** One place in a line: a key with a name of its own, so that every step can be repeated and undone. */
export class Contender {
  readonly key: string;
  /** The create revision of `key`: our place. 0 before we have joined. */
  token = 0n;
  /** Whether a write of `key` got no answer, and might still arrive. */
  unanswered = false;
  readonly #session: Session;
  readonly #spec: LineSpec;
  readonly #value: Data;
  #sent: Promise<unknown> | undefined;

  constructor(session: Session, spec: LineSpec, value: Data) {
    this.#session = session;
    this.#spec = spec;
    this.#value = value;
    this.key = session.ownKey(spec.folder);
  }

  /** Puts our key, and reads who was there before in the same transaction. */
  async join(signal: AbortSignal): Promise<View> {
    const { reply, ours } = await this.#put([], [this.#rivalsBefore()], signal);
    if (reply.succeeded) {
      this.token = reply.revision;
      return viewOf(reply);
    }
    this.token = ours?.createRevision ?? 0n;
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
    return undefined;
  }

  /**
   * Reads who is before us, together with the proof that our key is still ours.
   *
   * @throws HoldLostError if it is not.
   */
  async look(signal: AbortSignal): Promise<View> {
    const { store, clock } = this.#session;
    const txn: Txn = {
      compare: [{ key: this.key, target: 'create', to: this.token }],
      success: [this.#rivalsBefore(this.token)],
    };
    const reply = await persist((limit) => store.commit(txn, limit), signal, clock);
    if (!reply.succeeded) throw new HoldLostError(`place in line ${this.key}`, 'deleted');
    return viewOf(reply);
  }

  /** Gives our place up, in the background: until our key is proven gone for good, or the session has ended. */
  withdraw(): void {
    if (this.#sent) this.#withdraw(this.#sent).catch(() => {});
  }

  async #withdraw(sent: Promise<unknown>): Promise<void> {
    const { store, signal, clock, fence } = this.#session;
    await sent.catch(() => {});
    const remove: Operation = { delete: { key: this.key } };
    const success = this.unanswered ? [remove, fence.raise] : [remove];
    await persist(
      (limit) => store.commit({ success }, { ...limit, idempotent: true }),
      signal,
      clock,
    );
  }

  /** Puts our key on conditions, once: finds it again if an attempt was applied whose answer was lost. */
  async #put(
    conditions: Compare[],
    reads: Operation[],
    signal: AbortSignal,
  ): Promise<{ reply: TxnReply; ours: KeyValue | undefined }> {
    const { store, clock, lease, fence, id } = this.#session;
    const send = async (limit: { timeout?: number }): Promise<TxnReply> => {
      const txn: Txn = {
        compare: [{ key: this.key, target: 'create', to: 0n }, fence.standing, ...conditions],
        success: [...reads, { put: { key: this.key, value: this.#value, lease: id } }],
        failure: [{ range: { key: this.key, keysOnly: true } }, fence.read],
      };
      try {
        return await store.commit(txn, limit);
      } catch (error) {
        if (error instanceof UnavailableError) this.unanswered ||= error.outcome === 'unknown';
        throw error;
      }
    };
    for (;;) {
      try {
        const reply = await persist((limit) => (this.#sent = send(limit)), signal, clock);
        const [ours] = reply.succeeded ? [] : (reply.replies[0]?.kvs ?? []);
        if (reply.succeeded || ours || !fence.learn(reply.replies[1])) return { reply, ours };
      } catch (error) {
        if (error instanceof RefusedError && /lease not found/.test(error.message)) {
          lease.lose('expired');
          signal.throwIfAborted();
        }
        throw error;
      }
    }
  }

  #rivalsBefore(token?: bigint): Operation {
    const { rivals, slots } = this.#spec;
    const older = token === undefined ? {} : { maxCreateRevision: token - 1n };
    const newestFirst = { sortBy: 'create', order: 'descending' } as const;
    return { range: { ...rivals, ...older, ...newestFirst, limit: slots, keysOnly: true } };
  }
}

function viewOf({ revision, replies }: TxnReply): View {
  return { revision, ahead: replies[0]?.kvs.map(({ key }) => key) ?? [] };
}
