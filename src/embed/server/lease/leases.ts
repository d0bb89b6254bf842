import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../core/time/clock.js';
import { longest } from '../../../core/validate.js';
import { refusal } from '../errors.js';
import { intervalOf } from '../mvcc/interval.js';
import type { MvccStore } from '../mvcc/store.js';
import { NO_LEASE, type Version } from '../mvcc/version.js';
import type { Bytes } from '../wire/fields.js';

const LONGEST_TTL = 9_000_000_000;

const SECOND = 1000;

/** A lease as it is now. */
export interface Lease {
  readonly id: bigint;
  /** What was granted, in seconds. */
  readonly ttl: number;
  readonly keys: ReadonlySet<Bytes>;
}

interface KeptLease extends Lease {
  readonly keys: Set<Bytes>;
  /** When it ends, in the clock's milliseconds. */
  deadline: number;
  stopTimer: () => void;
}

/** How leases are granted. */
export interface LeasesOptions {
  /** Milliseconds; what is asked for less gets so much, in whole seconds. */
  readonly minTtl: number;
}

/** The leases of a store: they end by the clock, and their keys with them. */
export class Leases {
  readonly #store: MvccStore;
  readonly #clock: Clock;
  readonly #minTtl: number;
  readonly #leases = new Map<bigint, KeptLease>();

  constructor(store: MvccStore, clock: Clock, { minTtl }: LeasesOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#minTtl = Math.ceil(minTtl / SECOND);
  }

  get size(): number {
    return this.#leases.size;
  }

  has(id: bigint): boolean {
    return this.#leases.has(id);
  }

  /** The keys that go with a lease; none if there is no such lease. */
  keysOf(id: bigint): Iterable<Bytes> {
    return this.#leases.get(id)?.keys ?? [];
  }

  /**
   * Makes a lease.
   *
   * @param ttl - seconds
   * @param wanted - its ID; 0 for one of our choice
   * @throws EtcdError if `ttl` is too large or the ID is taken.
   */
  grant(ttl: number, wanted: bigint): Lease {
    if (ttl > LONGEST_TTL) throw refusal('leaseTtlTooLarge');
    const id = wanted === NO_LEASE ? this.#freeId() : wanted;
    if (this.has(id)) throw refusal('leaseExists');
    const granted = Math.max(ttl, this.#minTtl);
    const lease = { id, ttl: granted, keys: new Set<Bytes>(), deadline: 0, stopTimer: () => {} };
    this.#leases.set(id, lease);
    this.#renew(lease);
    this.#watch(lease);
    return lease;
  }

  /** Ends a lease and deletes its keys, in one revision. @throws EtcdError if there is none */
  revoke(id: bigint): void {
    const lease = this.#leases.get(id);
    if (!lease) throw refusal('leaseNotFound');
    this.#end(lease);
  }

  /** Lets a lease begin anew, and gives its seconds; 0 if it is gone. */
  keepAlive(id: bigint): number {
    const lease = this.#leases.get(id);
    if (!lease) return 0;
    // The timer of one that has run out may be late, if this process was busy.
    if (this.#left(lease) <= 0) {
      this.#end(lease);
      return 0;
    }
    this.#renew(lease);
    return lease.ttl;
  }

  /** A lease, and the whole seconds it has left. */
  timeToLive(id: bigint): (Lease & { readonly left: number }) | undefined {
    const lease = this.#leases.get(id);
    return lease && { ...lease, left: Math.floor(this.#left(lease) / SECOND) };
  }

  /** All of them, the one that ends next first. */
  list(): Lease[] {
    return [...this.#leases.values()].toSorted((a, b) => a.deadline - b.deadline);
  }

  /** Keeps track of which key has which lease. */
  follow(changes: readonly Version[]): void {
    for (const { key, lease, previous } of changes) {
      if (previous && previous.lease !== lease) this.#leases.get(previous.lease)?.keys.delete(key);
      if (lease !== NO_LEASE) this.#leases.get(lease)?.keys.add(key);
    }
  }

  /** Stops all timers. */
  close(): void {
    for (const lease of this.#leases.values()) lease.stopTimer();
  }

  #renew(lease: KeptLease): void {
    lease.deadline = this.#clock.now() + lease.ttl * SECOND;
  }

  /** A renewal only moves the deadline; the timer finds out when it looks. */
  #watch(lease: KeptLease): void {
    const left = this.#left(lease);
    if (left <= 0) this.#end(lease);
    else {
      const wait = Math.min(left, longest);
      lease.stopTimer = this.#clock.after(wait, () => this.#watch(lease));
    }
  }

  #left(lease: KeptLease): number {
    return lease.deadline - this.#clock.now();
  }

  #end(lease: KeptLease): void {
    lease.stopTimer();
    this.#leases.delete(lease.id);
    const keys = [...lease.keys].toSorted();
    this.#store.write((writer) => {
      for (const key of keys) writer.delete(intervalOf(key, ''));
    });
  }

  #freeId(): bigint {
    const id = BigInt.asUintN(63, randomBytes(8).readBigUInt64LE());
    return id === NO_LEASE || this.has(id) ? this.#freeId() : id;
  }
}
