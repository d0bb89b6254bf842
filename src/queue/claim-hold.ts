import { Hold, wasApplied } from '../core/line/hold.js';
import type { Inquest } from '../core/line/inquest.js';
import { fieldsIn, ownerOf } from '../core/line/ticket.js';
import { RefusedError } from '../core/store/errors.js';
import { keyId } from '../core/store/keys.js';
import type {
  CallOptions,
  KeyValue,
  Operation,
  Store,
  Txn,
  TxnReply,
  WatchEvent,
} from '../core/store/store.js';
import { persist } from '../core/time/persist.js';
import type { Claim } from './claim.js';
import { JobCancelledError } from './job-cancelled-error.js';
import { allOf, besides, cancelOf } from './queue-keys.js';

/** Where there are many jobs, the end of each waits for others: a watch for each would make that worse. In milliseconds. */
const watchAfter = 1_000;

/** What there was of a job at a revision: its record, and what is beside it. */
export interface JobKeys {
  readonly kvs: readonly KeyValue[];
  readonly revision: bigint;
}

/** A job that is worked on: what is done with it is done only while it is. */
export class ClaimHold extends Hold {
  /** The record of the job. */
  readonly record: string;
  readonly #claim: Claim;
  readonly #cancellation: Cancelled;

  /** @param onGone - called when the job is claimed by us no more */
  constructor(store: Store, claim: Claim, onGone: () => void) {
    const cancellation = new Cancelled(store, claim);
    super(store, {
      place: claim,
      revision: claim.token,
      get watched() {
        return [besides(claim.record), ...claim.keys.slice(1).map((key) => ({ key }))];
      },
      watchAfter,
      verify: false,
      inquest: cancellation,
      onLost: () => {
        cancellation.forget();
        onGone();
      },
      onRelease: () => {},
      onGone,
    });
    this.record = claim.record;
    this.#claim = claim;
    this.#cancellation = cancellation;
  }

  /** Why it was lost, if it was cancelled. */
  get cancellation(): JobCancelledError | undefined {
    return this.lost === 'deleted' ? this.#cancellation.cause : undefined;
  }

  /** Looks whether it is ours still: a mark says that the job was cancelled. */
  suspect(): void {
    // Where that fails, its own watch tells.
    this.guarded({ range: { key: this.key, keysOnly: true } }, {}).catch(() => {});
  }

  /**
   * Does this, and the claim is over: `txn` deletes it. Goes on through outages for as long as it is held.
   *
   * @returns `false` if a condition in `txn` did not hold: then nothing was done
   * @throws HoldLostError if it is held no more, UnavailableError if that was not known in time; nothing was done, or `outcome` says.
   */
  conclude(txn: Txn): Promise<boolean> {
    const success = this.ending(txn.success);
    // It is used now: what is left counts from here.
    this.touch();
    return this.endWith({ ...txn, success }, { timeout: Math.max(1, this.remaining()) });
  }

  /**
   * Does this, and the claims of all of these are over: it is the `ending` of each. Goes on through outages for as long as all are held.
   *
   * @returns `false` if one of them is not held any more: then nothing was done
   * @throws UnavailableError if that was not known in time; nothing was done, or `outcome` says.
   */
  static async concludeAll(
    holds: readonly ClaimHold[],
    success: readonly Operation[],
  ): Promise<boolean> {
    const [first] = holds;
    const isOut = (hold: ClaimHold): boolean =>
      hold.store !== first?.store || hold.remaining() === 0;
    if (!first || holds.some(isOut)) return false;
    for (const hold of holds) hold.touch();
    const timeout = Math.max(1, Math.min(...holds.map((hold) => hold.remaining())));
    const compare = holds.flatMap((hold) => hold.isOurs);
    const step = first.store.commit({ compare, success }, { timeout, exactlyOnce: true });
    const isDone = step.then(({ succeeded }) => succeeded, wasApplied);
    for (const hold of holds) hold.endsBy(isDone);
    if (await isDone) for (const hold of holds) hold.endedBy(isDone);
    else await step;
    return await isDone;
  }

  /** These steps, with which the claim goes, and what goes with that. */
  ending(steps: readonly Operation[] = []): Operation[] {
    return [...steps, ...this.#claim.keys.slice(1).map((key) => ({ delete: { key } }))];
  }

  /**
   * Gives the job up, for others to take: who works on it is told by the signal. Does `operations` with it; where etcd refuses
   * those, the claim goes all the same.
   *
   * @returns the keys of the job, as they are then, by which it is claimed by us no more; `undefined` where that was refused
   * @throws the reason of the lease's signal: it goes with the lease.
   */
  async giveBack(operations: readonly Operation[]): Promise<JobKeys | undefined> {
    this.lose('closed');
    const { lease, isOurs, keys, record } = this.#claim;
    // It may have gone before: by an attempt that got no answer, among others.
    const look = { range: { ...allOf(record), keysOnly: true } };
    const success = [...operations, ...keys.map((key) => ({ delete: { key } })), look];
    // If it was cancelled meanwhile, nobody is there to be told.
    const failure = [{ delete: { key: cancelOf(record) } }, look];
    let sent: Promise<TxnReply> | undefined;
    const send = (limit: CallOptions): Promise<TxnReply> =>
      (sent = lease.commit(this.store, { compare: isOurs, success, failure }, limit));
    try {
      const { revision, replies } = await persist(send, lease.signal, lease.clock, lease.limitOf);
      this.#claim.removed(true);
      return { kvs: replies.at(-1)?.kvs ?? [], revision };
    } catch (error) {
      this.#claim.withdraw();
      // Who closes the session waits for it before that gives back its leases.
      if (lease.fate.ended === 'closed') await sent?.catch(() => {});
      if (!(error instanceof RefusedError)) throw error;
      return undefined;
    }
  }
}

/** Whether a job was cancelled while it was worked on here. */
class Cancelled implements Inquest {
  cause: JobCancelledError | undefined;
  readonly #store: Store;
  readonly #claim: Claim;

  constructor(store: Store, claim: Claim) {
    this.#store = store;
    this.#claim = claim;
  }

  heard(events: readonly WatchEvent[]): void {
    for (const { type, kv } of events) {
      if (type === 'put' && keyId(kv.key) === this.#mark) this.#learn(kv.value);
    }
  }

  async look(): Promise<void> {
    const read = this.#ask((limit) => this.#store.read({ key: this.#mark }, limit));
    // Where the session ends meanwhile, that is why it is lost.
    const reply = await read.catch(() => undefined);
    if (reply?.kvs[0]) this.#learn(reply.kvs[0].value);
  }

  /** It was heard of. */
  forget(): void {
    if (!this.cause) return;
    const success = [{ delete: { key: this.#mark } }];
    this.#ask((limit) => this.#store.commit({ success }, limit)).catch(() => {});
  }

  /** @throws once the session has ended, with which the mark goes */
  #ask<Reply>(call: (limit: CallOptions) => Promise<Reply>): Promise<Reply> {
    const { signal, clock } = this.#claim.lease;
    return persist(call, signal, clock);
  }

  get #mark(): string {
    return cancelOf(this.#claim.record);
  }

  #learn(value: Uint8Array): void {
    const { reason, by, id } = fieldsIn(value);
    this.cause = new JobCancelledError(String(id), String(reason), ownerOf(by));
  }
}
