import { setMaxListeners } from 'node:events';
import type { EventEmitter } from 'eventemitter3';
import { Emitter } from '../events/emitter.js';
import { ClosedError, type LossReason } from '../store/errors.js';
import type { CallOptions, Store } from '../store/store.js';
import { type Clock, systemClock } from '../time/clock.js';
import { persist } from '../time/persist.js';
import { tell } from '../trace.js';
import { Generation, type GenerationKeeper } from './generation.js';
import { Lease, type LeaseOptions, type SessionEvents, type SessionState } from './lease.js';
import { type LeaseTerms, leaseTerms } from './lease-terms.js';

/** What all views of one session share: its leases, as many as its keys need, and others after a loss. */
export class Leases extends Emitter<SessionEvents> implements GenerationKeeper {
  readonly clock: Clock;
  readonly #store: Store;
  readonly #terms: LeaseTerms;
  readonly #closing = new AbortController();
  readonly #giveUp = new AbortController();
  /** Leases on their way back to etcd. */
  readonly #returning = new Set<Promise<void>>();
  #present: Generation;
  #granting: Promise<void> | undefined;

  private constructor(store: Store, terms: LeaseTerms, clock: Clock, first: Lease) {
    super();
    for (const { signal } of [this.#closing, this.#giveUp]) setMaxListeners(0, signal);
    this.#store = store;
    this.#terms = terms;
    this.clock = clock;
    this.#present = new Generation(first, terms, clock, this);
    tell('session', () => ({ event: 'opened' }));
  }

  /** Gets the first lease. @throws as `Session.open`. */
  static async open(
    store: Store,
    options: LeaseOptions = {},
    clock: Clock = systemClock,
    limit: CallOptions = {},
  ): Promise<Leases> {
    const terms = leaseTerms(options);
    return new Leases(store, terms, clock, await Lease.grant(store, terms, clock, limit));
  }

  /** The leases since the last loss, or those that were lost last. */
  get present(): Generation {
    return this.#present;
  }

  get state(): SessionState {
    if (this.closing.aborted) return 'closed';
    if (this.#present.ended) return 'lost';
    return this.#present.suspended ? 'suspended' : 'open';
  }

  /** Aborts when the session is closed, and only then. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /**
   * Has `present.free` give a lease, if nobody is faster to use it: goes on through outages until `signal` aborts.
   *
   * @throws ClosedError if the session is closed.
   */
  async makeRoom(signal: AbortSignal): Promise<void> {
    await persist(
      async (limit) => {
        this.closing.throwIfAborted();
        // One for all who come at the same time.
        this.#granting ??= this.#grant(limit);
        await this.#granting;
      },
      signal,
      this.clock,
    );
  }

  /** Tells everybody that it is over, while the leases still live. */
  beginClose(): void {
    this.#closing.abort(new ClosedError('session'));
    this.#present.close();
    this.emit('closed');
  }

  /** Gives all leases back at once. Waits for etcd's answers, but neither longer than a lease would live nor 5 s. */
  async giveBack(): Promise<void> {
    const { ended, leases } = this.#present;
    // What was lost is on its way already.
    if (ended === 'closed') for (const lease of leases) this.surplus(lease);
    const answered = new AbortController();
    const all = async (): Promise<void> => {
      await this.#granting?.catch(() => {});
      await Promise.all(this.#returning);
      answered.abort();
    };
    void all();
    await this.clock.sleep(Math.min(leases[0].ttl, 5_000), answered.signal).catch(() => {});
    this.#giveUp.abort();
  }

  suspended(error: unknown): void {
    this.emit('suspended', { error });
  }

  resumed(): void {
    this.emit('resumed');
  }

  lost(reason: LossReason): void {
    // They may live on at etcd for a while, and others need not wait for that.
    for (const lease of this.#present.leases) this.surplus(lease);
    this.emit('lost', { reason });
  }

  surplus(lease: Lease): void {
    const returned = lease.revoke(this.#giveUp.signal);
    this.#returning.add(returned);
    void returned.then(() => this.#returning.delete(returned));
  }

  stalled(ms: number): void {
    this.emit('stalled', { ms });
  }

  /** Also tells those who listen to all sessions. */
  override emit<E extends keyof SessionEvents>(
    event: E,
    ...args: EventEmitter.EventArgs<SessionEvents, E>
  ): boolean {
    tell('session', () => ({ event, ...args[0] }));
    return super.emit(event, ...args);
  }

  async #grant(limit: CallOptions): Promise<void> {
    try {
      const lease = await Lease.grant(this.#store, this.#terms, this.clock, limit);
      if (this.closing.aborted) {
        this.surplus(lease);
      } else if (this.#present.ended) {
        this.#present = new Generation(lease, this.#terms, this.clock, this);
        this.emit('reopened');
      } else if (lease.deadline - this.clock.now() > lease.ttl / 3) {
        this.#present.add(lease);
      } else {
        // It came late and may not be renewed in time; the others would be lost with it.
        this.surplus(lease);
      }
    } finally {
      this.#granting = undefined;
    }
  }
}
