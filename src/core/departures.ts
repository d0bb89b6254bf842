import type { View } from './contender.js';
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
  #waiting: { readonly view: View; readonly atMost: number; wake(): void } | undefined;
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
   * Waits until at most so many of those ahead in `view` are left, keeping it up to date.
   *
   * @returns whether the view is true and our own key there; if not, the line must be read
   * @throws the reason of `signal`; or why the watch was refused
   */
  async until(view: View, atMost: number, signal: AbortSignal): Promise<boolean> {
    const { since } = this.#watch;
    if (since === undefined || since > view.revision + 1n) {
      // What left between the view and the start of the watch cannot be known.
      await abortable(this.#watch.ready, signal);
      this.#uncertain = true;
    }
    for (const [id, at] of this.#left) this.#leave(view, id, at);
    this.#left.clear();
    // What may have gaps must not look newer than it is to a neighbour.
    if (!this.#uncertain && this.#seen > view.revision) view.revision = this.#seen;
    if (!this.#uncertain && !this.#failure && view.ahead.size > atMost) {
      await abortable(this.#departures(view, atMost), signal);
    }
    if (this.#failure) throw this.#failure;
    const certain = !this.#uncertain;
    this.#uncertain = false;
    return certain;
  }

  events(events: readonly WatchEvent[]): void {
    const waiting = this.#waiting;
    for (const { kv } of events) {
      this.#seen = kv.modRevision;
      if (waiting) this.#leave(waiting.view, keyId(kv.key), kv.modRevision);
      else this.#left.set(keyId(kv.key), kv.modRevision);
    }
    if (!waiting) return;
    if (!this.#uncertain && this.#seen > waiting.view.revision) waiting.view.revision = this.#seen;
    if (this.#uncertain || waiting.view.ahead.size <= waiting.atMost) waiting.wake();
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

  /** Names are used again: what left before the view was made is not who is in it. */
  #leave(view: View, id: string, at: bigint): void {
    if (at <= view.revision) return;
    view.ahead.delete(id);
    if (id === this.#own) this.#uncertain = true;
  }

  #departures(view: View, atMost: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting = undefined;
        resolve();
      };
      this.#waiting = { view, atMost, wake };
    });
  }
}
