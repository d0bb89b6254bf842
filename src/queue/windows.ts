import { newLeaseId } from '../core/store/lease-id.js';
import type { CallOptions, Store } from '../core/store/store.js';
import type { Clock } from '../core/time/clock.js';

/** A lease on which all hangs that is to last for one window from about now on. */
interface Window {
  readonly lease: bigint;
  /** Until when it lasts for a whole window more, by our clock. */
  readonly until: number;
}

/**
 * Leases for what is to be there for a time: etcd counts it, so no clock of ours does. Windows of one length that begin about
 * together share a lease. So one lasts at least as long as it is to, from when the put was sent; at most a tenth longer, and two
 * seconds; and where another member becomes the leader meanwhile, up to as long again.
 */
export class Windows {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #windows = new Map<number, Window>();
  /** Leases that are being granted: one at a time for all who want it. */
  readonly #opening = new Map<number, Promise<void>>();

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Has a lease for windows of so many milliseconds. @throws as `grant` of the store. */
  async open(length: number, options: CallOptions): Promise<void> {
    while (this.#clock.now() >= (this.#windows.get(length)?.until ?? 0)) {
      const opening = this.#opening.get(length);
      if (!opening) return this.#open(length, options);
      // Who asked before may have had less time for it.
      await opening.catch(() => {});
    }
  }

  async #open(length: number, options: CallOptions): Promise<void> {
    const opening = this.#grant(length, options).finally(() => this.#opening.delete(length));
    this.#opening.set(length, opening);
    return opening;
  }

  async #grant(length: number, options: CallOptions): Promise<void> {
    const now = this.#clock.now();
    const lease = newLeaseId();
    const shared = Math.max(1_000, length / 10);
    const granted = await this.#store.grant(lease, Math.ceil(length + shared), options);
    for (const [each, { until }] of this.#windows) if (until <= now) this.#windows.delete(each);
    this.#windows.set(length, { lease, until: now + granted - length });
  }

  /** The lease that was opened last. */
  leaseOf(length: number): bigint {
    // What hangs on no lease would be there for ever; what hangs on one that never was is refused.
    return this.#windows.get(length)?.lease ?? newLeaseId();
  }

  /** etcd says that the lease is gone. */
  forget(length: number): void {
    this.#windows.delete(length);
  }
}
