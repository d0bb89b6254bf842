import { Ring } from '../events/ring.js';
import { ClosedError, type LossReason, SessionLostError } from '../store/errors.js';
import type { Clock } from '../time/clock.js';
import { checkedController } from '../time/signals.js';
import { Standstill } from '../time/standstill.js';
import type { Fate } from './fate.js';
import type { Lease } from './lease.js';
import type { LeaseTerms } from './lease-terms.js';

/** Who is told what happens to a generation. */
export interface GenerationKeeper {
  suspended(error: unknown): void;
  resumed(): void;
  /** All its leases are lost: to be given back. */
  lost(reason: LossReason): void;
  /** Nothing hangs on this lease, nor on another: to be given back. */
  surplus(lease: Lease): void;
  stalled(ms: number): void;
}

/** The leases that a session has between two losses. They share one fate: whoever loses one loses all, for good. */
export class Generation implements Fate {
  readonly #clock: Clock;
  readonly #terms: LeaseTerms;
  readonly #keeper: GenerationKeeper;
  readonly #leases: Lease[];
  readonly #controller: AbortController = checkedController(() => this.#check());
  #dependents = new Ring<(reason: LossReason) => void>();
  readonly #standstill: Standstill;
  #suspended = false;
  #ended: LossReason | undefined;
  #error: Error | undefined;
  #deadline: number;
  #stopTimer = (): void => {};

  constructor(first: Lease, terms: LeaseTerms, clock: Clock, keeper: GenerationKeeper) {
    this.#terms = terms;
    this.#clock = clock;
    this.#keeper = keeper;
    this.#standstill = new Standstill(clock, terms.margin / 2, {
      matters: () => !this.#ended && this.#leases.some(({ size }) => size > 0),
      stalled: (ms) => keeper.stalled(ms),
    });
    this.#leases = [first];
    this.#deadline = first.deadline;
    this.#watchDeadline();
    first.keep(this);
  }

  /** All leases, the oldest first; it stays to the end. */
  get leases(): readonly [Lease, ...Lease[]] {
    return this.#leases as [Lease, ...Lease[]];
  }

  get signal(): AbortSignal {
    this.#check();
    return this.#controller.signal;
  }

  get ended(): LossReason | undefined {
    this.#check();
    return this.#ended;
  }

  /** Whether a lease got no answer to its last renewal. */
  get suspended(): boolean {
    return this.#suspended;
  }

  /** The oldest lease that has room for another key, so that the younger ones become empty. */
  get free(): Lease | undefined {
    if (this.ended) return undefined;
    return this.#leases.find(({ size }) => size < this.#terms.keysPerLease);
  }

  remaining(): number {
    return this.ended ? 0 : this.#deadline - this.#clock.now();
  }

  onEnd(callback: (reason: LossReason) => void): () => void {
    const { ended } = this;
    if (!ended) return this.#dependents.add(callback);
    callback(ended);
    return () => {};
  }

  add(lease: Lease): void {
    this.#leases.push(lease);
    lease.keep(this);
    this.heard();
    // It may be due sooner than all that were here.
    this.#stopTimer();
    if (!this.#ended) this.#watchDeadline();
  }

  lose(reason: LossReason, cause?: unknown): void {
    if (this.#ended) return;
    this.#end(reason, new SessionLostError(reason, cause === undefined ? {} : { cause }));
    this.#keeper.lost(reason);
  }

  /** Tells all dependents that it is over, while the leases themselves still live. */
  close(): void {
    this.#standstill.stop();
    if (!this.#ended) this.#end('closed', new ClosedError('session'));
  }

  heard(error?: unknown): void {
    this.#deadline = Math.min(...this.#leases.map(({ deadline }) => deadline));
    const suspended = this.#leases.some((lease) => lease.suspended);
    if (this.ended || suspended === this.#suspended) return;
    this.#suspended = suspended;
    if (suspended) this.#keeper.suspended(error);
    else this.#keeper.resumed();
  }

  occupied(): void {
    this.#standstill.watch();
  }

  vacated(): void {
    if (this.#leases.length === 1 || this.#ended) return;
    // One is kept for whoever comes next.
    const [, ...surplus] = this.#leases.filter(({ size }) => size === 0);
    for (const lease of surplus) {
      this.#leases.splice(this.#leases.indexOf(lease), 1);
      this.#keeper.surplus(lease);
      this.heard();
    }
  }

  #check(): void {
    if (!this.#ended && this.#clock.now() >= this.#deadline) this.lose('no-contact');
    // Whoever looks before he is told, because it is another's turn, finds it all the same.
    if (this.#ended) this.#controller.abort(this.#error);
  }

  #end(reason: LossReason, error: Error): void {
    this.#ended = reason;
    this.#error = error;
    this.#stopTimer();
    this.#dependents.forEach((tell) => tell(reason));
    this.#dependents = new Ring();
    this.#controller.abort(error);
  }

  #watchDeadline(): void {
    this.#stopTimer = this.#clock.after(this.#deadline - this.#clock.now(), () => {
      if (!this.ended) this.#watchDeadline();
    });
  }
}
