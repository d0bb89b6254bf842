import { hostname } from 'node:os';
import type { Emitter } from '../events/emitter.js';
import type { CallOptions, Store } from '../store/store.js';
import type { Clock } from '../time/clock.js';
import { milliseconds } from '../validate.js';
import type { Lease, LeaseOptions, SessionEvents, SessionState } from './lease.js';
import { Leases } from './leases.js';

/** How to open a session. */
export interface SessionOptions extends LeaseOptions {
  /** A name for this process, shown by `inspect()` to others. @defaultValue none */
  readonly label?: string;
}

/** Who stands behind a key, as shown by `inspect()`. */
export interface Owner {
  readonly host: string;
  readonly pid: number;
  readonly label?: string;
}

/** What all views of one session have in common. */
interface Shared {
  readonly leases: Leases;
  readonly work: Set<Promise<unknown>>;
  closing?: Promise<void>;
}

/**
 * Leases that we keep alive, seen through a store. Holds and places in lines live and die with them; after
 * a loss the next use gets new ones. One session per process is enough.
 */
export class Session implements AsyncDisposable {
  /** Where recipes on this session keep their keys. */
  readonly store: Store;
  /** Who we are, to others. */
  readonly owner: Owner;
  readonly #shared: Shared;

  private constructor(store: Store, owner: Owner, shared: Shared) {
    this.store = store;
    this.owner = owner;
    this.#shared = shared;
  }

  /**
   * Gets a lease and begins to renew it.
   *
   * @throws ArgumentError if an option is not usable.
   * @throws UnavailableError if no endpoint answers.
   * @throws the reason of `limit.signal` when it aborts.
   */
  static async open(
    store: Store,
    options: SessionOptions = {},
    clock?: Clock,
    limit?: CallOptions,
  ): Promise<Session> {
    const leases = await Leases.open(store, options, clock, limit);
    const { label } = options;
    const owner = { host: hostname(), pid: process.pid, ...(label !== undefined && { label }) };
    return new Session(store, owner, { leases, work: new Set() });
  }

  /** The same session, with recipes keeping their keys in another view of the store, such as a namespace. */
  over(store: Store): Session {
    return new Session(store, this.owner, this.#shared);
  }

  /** The ID of the lease; of the oldest, if there are several. A session that was lost has another when it is open again. */
  get id(): bigint {
    return this.oldestLease.id;
  }

  /** The lease that stays to the end of all, for what is built on sessions. */
  get oldestLease(): Lease {
    return this.#leases.present.leases[0];
  }

  /** How long etcd keeps our keys after it last heard from us, in milliseconds, as granted. */
  get ttl(): number {
    return this.oldestLease.ttl;
  }

  get clock(): Clock {
    return this.#leases.clock;
  }

  get state(): SessionState {
    return this.#leases.state;
  }

  /**
   * Aborts when the session is lost (reason: `SessionLostError`) or closed (reason: `ClosedError`). Once it is open
   * again, this is another signal; that of before stays aborted.
   */
  get signal(): AbortSignal {
    return this.#leases.present.signal;
  }

  /** Milliseconds for which what is held is surely ours; 0 when lost or closed. */
  remaining(): number {
    return this.#leases.present.remaining();
  }

  /** What emits the events of all views of this session. */
  get emitter(): Emitter<SessionEvents> {
    return this.#leases;
  }

  /** Listens to a session event. */
  on<E extends keyof SessionEvents>(event: E, listener: SessionEvents[E]): this {
    this.#leases.on(event, listener as never);
    return this;
  }

  /** Stops listening. */
  off<E extends keyof SessionEvents>(event: E, listener: SessionEvents[E]): this {
    this.#leases.off(event, listener as never);
    return this;
  }

  /** A lease with room for a key, for what is built on sessions; `undefined` while there is none: see `makeRoom`. */
  get freeLease(): Lease | undefined {
    return this.#leases.present.free;
  }

  /**
   * Gets a lease from etcd, after a loss or when all are full, for whoever is first to use `freeLease` then. Goes on
   * through outages.
   *
   * @throws the reason of `signal` when it aborts; ClosedError if the session is closed.
   * @throws RefusedError if etcd refuses it.
   */
  makeRoom(signal: AbortSignal): Promise<void> {
    return this.#leases.makeRoom(signal);
  }

  /** `oldestLease`, of the next generation after a loss: for keys of whose end we may not hear. @throws as `makeRoom`. */
  async lastingLease(signal: AbortSignal): Promise<Lease> {
    while (this.#leases.present.ended) await this.makeRoom(signal);
    return this.oldestLease;
  }

  /** Aborts when the session is closed, but not when it is lost. */
  get closing(): AbortSignal {
    return this.#leases.closing;
  }

  /** Has `close` wait for work that runs under a hold. */
  track<T>(work: Promise<T>): Promise<T> {
    const { work: running } = this.#shared;
    const settled: Promise<unknown> = work.catch(() => {}).finally(() => running.delete(settled));
    running.add(settled);
    return work;
  }

  /**
   * Ends the session: waits are rejected and signals abort; work that runs under a hold is given `grace`
   * milliseconds to end; then all leases are given back, which frees every key at once: that is waited for, for 5 s
   * at most. Does not reject.
   *
   * @throws ArgumentError if `grace` is not a duration.
   */
  close(grace = 5_000): Promise<void> {
    this.#shared.closing ??= this.#close(milliseconds('grace', grace));
    return this.#shared.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #leases(): Leases {
    return this.#shared.leases;
  }

  async #close(grace: number): Promise<void> {
    const { leases, work } = this.#shared;
    leases.beginClose();
    if (work.size > 0) {
      const ended = new AbortController();
      void Promise.all(work).then(() => ended.abort());
      await leases.clock.sleep(grace, ended.signal).catch(() => {});
    }
    await leases.giveBack();
  }
}
