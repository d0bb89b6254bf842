import { randomBytes } from 'node:crypto';
import type { Clock } from './clock.js';
import { Mark } from './mark.js';
import type { Store } from './store.js';

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
  readonly free: Mark[];
}

/** The marks of a store, under a lease that is made when first needed and renewed only by use. */
export class Marks {
  readonly #store: Store;
  readonly #clock: Clock;
  #term: Term | undefined;
  #preparing: Promise<void> | undefined;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** The lease of the marks; `undefined` before the first is made. */
  get lease(): bigint | undefined {
    return this.#term?.lease;
  }

  /**
   * A mark that etcd keeps for more than `need` milliseconds from now, for one transaction.
   *
   * @throws the reason of `signal`, at the latest when etcd has answered; else as `grant` and `keepAlive` of the store.
   */
  async take(need: number, signal: AbortSignal): Promise<Mark> {
    for (;;) {
      signal.throwIfAborted();
      const term = this.#term;
      if (term && term.deadline - this.#clock.now() > need) {
        const mark = term.free.pop();
        if (mark) return mark;
        if (term.made < most) return new Mark(term.lease, (term.made += 1));
        this.#term = undefined;
      }
      // One request serves all who come meanwhile.
      this.#preparing ??= this.#prepare(need);
      await this.#preparing;
    }
  }

  /** Lets a mark be used again. Not one of which a request may still be on its way. */
  giveBack(mark: Mark): void {
    if (mark.lease === this.#term?.lease) this.#term.free.push(mark);
  }

  /** The mark was found gone, and so its lease is of no use. */
  forget({ lease }: Mark): void {
    if (lease === this.#term?.lease) this.#term = undefined;
  }

  async #prepare(need: number): Promise<void> {
    try {
      const term = this.#term;
      if (!(term && (await this.#renew(term, need)))) this.#term = await this.#grant(need);
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
    const lease = (randomBytes(8).readBigUInt64BE() >> 1n) | 1n;
    const sent = this.#clock.now();
    const ttl = await this.#store.grant(lease, Math.max(shortest, 2 * need));
    return { lease, ttl, deadline: sent + ttl, made: 0, free: [] };
  }
}
