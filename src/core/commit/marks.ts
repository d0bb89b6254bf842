import { newLeaseId } from '../store/lease-id.js';
import { wasRefused } from '../store/refusals.js';
import type { Store } from '../store/store.js';
import type { Clock } from '../time/clock.js';
import { Mark } from './mark.js';

/** How long etcd keeps marks after their last use, in milliseconds, at least. */
const shortest = 60_000;
/** Those that were never answered stay until their lease ends: after so many another one is used. */
const most = 10_000;

interface Term {
  readonly lease: bigint;
  readonly ttl: number;
  /** When etcd may end the lease, by our clock. */
  deadline: number;
  made: number;
  inUse: number;
  readonly free: Mark[];
}

/** The marks of a store, under a lease that is made when first needed and renewed only by use. */
export class Marks {
  readonly #store: Store;
  readonly #clock: Clock;
  #place = '';
  /** The one whose marks are taken. */
  #term: Term | undefined;
  /** Also those before it, until none of their marks is in use. */
  readonly #terms = new Map<bigint, Term>();
  #preparing: Promise<void> | undefined;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** What the keys of marks begin with. */
  get place(): string {
    return this.#place;
  }

  /** Has marks that are made from now on begin with this. */
  moveTo(place: string): void {
    this.#place = place;
    if (this.#term) this.#leave(this.#term);
  }

  /**
   * A mark that etcd keeps for more than `need` milliseconds from now, for one transaction: until `giveBack`. Gives `undefined`
   * where `prepare` is to be called first.
   */
  take(need: number): Mark | undefined {
    const term = this.#term;
    if (!term || term.deadline - this.#clock.now() <= need) return undefined;
    const mark = term.free.pop() ?? this.#makeIn(term);
    if (mark) term.inUse += 1;
    else this.#leave(term);
    return mark;
  }

  /** Has a mark to take. One request serves all who come meanwhile. @throws as `grant` and `keepAlive` of the store */
  prepare(need: number): Promise<void> {
    this.#preparing ??= this.#prepare(need);
    return this.#preparing;
  }

  /** The transaction is over. `isFit` is a mark of which no request can still be on its way: it is used again. */
  giveBack(mark: Mark, isFit: boolean): void {
    const term = this.#terms.get(mark.lease);
    if (!term) return;
    term.inUse -= 1;
    if (isFit) term.free.push(mark);
    this.#end(term);
  }

  /** A mark was found gone, and so its lease is of no use. */
  forget({ lease }: Mark): void {
    const term = this.#terms.get(lease);
    if (term) this.#leave(term);
  }

  /** Gives back all leases. Resolves when etcd has answered; never rejects. */
  async close(): Promise<void> {
    await this.#preparing?.catch(() => {});
    await Promise.all([...this.#terms.keys()].map((lease) => this.#revoke(lease)));
  }

  #makeIn(term: Term): Mark | undefined {
    return term.made < most ? new Mark(term.lease, (term.made += 1), this.#place) : undefined;
  }

  /** Takes no more marks of it. */
  #leave(term: Term): void {
    if (term === this.#term) this.#term = undefined;
    this.#end(term);
  }

  /** Once nobody needs it any more. What of it is still on its way can then have no effect. */
  #end(term: Term): void {
    if (term === this.#term || term.inUse > 0) return;
    if (this.#terms.delete(term.lease)) void this.#revoke(term.lease);
  }

  async #prepare(need: number): Promise<void> {
    try {
      const before = this.#term;
      if (before && (await this.#renew(before, need))) return;
      const term = await this.#grant(need);
      this.#terms.set(term.lease, term);
      this.#term = term;
      if (before) this.#end(before);
    } finally {
      this.#preparing = undefined;
    }
  }

  /** Says whether the lease will do. */
  async #renew(term: Term, need: number): Promise<boolean> {
    if (term.ttl < 2 * need) return false;
    const sent = this.#clock.now();
    const ttl = await this.#store.keepAlive(term.lease);
    term.deadline = sent + ttl;
    return ttl > 0;
  }

  async #grant(need: number): Promise<Term> {
    const lease = newLeaseId();
    const sent = this.#clock.now();
    try {
      const ttl = await this.#store.grant(lease, Math.max(shortest, 2 * need));
      return { lease, ttl, deadline: sent + ttl, made: 0, inUse: 0, free: [] };
    } catch (error) {
      // It may have been granted all the same.
      if (!wasRefused(error)) void this.#revoke(lease);
      throw error;
    }
  }

  /** In vain, it ends by itself. */
  async #revoke(lease: bigint): Promise<void> {
    await this.#store.revoke(lease).catch(() => {});
  }
}
