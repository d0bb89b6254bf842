import { Place } from '../core/line/place.js';
import type { Lease } from '../core/session/lease.js';
import type { Data } from '../core/store/keys.js';
import type { KeyValue, OperationReply, Store } from '../core/store/store.js';
import type { Round, RoundState } from './round.js';

/** One who takes part in a round, by a key bound to the session. */
export class Party extends Place {
  readonly round: Round;

  constructor(lease: Lease, store: Store, round: Round, value: Data) {
    super(lease, store, [round.parties], value);
    this.round = round;
  }

  /**
   * Puts the key, if the round takes it.
   *
   * @param counted - whether the round is to know how many have joined, and to take no more than it waits for
   * @returns the round with us in it; `undefined` if it is over or full, or waits for another number
   * @throws HoldLostError if somebody deletes the key, SessionLostError if the lease is gone.
   */
  async join(counted: boolean, signal: AbortSignal): Promise<RoundState | undefined> {
    const { isOpen, hasRoom, arrival, attendance } = this.round;
    const conditions = counted ? [isOpen, hasRoom] : [isOpen];
    const reads = counted ? [arrival, ...attendance] : attendance;
    const { reply, ours } = await this.put(conditions, reads, signal);
    if (reply.succeeded) {
      this.token = reply.revision;
      return this.#stateIn(reply.replies, { key: Buffer.from(this.key) });
    }
    if (!ours) {
      if (this.unanswered) this.withdraw();
      else this.giveBackKeys();
      return undefined;
    }
    this.token = ours.createRevision;
    const now = await this.commit({ compare: this.isOurs, success: attendance }, signal);
    if (!now.succeeded) throw await this.lostPlace(signal);
    return this.#stateIn(now.replies);
  }

  /** Has those go on who were there first, while we are there: unless the round is over. */
  async trip(parties: readonly KeyValue[], signal: AbortSignal): Promise<void> {
    const tripped = parties
      .slice(0, this.round.count)
      .map(({ createRevision }) => String(createRevision));
    await this.commit(this.round.end({ tripped }, this.isOurs), signal);
  }

  #stateIn(replies: readonly OperationReply[], own?: Pick<KeyValue, 'key'>): RoundState {
    const keys = replies.flatMap(({ kvs }) => kvs);
    const ours = own && ({ ...own, createRevision: this.token } as KeyValue);
    return this.round.stateIn(ours ? [...keys, ours] : keys);
  }
}
