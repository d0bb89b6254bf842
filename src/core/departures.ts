import { type Data, type KeyRange, keyId } from './keys.js';
import { abortable } from './signals.js';
import type { Store, Watch, WatchEvent, WatchListener } from './store.js';

/** Learns of keys that leave a line, from a live watch of it. */
export class Departures implements WatchListener {
  readonly #watch: Watch;
  /** Keys seen to leave while nobody waited, and when. */
  readonly #left = new Map<string, bigint>();
  #waiting: { readonly keys: ReadonlySet<string>; wake(): void } | undefined;
  #missed = false;
  #failure: Error | undefined;

  constructor(store: Store, range: KeyRange) {
    this.#watch = store.watch(range, this, { only: 'delete' });
  }

  /**
   * Resolves when one of `keys`, which existed at `revision`, may be gone. Rejects with the reason of
   * `signal`, or when the watch is refused.
   */
  async ofAny(keys: readonly Data[], revision: bigint, signal: AbortSignal): Promise<void> {
    const { since } = this.#watch;
    if (since === undefined || since > revision + 1n) {
      // What left between `revision` and the start of the watch cannot be known: look again.
      await abortable(this.#watch.ready, signal);
    } else if (!this.#missed && !this.#failure) {
      const ids = new Set(keys.map(keyId));
      const left = [...this.#left].some(([id, at]) => at > revision && ids.has(id));
      if (!left) await abortable(this.#departure(ids), signal);
    }
    this.#left.clear();
    this.#missed = false;
    if (this.#failure) throw this.#failure;
  }

  events(events: readonly WatchEvent[]): void {
    for (const { kv } of events) {
      const id = keyId(kv.key);
      if (!this.#waiting) this.#left.set(id, kv.modRevision);
      else if (this.#waiting.keys.has(id)) this.#waiting.wake();
    }
  }

  gap(): void {
    this.#missed = true;
    this.#waiting?.wake();
  }

  closed(error: Error): void {
    this.#failure = error;
    this.#waiting?.wake();
  }

  close(): void {
    this.#watch.close();
  }

  #departure(keys: ReadonlySet<string>): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting = undefined;
        resolve();
      };
      this.#waiting = { keys, wake };
    });
  }
}
