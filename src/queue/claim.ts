import { Place } from '../core/line/place.js';
import { ticketOf } from '../core/line/ticket.js';
import type { Lease } from '../core/session/lease.js';
import type { Session } from '../core/session/session.js';
import { LimitError } from '../core/store/errors.js';
import { keyId, prefixRange } from '../core/store/keys.js';
import { wasRefused } from '../core/store/refusals.js';
import type {
  Compare,
  KeyValue,
  Operation,
  OperationReply,
  TxnReply,
} from '../core/store/store.js';
import type { Slot } from './groups.js';
import { barsOf, cancelOf, claimsOf, triesOf } from './queue-keys.js';
import type { Ready } from './ready.js';

/** With more claims in one request there is no room in it for as many ends of jobs: what is never joined need not be looked at for that. */
const few = 50;

/** What a claim found. */
export interface Claimed {
  /** The record of the job. */
  readonly record: KeyValue;
  /** How often it was claimed since that was written, this time included. */
  readonly tries: number;
}

/** Nothing where somebody else was faster. */
export type Outcome = Claimed | undefined;

/** A place at a job: whoever has one works on it. */
export class Claim extends Place {
  /** The record of the job. */
  readonly record: string;
  readonly #modified: bigint;
  readonly #slot: Slot | undefined;

  constructor(lease: Lease, { store, owner }: Session, { key, modified }: Ready, slot?: Slot) {
    super(lease, store, [claimsOf(key), ...(slot ? [slot.folder] : [])], ticketOf(owner));
    this.record = key;
    this.#modified = modified;
    this.#slot = slot;
  }

  /**
   * Claims several jobs in one step, each as `take` does, and whatever becomes of the others. What was refused together, or
   * given no answer, is claimed one by one.
   *
   * @throws the reason of `signal`.
   */
  static async takeAll(
    claims: readonly [Claim, ...Claim[]],
    signal: AbortSignal,
  ): Promise<(Outcome | Promise<Outcome>)[]> {
    const alone = (claim: Claim): Promise<Outcome> => claim.take(signal);
    if (claims.length === 1) return claims.map(alone);
    const puttings = claims.map((claim) => claim.putting(claim.#conditions, claim.#steps));
    let reply: TxnReply | undefined;
    try {
      reply = await Place.putAll(claims, puttings, signal, { batch: claims.length <= few });
    } catch (error) {
      if (signal.aborted || !(wasRefused(error) || error instanceof LimitError)) throw error;
    }
    if (!reply) return claims.map(alone);
    const { revision, replies } = reply;
    return claims.map((claim, i) => {
      const { succeeded, replies: found } = (replies[i] as Required<OperationReply>).txn;
      if (succeeded) return claim.#took(revision, found);
      // One that is there is ours, from an earlier attempt.
      return found[0]?.kvs[0] && alone(claim);
    });
  }

  /**
   * Claims the job if nobody else has, it is as it was seen to be, and the slot is free. Gives `undefined` otherwise: then nothing was written.
   *
   * @throws the reason of `signal`; HoldLostError if somebody deleted the claim.
   */
  async take(signal: AbortSignal): Promise<Outcome> {
    const { reply, ours } = await this.put(this.#conditions, this.#steps, signal);
    if (reply.succeeded) return this.#took(reply.revision, reply.replies);
    if (!ours) return undefined;
    // An earlier attempt was applied.
    this.token = ours.createRevision;
    const look = await this.commit({ compare: this.isOurs, success: [this.#read] }, signal);
    if (!look.succeeded) throw await this.lostPlace(signal);
    return this.#found(look.replies, 0);
  }

  /** Once it was ours, it may be cancelled until we have withdrawn: then nobody is there any more to be told. */
  protected override get traces(): readonly string[] {
    return this.token > 0n ? [...this.keys, cancelOf(this.record)] : this.keys;
  }

  protected override get absent(): Compare {
    // Nor a claim of others, nor what keeps it from being claimed.
    return { ...barsOf(this.record), target: 'create', to: 0n };
  }

  #took(revision: bigint, replies: readonly OperationReply[]): Outcome {
    this.token = revision;
    return this.#found(replies, 1);
  }

  /** What was read, before so many claims that it does not show. */
  #found([reply]: readonly OperationReply[], more: number): Outcome {
    const [record, ...beside] = reply?.kvs ?? [];
    if (!record || keyId(record.key) !== this.record) return undefined;
    const last = beside.at(-1);
    const isTold = last !== undefined && keyId(last.key) === triesOf(this.record);
    return { record, tries: (isTold ? Number(last.version) : 0) + more };
  }

  get #conditions(): Compare[] {
    const conditions: Compare[] = [{ key: this.record, target: 'mod', to: this.#modified }];
    const folder = this.#slot?.folder;
    if (folder) conditions.push({ ...prefixRange(folder), target: 'create', to: 0n });
    return conditions;
  }

  /** The record, and how often it was claimed, in one range: etcd does that in half the time. */
  get #read(): Operation {
    const tries = triesOf(this.record);
    return { range: { key: this.record, end: `${tries}\0` } };
  }

  get #steps(): Operation[] {
    return [this.#read, { put: { key: triesOf(this.record), value: '' } }];
  }
}
