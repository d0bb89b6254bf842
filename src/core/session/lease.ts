import { setMaxListeners } from 'node:events';
import { type LossReason, RefusedError, UnavailableError } from '../store/errors.js';
import { newLeaseId } from '../store/lease-id.js';
import { leaseIsGone } from '../store/refusals.js';
import type { CallOptions, CommitOptions, Store, Txn, TxnReply } from '../store/store.js';
import { Backoff } from '../time/backoff.js';
import type { Clock } from '../time/clock.js';
import { Patience } from '../time/patience.js';
import { limitAtOneMember, persist } from '../time/persist.js';
import { waitScope } from '../time/signals.js';
import { tell } from '../trace.js';
import { longest } from '../validate.js';
import type { Fate } from './fate.js';
import { Fence } from './fence.js';
import { KeyNames } from './key-names.js';

/** How long a session outlives its process, and how early it gives up. */
export interface LeaseOptions {
  /**
   * How long etcd keeps our keys after it last heard from us, in milliseconds; rounded up to whole seconds,
   * and etcd may grant more. @defaultValue 15,000
   */
  readonly ttl?: number;
  /**
   * How long before etcd may take our keys we consider them lost, in milliseconds; less than half the `ttl`.
   * @defaultValue the larger of 1,000 and a fifth of the `ttl`, but a quarter of a `ttl` below 4,000
   */
  readonly margin?: number;
  /** So many keys hang on one lease; then another is granted, as etcd ends a lease in one step. @defaultValue 1,000 */
  readonly keysPerLease?: number;
}

/** What happens to a session. */
export interface SessionEvents {
  /** A renewal got no answer; what is held is still ours until the deadline. */
  suspended: (event: { readonly error: unknown }) => void;
  /** All renewals are answered again, in time. */
  resumed: () => void;
  /** Everything held through the session is lost. */
  lost: (event: { readonly reason: LossReason }) => void;
  /** After a loss it was used again, and has a new lease. What was lost stays lost. */
  reopened: () => void;
  /** The event loop stood still, for at least so many milliseconds: about as many as `margin`. */
  stalled: (event: { readonly ms: number }) => void;
  /** The session was closed here. */
  closed: () => void;
}

/** `open` and `suspended` hold; `lost` is `open` again once it is used; `closed` is final. */
export type SessionState = 'open' | 'suspended' | 'lost' | 'closed';

/** Whether a request surely had no effect. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof RefusedError ||
    (error instanceof UnavailableError && error.outcome === 'not-applied')
  );
}

/**
 * A lease kept alive, and what belongs to it: the names of the keys that hang on it, and the fence of each view
 * of the store. Its deadline is the time at which the last confirmed renewal was *sent*, plus the time
 * granted, minus a margin. etcd began to count later than we did, so the deadline passes before the lease
 * can expire, whatever the network does.
 */
export class Lease {
  readonly id: bigint;
  /** What etcd granted, in milliseconds. */
  readonly ttl: number;
  readonly clock: Clock;
  /** Until then it surely lives, unless it is revoked. */
  deadline: number;
  /** Whether the last renewal got no answer. */
  suspended = false;
  readonly #store: Store;
  readonly #margin: number;
  readonly #names: KeyNames;
  readonly #fences = new WeakMap<Store, Fence>();
  readonly #patience = new Patience(500);
  readonly #stopRenewals = new AbortController();
  #fate: Fate | undefined;

  private constructor(
    store: Store,
    clock: Clock,
    id: bigint,
    ttl: number,
    margin: number,
    sent: number,
  ) {
    this.#store = store;
    this.clock = clock;
    this.id = id;
    this.ttl = ttl;
    this.#margin = margin;
    this.#names = new KeyNames(id);
    this.deadline = sent + ttl - margin;
  }

  /**
   * Gets a lease from etcd, to be kept with `keep`.
   *
   * @throws UnavailableError if no endpoint answers.
   */
  static async grant(
    store: Store,
    { ttl, margin }: Pick<Required<LeaseOptions>, 'ttl' | 'margin'>,
    clock: Clock,
    limit: CallOptions,
  ): Promise<Lease> {
    const id = newLeaseId();
    let sent = clock.now();
    try {
      let granted = await store.grant(id, ttl, limit);
      if (clock.now() - sent >= granted - margin) {
        // It was long on its way, but may still live.
        sent = clock.now();
        granted = await store.keepAlive(id, limit);
      }
      if (clock.now() - sent < granted - margin) {
        return new Lease(store, clock, id, granted, margin, sent);
      }
      const message = 'a lease was granted too late to be of use';
      throw new UnavailableError('unknown', [{ endpoint: 'etcd', status: 'TOO_LATE', message }]);
    } catch (error) {
      // It may have been granted all the same. If this does not reach etcd either, it expires.
      if (!isRefusal(error)) store.revoke(id).catch(() => {});
      throw error;
    }
  }

