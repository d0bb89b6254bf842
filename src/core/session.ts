import { hostname } from 'node:os';
import type { Clock } from './clock.js';
import { RefusedError } from './errors.js';
import { Fence } from './fence.js';
import { Lease, type LeaseOptions, type SessionEvents, type SessionState } from './lease.js';
import type { CommitOptions, Store, Txn, TxnReply } from './store.js';
import { milliseconds } from './validate.js';

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

/** The numbers of one folder: how many there are, and which of them are free. */
interface Numbers {
  made: number;
  readonly free: number[];
}

/** What all views of one session have in common. */
interface Shared {
  readonly numbers: Map<string, Numbers>;
  readonly work: Set<Promise<unknown>>;
  closing?: Promise<void>;
}

/**
 * A lease that we keep alive, seen through a store. Holds and places in lines live and die with it. One
 * per process is enough.
 */
export class Session implements AsyncDisposable {
  /** Where recipes on this session keep their keys. */
  readonly store: Store;
  /** Who we are, to others. */
  readonly owner: Owner;
  readonly #lease: Lease;
  /** Shuts out our own writes that come too late. */
  readonly fence: Fence;
  readonly #shared: Shared;

  private constructor(store: Store, lease: Lease, owner: Owner, shared: Shared) {
    this.store = store;
    this.owner = owner;
    this.fence = new Fence(lease.id);
    this.#lease = lease;
    this.#shared = shared;
  }

  /**
   * Gets a lease and begins to renew it.
   *
   * @throws ArgumentError if an option is not usable.
   * @throws UnavailableError if no endpoint answers.
   */
  static async open(store: Store, options: SessionOptions = {}, clock?: Clock): Promise<Session> {
    const lease = await Lease.open(store, options, clock);
    const { label } = options;
    const owner = { host: hostname(), pid: process.pid, ...(label !== undefined && { label }) };
    return new Session(store, lease, owner, { numbers: new Map(), work: new Set() });
  }

  /** The same session, with recipes keeping their keys in another view of the store, such as a namespace. */
  over(store: Store): Session {
    return new Session(store, this.#lease, this.owner, this.#shared);
  }

  /** The ID of the lease. */
  get id(): bigint {
    return this.#lease.id;
  }

  /** How long etcd keeps our keys after it last heard from us, in milliseconds, as granted. */
  get ttl(): number {
    return this.#lease.ttl;
  }

  get clock(): Clock {
    return this.#lease.clock;
  }

  get state(): SessionState {
    return this.#lease.state;
  }

  /** Aborts when the session is lost (reason: `SessionLostError`) or closed (reason: `ClosedError`). */
  get signal(): AbortSignal {
    this.#lease.check();
    return this.#lease.signal;
  }

  /** The lease itself, for what is built on sessions. */
  get lease(): Lease {
    return this.#lease;
  }

  /** Milliseconds for which what is held is surely ours; 0 when lost or closed. */
  remaining(): number {
    return this.#lease.remaining();
  }

  /** Listens to a session event. */
  on<E extends keyof SessionEvents>(event: E, listener: SessionEvents[E]): this {
    this.#lease.on(event, listener as never);
    return this;
  }

  /** Stops listening. */
  off<E extends keyof SessionEvents>(event: E, listener: SessionEvents[E]): this {
    this.#lease.off(event, listener as never);
    return this;
  }

  /**
   * A key under `folder` that nobody else uses: to be given back with `giveBack`, once it is surely gone. etcd
   * remembers every name until it is compacted, and its reads get slower with each.
   */
  takeKey(folder: string): string {
    const numbers = this.#shared.numbers.get(folder) ?? { made: 0, free: [] };
    this.#shared.numbers.set(folder, numbers);
    const number = numbers.free.pop() ?? (numbers.made += 1);
    return `${folder}${this.id.toString(16)}-${number.toString(16)}`;
  }

  /** Lets a key from `takeKey` be used again. Not for one that a request on its way may still write or delete. */
  giveBack(folder: string, key: string): void {
    const numbers = this.#shared.numbers.get(folder);
    numbers?.free.push(Number.parseInt(key.slice(key.lastIndexOf('-') + 1), 16));
    if (numbers?.free.length === numbers?.made) this.#shared.numbers.delete(folder);
  }

  /** `store.commit` for what is written under our lease: a refusal may tell that it is gone. */
  async commit(txn: Txn, options: CommitOptions): Promise<TxnReply> {
    try {
      return await this.store.commit(txn, options);
    } catch (error) {
      const leaseIsGone = error instanceof RefusedError && /lease not found/.test(error.message);
      if (leaseIsGone) this.#lease.lose('expired');
      throw error;
    }
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
   * milliseconds to end; then the lease is given back, which frees every key at once. Does
   * not reject.
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

  async #close(grace: number): Promise<void> {
    const lease = this.#lease;
    lease.beginClose();
    if (this.#shared.work.size > 0) {
      const limit = new AbortController();
      const settled = Promise.all(this.#shared.work).then(() => limit.abort());
      await Promise.race([settled, lease.clock.sleep(grace, limit.signal).catch(() => {})]);
      limit.abort();
    }
    // A lease that is lost is given up at etcd already, in the background.
    if (lease.state === 'closed') await lease.revoke();
  }
}
