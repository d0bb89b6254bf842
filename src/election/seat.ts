import type { HeldPlace } from '../core/line/place.js';
import type { Lease } from '../core/session/lease.js';
import type { Compare, KeyValue, Operation, Txn } from '../core/store/store.js';
import type { Ballot } from './ballot.js';
import type { Candidate } from './candidate.js';
import { appoint, type ElectionFolders, nobodyCame } from './roll.js';

/** So many are tried when a term ends, should some stand no more; then whoever waits claims the term. */
const mostHeirs = 3;

/** What a term is: its key. Whoever gives it up appoints the next in the same transaction. */
export class Seat implements HeldPlace {
  readonly lease: Lease;
  readonly token: bigint;
  readonly key: string;
  readonly keys: readonly [string];
  readonly along: Operation[] = [];
  /** Who is to be next, before all others. */
  heir: KeyValue | undefined;
  readonly #candidate: Candidate;
  readonly #folders: ElectionFolders;
  readonly #ballot: Ballot;

  constructor(candidate: Candidate, token: bigint, folders: ElectionFolders, ballot: Ballot) {
    this.lease = candidate.lease;
    this.token = token;
    this.key = candidate.termKey;
    this.keys = [candidate.termKey];
    this.#candidate = candidate;
    this.#folders = folders;
    this.#ballot = ballot;
  }

  get isOurs(): Compare[] {
    return [{ key: this.key, target: 'create', to: this.token }];
  }

  get removal(): Txn {
    const { roll, revision } = this.#ballot;
    const { key: own, end, isOurs } = this.#candidate;
    const ranked = roll.ranked.filter(({ key }) => key.toString() !== own).slice(0, mostHeirs);
    // Of whom the watch has not told yet may come before them: then whoever that is claims the term.
    const compare = [nobodyCame(this.#folders, revision)];
    const byRank = [{ txn: { compare, success: appoint(this.#folders, ranked) } }];
    const heirs = this.heir ? [this.heir] : [];
    return {
      compare: this.isOurs,
      success: [...appoint(this.#folders, heirs, byRank), ...end, ...this.along],
      // The names may have been used again, should this be late.
      failure: [{ txn: { compare: isOurs, success: end } }],
    };
  }

  removed(): void {
    this.#candidate.removed(true);
  }

  leave(): void {
    this.withdraw();
  }

  withdraw(): void {
    this.#candidate.withdraw();
  }

  /** There is but one. */
  async keepLast(): Promise<void> {}
}
