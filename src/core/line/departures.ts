import { covers, type Span, spanOf } from '../store/key-span.js';
import { keyId } from '../store/keys.js';
import type { Store, Watch, WatchEvent, WatchListener } from '../store/store.js';
import { abortable } from '../time/signals.js';
import type { Lane } from './line-spec.js';
import type { View } from './view.js';

/** Learns of keys that leave a line, from a live watch of it. */
export class Departures implements WatchListener {
  readonly #watch: Watch;
  /** The keys whose end ends the wait in any case. */
  readonly #own: ReadonlySet<string>;
  /** The same for all keys in here. */
  readonly #terms: Span | undefined;
  /** Keys that left while nobody waited, and when. */
  readonly #left = new Map<string, bigint>();
  #waiting: { readonly view: View; readonly weight: number; wake(): void } | undefined;
  /** The last revision of which we had an event. */
  #seen = 0n;
  /** Whether what we were told may not be all: the line must be read. */
  #uncertain = false;
  #failure: Error | undefined;

  constructor(store: Store, { rivals, terms, watched = rivals }: Lane, own: readonly string[]) {
    this.#own = new Set(own.map(keyId));
    this.#terms = terms && spanOf(terms);
    this.#watch = store.watch(watched, this, { only: 'delete' });
  }

  /**
   * Waits until `view`, which is kept up to date, is ripe for somebody who takes so much.
   *
   * @returns whether the view is true and our own keys there; if not, the line must be read
   * @throws the reason of `signal`; or why the watch was refused
   */
  async until(view: View, weight: number, signal: AbortSignal): Promise<boolean> {
    const { since } = this.#watch;
    if (since === undefined || since > view.revision + 1n) {
      // What left between the view and the start of the watch cannot be known.
      await abortable(this.#watch.ready, signal);
      this.#uncertain = true;
    }
    this.#update(view);
    if (!this.#uncertain && !this.#failure && !view.isRipe(weight)) {
      await abortable(this.#ripe(view, weight), signal);
    }
    if (this.#failure) throw this.#failure;
    return this.#isCertain();
  }

  /**
   * Brings a view that was just made up to date, as far as we were told.
   *
   * @returns whether it is of use; if not, the line must be read
   */
  update(view: View): boolean {
    const { since } = this.#watch;
    if (since !== undefined && since <= view.revision + 1n) this.#update(view);
    return this.#isCertain();
  }

  /** The last revision of which we were told. */
  get seen(): bigint {
    return this.#seen;
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
    if (this.#uncertain || waiting.view.isRipe(waiting.weight)) waiting.wake();
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

  #isCertain(): boolean {
    const certain = !this.#uncertain;
    this.#uncertain = false;
    return certain;
  }

  #update(view: View): void {
    for (const [id, at] of this.#left) this.#leave(view, id, at);
    this.#left.clear();
    // What may have gaps must not look newer than it is to a neighbour.
    if (!this.#uncertain && this.#seen > view.revision) view.revision = this.#seen;
  }

  /** Names are used again: what left before the view was made is not who is in it. */
  #leave(view: View, id: string, at: bigint): void {
    if (at <= view.revision) return;
    view.leave(id);
    if (this.#own.has(id) || (this.#terms && covers(this.#terms, id))) this.#uncertain = true;
  }

  #ripe(view: View, weight: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting = undefined;
        resolve();
      };
      this.#waiting = { view, weight, wake };
    });
  }
}
