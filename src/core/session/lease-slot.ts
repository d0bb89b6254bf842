import type { LossReason } from '../store/errors.js';
import type { Lease } from './lease.js';
import type { Session } from './session.js';

/** By this, slots are counted among the keys of a lease; nothing is ever written there. */
const folder = '.etcd-recipes/slots/';

/** Room for one key of a name of our choice on a lease of a session: without it, a lease would seem to have none, and be given back. */
export class LeaseSlot {
  readonly #session: Session;
  readonly #lost: (reason: LossReason) => void;
  #taken: { readonly lease: Lease; readonly name: string } | undefined;
  #stopListening: (() => void) | undefined;

  /** @param lost - is told when the lease ends; with the next `take` there is another */
  constructor(session: Session, lost: (reason: LossReason) => void) {
    this.#session = session;
    this.#lost = lost;
  }

  /** Runs `work` with room for one key, which is to be gone when that has settled. @throws as `take`, and what `work` throws. */
  static async during<T>(
    session: Session,
    signal: AbortSignal,
    work: (lease: Lease) => Promise<T>,
  ): Promise<T> {
    const slot = new LeaseSlot(session, () => {});
    try {
      return await work(await slot.take(signal));
    } finally {
      slot.giveBack();
    }
  }

  /** The lease, once it was taken, and until it ends. */
  get lease(): Lease | undefined {
    return this.#taken?.lease;
  }

  /** Waits until there is a lease with room. @throws as `Session.makeRoom`. */
  async take(signal: AbortSignal): Promise<Lease> {
    if (this.#taken) return this.#taken.lease;
    let lease = this.#session.freeLease;
    // Nobody comes between a look and the key: of many who wait for room only so many have it.
    for (; !lease; lease = this.#session.freeLease) await this.#session.makeRoom(signal);
    // There may be room by now that nobody wants any more.
    signal.throwIfAborted();
    this.#taken = { lease, name: lease.takeKey(folder) };
    this.#stopListening = lease.fate.onEnd((reason) => {
      this.#taken = undefined;
      this.#lost(reason);
    });
    return lease;
  }

  /** The key is gone for good. */
  giveBack(): void {
    this.#stopListening?.();
    this.#taken?.lease.giveBack(this.#taken.name);
    this.#taken = undefined;
  }
}
