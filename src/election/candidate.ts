import { Place } from '../core/line/place.js';
import type { Lease } from '../core/session/lease.js';
import type { Compare, Operation, Store } from '../core/store/store.js';
import { type ElectionFolders, isVacant, lastPartOf, type Roll } from './roll.js';

/** A candidate of ours: its key, and that of the term which it or others may put for it. */
export class Candidate extends Place {
  /** The last part of both keys. */
  readonly name: string;
  readonly termKey: string;
  readonly #folders: ElectionFolders;
  readonly #putTerm: Operation;

  constructor(lease: Lease, store: Store, folders: ElectionFolders, value: string) {
    super(lease, store, [folders.candidates], value);
    this.name = lastPartOf(this.key);
    this.termKey = folders.terms + this.name;
    this.#folders = folders;
    this.#putTerm = { put: { key: this.termKey, value, lease: lease.id } };
  }

  /** Stands, and leads at once where there is nobody else. Gives the token of the term then. */
  async stand(signal: AbortSignal): Promise<bigint | undefined> {
    const lead: Operation = { txn: { compare: [this.#isAlone], success: [this.#putTerm] } };
    const { reply, ours } = await this.put([], [lead], signal);
    if (!reply.succeeded && !ours) throw await this.lostPlace(signal);
    this.token = ours?.createRevision ?? reply.revision;
    return reply.succeeded && reply.replies[0]?.txn?.succeeded ? reply.revision : undefined;
  }

  /** Stands if there is nobody else, and leads; writes nothing otherwise. Gives the token of the term. */
  async tryStand(signal: AbortSignal): Promise<bigint | undefined> {
    const { reply, ours } = await this.put([this.#isAlone], [this.#putTerm], signal);
    this.token = reply.succeeded ? reply.revision : (ours?.createRevision ?? 0n);
    if (this.token > 0n) return this.token;
    if (this.unanswered) this.withdraw();
    else this.giveBackKeys();
    return undefined;
  }

  /**
   * Takes the term where it is our turn: we were appointed, or nobody leads and we are the first of all who stand. Gives its
   * token.
   *
   * @throws HoldLostError if our candidacy is gone; `SessionLostError` if the lease is.
   */
  async takeTurn(roll: Roll, signal: AbortSignal): Promise<bigint | undefined> {
    const mine = roll.candidate(this.name);
    if (mine?.createRevision !== this.token) throw await this.lostPlace(signal);
    const { term } = roll;
    if (term) return term.key.toString() === this.termKey ? term.createRevision : undefined;
    if (roll.ranked[0] !== mine) return undefined;
    const compare = [isVacant(this.#folders), ...this.isOurs];
    const reply = await this.commit({ compare, success: [this.#putTerm] }, signal);
    // Otherwise the watch is about to tell why not.
    return reply.succeeded ? reply.revision : undefined;
  }

  /** Deletes both keys. */
  get end(): Operation[] {
    return [...this.traces.map((key) => ({ delete: { key } })), ...this.raise];
  }

  protected override get traces(): readonly string[] {
    return [...this.keys, this.termKey];
  }

  get #isAlone(): Compare {
    return { ...this.#folders.all, target: 'create', to: 0n };
  }
}
