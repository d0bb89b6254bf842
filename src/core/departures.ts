import { type KeyRange, keyId } from './keys.js';
import { abortable } from './signals.js';
import type { Store, Watch, WatchEvent, WatchListener } from './store.js';

/** Learns of keys that leave a line, from a live watch of it. */
export class Departures implements WatchListener {
  readonly #watch: Watch;
  /** The key whose end ends the wait in any case. */
  readonly #own: string;
  /** Keys that left while nobody waited, and when. */
  readonly #left = new Map<string, bigint>();
  #waiting: { readonly ahead: Set<string>; readonly atMost: number; wake(): void } | undefined;
  /** The last revision of which we had an event. */
  #seen = 0n;
  /** Whether what we were told may not be all: the line must be read. */
  #uncertain = false;
  #failure: Error | undefined;

  constructor(store: Store, range: KeyRange, own: string) {
    this.#own = keyId(own);
    this.#watch = store.watch(range, this, { only: 'delete' });
  }

  /**
   * Waits until at most so many of the keys `ahead` (by `keyId`), which existed at `revision`, are left;
   * takes out of `ahead` those that are gone.
   *
   * @returns the revision at which that was so, our own key being there; `undefined` if events may have
   * been missed or our key is gone, so that the line must be read
   * @throws the reason of `signal`; or why the watch was refused
   */
  async until(
    ahead: Set<string>,
    atMost: number,
    revision: bigint,
    signal: AbortSignal,
  ): Promise<bigint | undefined> {
    const { since } = this.#watch;
    if (since === undefined || since > revision + 1n) {
      // What left between `revision` and the start of the watch cannot be known.
      await abortable(this.#watch.ready, signal);
      this.#uncertain = true;
    }
    for (const [id, at] of this.#left) if (at > revision) this.#leave(id, ahead);
    this.#left.clear();
    if (!this.#uncertain && !this.#failure && ahead.size > atMost) {
      await abortable(this.#departures(ahead, atMost), signal);
    }
    if (this.#failure) throw this.#failure;
    const certain = !this.#uncertain;
    this.#uncertain = false;
    return certain ? this.#seen : undefined;
  }

  events(events: readonly WatchEvent[]): void {
    const waiting = this.#waiting;
    for (const { kv } of events) {
      this.#seen = kv.modRevision;
      if (waiting) this.#leave(keyId(kv.key), waiting.ahead);
      else this.#left.set(keyId(kv.key), kv.modRevision);
    }
    if (waiting && (this.#uncertain || waiting.ahead.size <= waiting.atMost)) waiting.wake();
  }

  gap(): void {
    this.#uncertain = true;
    this.#waiting?.wake();
  }

  closed(error: Error): void {
    this.#failure = error;
    this.#waiting?.wake();
  }

  close(): void {
    this.#watch.close();
  }

  #leave(id: string, ahead: Set<string>): void {
    ahead.delete(id);
    if (id === this.#own) this.#uncertain = true;
  }

  #departures(ahead: Set<string>, atMost: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting = undefined;
        resolve();
      };
      this.#waiting = { ahead, atMost, wake };
    });
  }
}