  /** Begins to renew it, and binds it to the others' fate. */
  keep(fate: Fate): void {
    this.#fate = fate;
    // Many may ask at the same time.
    setMaxListeners(0, this.#stopRenewals.signal);
    void this.#renew();
  }

  /** Aborts when the lease is lost or closed. Looking at it checks the deadline. */
  get signal(): AbortSignal {
    return this.fate.signal;
  }

  /** What it shares with the other leases of its generation. */
  get fate(): Fate {
    return this.#fate as Fate;
  }

  /** How many keys hang on it. */
  get size(): number {
    return this.#names.size;
  }

  /**
   * A key under `folder` that nobody else uses: to be given back with `giveBack`, once it is surely gone. etcd
   * remembers every name until it is compacted, and its reads get slower with each.
   */
  takeKey(folder: string): string {
    if (this.size === 0) this.fate.occupied();
    return this.#names.take(folder);
  }

  /** Lets a key from `takeKey` be used again. Not for one that a request on its way may still write or delete. */
  giveBack(key: string): void {
    this.#names.giveBack(key);
    if (this.size === 0) this.fate.vacated();
  }

  /** A key from `takeKey` is gone, but its name must not be used again. */
  drop(key: string): void {
    this.#names.drop(key);
    if (this.size === 0) this.fate.vacated();
  }

  /** What shuts out our own writes that come too late, in this view of the store. */
  fenceIn(store: Store): Fence {
    const fence = this.#fences.get(store) ?? new Fence(this.id);
    this.#fences.set(store, fence);
    return fence;
  }

  /** For `persist`: limit of the next `commit` after so many tries, as those before have shown. */
  readonly limitOf = (tries: number): number => limitAtOneMember(this.#patience, tries);

  /**
   * `store.commit` for what is written under this lease: a refusal may tell that it is gone. Calls `onUnanswered` if it failed
   * and may have been applied, or may be later.
   */
  async commit(
    store: Store,
    txn: Txn,
    options: CommitOptions,
    onUnanswered?: () => void,
  ): Promise<TxnReply> {
    const sent = this.clock.now();
    try {
      const reply = await store.commit(txn, options);
      this.#patience.answered(this.clock.now() - sent, options.timeout ?? longest);
      return reply;
    } catch (error) {
      if (leaseIsGone(error)) this.#gone();
      if (error instanceof UnavailableError && error.outcome === 'unknown') onUnanswered?.();
      throw error;
    }
  }

  /** Asks etcd at once whether the lease is there; whatever hangs on it learns if not. Resolves when that is known, or cannot be. */
  async ask(): Promise<void> {
    await this.#renewOnce().catch(() => {});
  }

  /** Gives the lease back, and with it every key: until etcd has answered, `giveUp` aborts, or it has expired. Never rejects. */
  async revoke(giveUp: AbortSignal): Promise<void> {
    this.#stopRenewals.abort();
    // A renewal may be on its way.
    const timeout = Math.min(2 * this.ttl, longest);
    const scope = waitScope({ timeout }, giveUp, this.clock);
    try {
      await persist((limit) => this.#store.revoke(this.id, limit), scope.signal, this.clock);
    } catch {
      // It ends by itself.
    } finally {
      scope.dispose();
    }
  }

  async #renew(): Promise<void> {
    const { signal } = this.#stopRenewals;
    const pause = new Backoff(20, this.ttl / 20);
    // It may have taken long to get it.
    let wait = Math.min(this.#period(), (this.deadline - this.clock.now()) / 2);
    while (!signal.aborted) {
      try {
        await this.clock.sleep(wait, signal);
        await this.#renewOnce();
        pause.reset();
        wait = this.#period();
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof RefusedError) {
          this.fate.lose('refused', error);
          return;
        }
        this.suspended = true;
        this.fate.heard(error);
        wait = pause.next();
      }
    }
  }

  async #renewOnce(): Promise<void> {
    const { signal } = this.#stopRenewals;
    const sent = this.clock.now();
    const ttl = await this.#store.keepAlive(this.id, { attemptTimeout: this.ttl / 6, signal });
    if (ttl === 0) {
      this.#gone();
    } else if (!this.fate.ended) {
      tell('renewal', () => ({ lease: this.id, left: this.deadline - this.clock.now() }));
      // An answer that was waiting while our event loop stood still does not undo a deadline passed.
      this.deadline = Math.max(this.deadline, sent + ttl - this.#margin);
      this.suspended = false;
      this.fate.heard();
    }
  }

  /** etcd does not know it any more: unless we gave it back, somebody else did, or it had its time. */
  #gone(): void {
    if (this.#stopRenewals.signal.aborted) return;
    this.fate.lose(this.clock.now() < this.deadline ? 'revoked' : 'expired');
  }

  /** A third of the TTL, give or take a tenth, so that many leases are not renewed in step. */
  #period(): number {
    return (this.ttl / 3) * (0.9 + 0.2 * Math.random());
  }
}
