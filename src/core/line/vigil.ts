import type { Store, Watch } from '../store/store.js';
import type { Grant } from './grant.js';
import { CapTimers, type HoldCaps } from './hold-caps.js';
import { type KeyUser, KeyWatch } from './key-watch.js';
import { type RevokeRequest, watchRequests } from './revoke-request.js';

/** All that may tell that a hold is over, or is to be. */
export class Vigil {
  readonly #store: Store;
  readonly #grant: Grant;
  readonly #user: KeyUser;
  #keys: KeyWatch | undefined;
  readonly #stopListening: () => void;
  readonly #stopTimer: () => void;
  #caps: CapTimers | undefined;
  #requests: Set<Watch> | undefined;
  #isClosed = false;

  /** Tells at once where the lease has ended. */
  constructor(store: Store, grant: Grant, user: KeyUser) {
    const { place, watchAfter = 20 } = grant;
    const { fate, clock } = place.lease;
    this.#store = store;
    this.#grant = grant;
    this.#user = user;
    this.#stopListening = fate.onEnd((reason) => user.lost(reason));
    this.#stopTimer = clock.after(watchAfter, () => this.#watch());
  }

  /** Looks whether the keys are there. */
  verify(): void {
    void this.#keysWatched.verify();
  }

  /** Has it end by itself. */
  cap(caps: HoldCaps): void {
    if (this.#isClosed) return;
    this.#caps?.stop();
    const { clock } = this.#grant.place.lease;
    this.#caps = new CapTimers(clock, caps, (reason) => this.#user.lost(reason));
  }

  /** It was used. */
  used(): void {
    this.#caps?.used();
  }

  /** Tells at once where it has ended by itself. */
  check(): void {
    if (!this.#isClosed) this.#caps?.check();
  }

  /** Milliseconds until it ends by itself, if it is not used. */
  remaining(): number {
    const { place, within = place.lease.fate } = this.#grant;
    return Math.min(within.remaining(), this.#caps?.remaining() ?? Infinity);
  }

  /** Tells of requests to give it back. The function returned takes it back. */
  onRequest(listener: (request: RevokeRequest) => void): () => void {
    if (this.#isClosed) return () => {};
    const watches = watchRequests(this.#store, this.#grant.place, listener);
    const requests = (this.#requests ??= new Set());
    for (const watch of watches) requests.add(watch);
    return () => {
      for (const watch of watches) if (requests.delete(watch)) watch.close();
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#stopListening();
    this.#stopTimer();
    this.#caps?.stop();
    this.#keys?.close();
    for (const watch of this.#requests ?? []) watch.close();
  }

  #watch(): void {
    const { watched, revision } = this.#grant;
    this.#keysWatched.start(watched, revision);
  }

  /** Most holds end before there is anything to watch. */
  get #keysWatched(): KeyWatch {
    this.#keys ??= new KeyWatch(this.#store, this.#grant.place, this.#user);
    return this.#keys;
  }
}
