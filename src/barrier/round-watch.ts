import { presenceIn } from '../core/line/ticket.js';
import type { Owner, Session } from '../core/session/session.js';
import { keyId, prefixRange } from '../core/store/keys.js';
import type {
  CallOptions,
  Store,
  TxnReply,
  Watch,
  WatchEvent,
  WatchListener,
} from '../core/store/store.js';
import { deferred } from '../core/time/deferred.js';
import { persist } from '../core/time/persist.js';
import { abortable } from '../core/time/signals.js';
import type { Party } from './party.js';
import { type Attendance, commitTurn, isOver, type Round, type RoundRecord } from './round.js';

/**
 * Waits for the end of one round. What is watched is the one key that says what became of the round, and who goes: of those who
 * come nobody is told, so that a round of many parties costs each of them a few messages.
 */
export class RoundWatch implements WatchListener {
  readonly #session: Session;
  readonly #round: Round;
  readonly #breaks: boolean;
  readonly #party: Party | undefined;
  readonly #watches: readonly Watch[];
  /** The revision of the last event. */
  #seen = 0n;
  /** What the round's key had by that. */
  #record: RoundRecord | undefined;
  /** Who went last. */
  #gone: Owner | undefined;
  #failure: Error | undefined;
  #news = deferred<void>();

  /**
   * @param breaks - whether the round breaks when somebody leaves it
   * @param party - who waits, if in the round
   */
  constructor(session: Session, round: Round, breaks: boolean, party: Party | undefined) {
    this.#session = session;
    this.#round = round;
    this.#breaks = breaks;
    this.#party = party;
    const { store } = session;
    this.#watches = [store.watch({ key: round.key }, this), ...this.#departures(store)];
  }

  /**
   * Waits until the round is over, and breaks it where a party has left. Gives nothing when that is not known any more, or the
   * round has room for somebody who is not in it.
   *
   * @throws HoldLostError if the party is in it no more; SessionLostError if the lease is gone.
   */
  async ending(signal: AbortSignal): Promise<RoundRecord | undefined> {
    const party = this.#party;
    await abortable(Promise.all(this.#watches.map(({ ready }) => ready)), signal);
    for (;;) {
      if (this.#record?.tripped) return this.#record;
      const { record, joined, present, isIn, revision } = await this.#look(signal);
      if (!record || isOver(record)) {
        if (party && !record?.tripped && !(record && isIn)) throw await party.lostPlace(signal);
        return record;
      }
      if (this.#breaks && joined > present) {
        const owner = party && !isIn ? this.#session.owner : this.#gone;
        await this.#break(owner, signal);
        continue;
      }
      if (party && !isIn) throw await party.lostPlace(signal);
      if (!party && joined < this.#round.count) return undefined;
      await this.#changed(revision, signal);
    }
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
  }

  events(events: readonly WatchEvent[]): void {
    const own = keyId(this.#round.key);
    for (const { type, kv, previous } of events) {
      if (kv.modRevision > this.#seen) this.#seen = kv.modRevision;
      if (keyId(kv.key) !== own) this.#gone = previous && presenceIn(previous.value).owner;
      else this.#record = type === 'put' ? this.#round.recordIn(kv) : undefined;
    }
    this.#news.resolve();
  }

  gap(revision: bigint): void {
    if (revision > this.#seen) this.#seen = revision;
    this.#news.resolve();
  }

  closed(error: Error): void {
    this.#failure = error;
    this.#news.resolve();
  }

  #departures(store: Store): Watch[] {
    const [round, party] = [this.#round, this.#party];
    const options = { only: 'delete', previous: true } as const;
    if (this.#breaks) return [store.watch(prefixRange(round.parties), this, options)];
    return party ? [store.watch({ key: party.key }, this, options)] : [];
  }

  async #look(signal: AbortSignal): Promise<Attendance> {
    const { store, clock } = this.#session;
    const { key = this.#round.key, token = 0n } = this.#party ?? {};
    const success = this.#round.look(key);
    const read = (limit: CallOptions): Promise<TxnReply> => store.commit({ success }, limit);
    return this.#round.attendanceIn(await persist(read, signal, clock), token);
  }

  async #changed(since: bigint, signal: AbortSignal): Promise<void> {
    while (this.#seen <= since && !this.#failure) {
      this.#news = deferred<void>();
      await abortable(this.#news.promise, signal);
    }
    if (this.#failure) throw this.#failure;
  }

  async #break(owner: Owner | undefined, signal: AbortSignal): Promise<void> {
    const txn = this.#round.end({ broken: { reason: 'lost', ...(owner && { owner }) } });
    await commitTurn(this.#session, txn, signal);
  }
}
