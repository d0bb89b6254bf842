import type { Session } from '../core/session/session.js';
import { ConflictError } from '../core/store/errors.js';
import { deferred } from '../core/time/deferred.js';
import { abortable, onAbort } from '../core/time/signals.js';
import { Namespace } from './namespace.js';

/** That one of a session has a key to itself: what is on one lease, etcd cannot tell apart. */
export class KeyClaim {
  /** Those of this process, by key. */
  static readonly #all = new Map<string, Set<KeyClaim>>();
  /** The key. */
  readonly key: string;
  readonly #session: Session;
  readonly #gone = deferred<void>();
  readonly #stopListening: () => void;
  #isEnding = false;

  private constructor(session: Session, key: string) {
    this.#session = session;
    this.key = key;
    const all = KeyClaim.#all.get(key) ?? new Set();
    KeyClaim.#all.set(key, all.add(this));
    this.#stopListening = onAbort(session.closing, () => this.#giveBack());
  }

  /**
   * Gives what `make` makes of the claim, once no other of the session has the key. Waits until that has ended, after `onWaiting`
   * unless it is about to.
   *
   * @throws ConflictError if it is not about to end, without `onWaiting`; the reason of `signal`; what `make` throws.
   */
  static async take<T>(
    session: Session,
    key: string,
    signal: AbortSignal,
    make: (claim: KeyClaim) => T,
    onWaiting?: () => void,
  ): Promise<T> {
    const rival = (): KeyClaim | undefined =>
      [...(KeyClaim.#all.get(key) ?? [])].find((each) => each.#isOf(session));
    for (let other = rival(); other; other = rival()) {
      if (!other.#isEnding) {
        if (!onWaiting) throw new ConflictError(`${key} is in use by this process`);
        onWaiting();
      }
      await abortable(other.#gone.promise, signal);
    }
    signal.throwIfAborted();
    const claim = new KeyClaim(session, key);
    try {
      return make(claim);
    } catch (error) {
      claim.#giveBack();
      throw error;
    }
  }

  /** Gives it back once `work`, which is to take the key away, has settled, and gives what comes of that. */
  async endWith(work: Promise<void>): Promise<void> {
    this.#isEnding = true;
    try {
      await work;
    } finally {
      this.#giveBack();
    }
  }

  #isOf({ emitter, store }: Session): boolean {
    return this.#session.emitter === emitter && Namespace.isSame(this.#session.store, store);
  }

  #giveBack(): void {
    this.#stopListening();
    const all = KeyClaim.#all.get(this.key);
    all?.delete(this);
    if (all?.size === 0) KeyClaim.#all.delete(this.key);
    this.#gone.resolve();
  }
}
