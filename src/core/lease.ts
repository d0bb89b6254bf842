import { randomBytes } from 'node:crypto';
import { Backoff } from './backoff.js';
import { type Clock, systemClock } from './clock.js';
import { Emitter } from './emitter.js';
import {
  ArgumentError,
  ClosedError,
  type LossReason,
  SessionLostError,
  UnavailableError,
} from './errors.js';
import { persist } from './persist.js';
import { checkedController } from './signals.js';
import type { Store } from './store.js';
import { longest, milliseconds } from './validate.js';

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
}

/** What happens to a session. */
export interface SessionEvents {
  /** A renewal got no answer; what is held is still ours until the deadline. */
  suspended: (event: { readonly error: unknown }) => void;
  /** A renewal was answered again in time. */
  resumed: () => void;
  /** Everything held through the session is lost. */
  lost: (event: { readonly reason: LossReason }) => void;
  /** The session was closed here. */
  closed: () => void;
}

/** `open` and `suspended` hold; `lost` and `closed` are final. */
export type SessionState = 'open' | 'suspended' | 'lost' | 'closed';

/**
 * A lease kept alive, with a deadline of our own: the time at which the last confirmed renewal was *sent*,
 * plus the time granted, minus a margin. etcd began to count later than we did, so the deadline passes
 * before the lease can expire, whatever the network does. Once passed, nothing brings the lease back.
 */
export class Lease extends Emitter<SessionEvents> {
  readonly id: bigint;
  /** What etcd granted, in milliseconds. */
  readonly ttl: number;
  /** Aborts when the lease is lost or closed. Looking at it checks the deadline. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly #store: Store;
  readonly #margin: number;
  readonly #controller: AbortController = checkedController(() => this.check());
  readonly #stopRenewals = new AbortController();
  readonly #dependents = new Set<(reason: LossReason) => void>();
  #state: SessionState = 'open';
  #endReason: LossReason | undefined;
  #deadline: number;
  #stopTimer = (): void => {};

  private constructor(
    store: Store,
    clock: Clock,
    id: bigint,
    ttl: number,
    margin: number,
    sent: number,
  ) {
    super();
    this.#store = store;
    this.clock = clock;
    this.id = id;
    this.ttl = ttl;
    this.#margin = margin;
    this.signal = this.#controller.signal;
    this.#deadline = sent + ttl - margin;
    this.#watchDeadline();
    void this.#renew();
  }

  /**
   * Gets a lease from etcd and begins to renew it.
   *
   * @throws ArgumentError if an option is not usable.
   * @throws UnavailableError if no endpoint answers.
   */
  static async open(
    store: Store,
    options: LeaseOptions = {},
    clock: Clock = systemClock,
  ): Promise<Lease> {
    const ttl = milliseconds('session.ttl', options.ttl ?? 15_000, 1_000);
    const margin = options.margin ?? Math.max(ttl / 5, Math.min(1_000, ttl / 4));
    if (milliseconds('session.margin', margin) >= ttl / 2) {
      throw new ArgumentError('session.margin', `less than half the ttl of ${ttl}`, margin);
    }
    // Our choice of ID makes the request repeatable; 63 random bits are nobody else's.
    const id = (randomBytes(8).readBigUInt64BE() >> 1n) | 1n;
    const sent = clock.now();
    const granted = await store.grant(id, ttl);
    if (clock.now() - sent >= granted - margin) {
      const message = 'a lease was granted too late to be of use';
      throw new UnavailableError('unknown', [{ endpoint: 'etcd', status: 'TOO_LATE', message }]);
    }
    return new Lease(store, clock, id, granted, margin, sent);
  }

  get state(): SessionState {
    this.check();
    return this.#state;
  }

  /** Milliseconds until the deadline; 0 when lost or closed. */
  remaining(): number {
    this.check();
    return this.#ended ? 0 : this.#deadline - this.clock.now();
  }

  /** Declares the lease lost if its deadline has passed: called wherever its state matters. */
  check(): void {
    if (!this.#ended && this.clock.now() >= this.#deadline) this.lose('no-contact');
  }

  /** Tells `callback` when the lease ends, before anybody else; at once if it has. The function returned takes it back. */
  onEnd(callback: (reason: LossReason) => void): () => void {
    this.check();
    if (this.#endReason) callback(this.#endReason);
    else this.#dependents.add(callback);
    return () => this.#dependents.delete(callback);
  }

  /** The lease is gone: everything that depends on it is told before this returns. */
  lose(reason: LossReason): void {
    if (this.#ended) return;
    this.#end('lost', new SessionLostError(reason), reason);
    this.#stopRenewals.abort();
    this.emit('lost', { reason });
    // It may live on at etcd for a while, and others need not wait for that.
    void this.#revokeWithin(2 * this.ttl);
  }

  /** Tells all dependents that it is over, while the lease itself still lives. */
  beginClose(): void {
    if (this.#ended) return;
    this.#end('closed', new ClosedError('session'), 'closed');
    this.emit('closed');
  }

  /** Gives the lease back, and with it every key: waits for etcd's answer, at most as long as the lease would live. */
  async revoke(): Promise<void> {
    this.#stopRenewals.abort();
    await this.#revokeWithin(Math.min(this.ttl, 5_000));
  }

  /** Tries until etcd answers or the time is up; never rejects. */
  async #revokeWithin(ms: number): Promise<void> {
    const giveUp = new AbortController();
    const stop = this.clock.after(Math.min(ms, longest), () => giveUp.abort());
    try {
      await persist((limit) => this.#store.revoke(this.id, limit), giveUp.signal, this.clock);
    } catch {
      // The lease ends by itself.
    } finally {
      stop();
    }
  }

  get #ended(): boolean {
    return this.#endReason !== undefined;
  }

  #end(state: 'lost' | 'closed', error: Error, reason: LossReason): void {
    this.#state = state;
    this.#endReason = reason;
    this.#stopTimer();
    for (const tell of this.#dependents) tell(reason);
    this.#dependents.clear();
    this.#controller.abort(error);
  }

  #watchDeadline(): void {
    this.#stopTimer = this.clock.after(this.#deadline - this.clock.now(), () => {
      this.check();
      if (!this.#ended) this.#watchDeadline();
    });
  }

  async #renew(): Promise<void> {
    const { signal } = this.#stopRenewals;
    const pause = new Backoff(20, this.ttl / 20);
    let wait = this.#period();
    while (!signal.aborted) {
      try {
        await this.clock.sleep(wait, signal);
        const sent = this.clock.now();
        const ttl = await this.#store.keepAlive(this.id, { timeout: this.ttl / 6, signal });
        if (ttl === 0) {
          this.lose('expired');
        } else {
          this.#renewed(sent, ttl);
          pause.reset();
          wait = this.#period();
        }
      } catch (error) {
        if (this.state === 'open') {
          this.#state = 'suspended';
          this.emit('suspended', { error });
        }
        wait = pause.next();
      }
    }
  }

  #renewed(sent: number, ttl: number): void {
    // An answer that was waiting while our event loop stood still does not undo a deadline passed.
    this.check();
    this.#deadline = Math.max(this.#deadline, sent + ttl - this.#margin);
    if (this.#state === 'suspended') {
      this.#state = 'open';
      this.emit('resumed');
    }
  }

  /** A third of the TTL, give or take a tenth, so that many clients do not renew in step. */
  #period(): number {
    return (this.ttl / 3) * (0.9 + 0.2 * Math.random());
  }
}
