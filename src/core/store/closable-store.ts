import { ClosedError } from './errors.js';
import { ForwardingStore } from './forwarding-store.js';
import type { KeyRange } from './keys.js';
import type { Store, Watch, WatchListener, WatchOptions } from './store.js';

/**
 * A store that is over for its users at once when it is closed, while the other one stays open for what is left to do
 * there: pending calls reject, and watches end.
 */
export class ClosableStore extends ForwardingStore {
  /** What it comes to for each call and watch under way. */
  readonly #closing = new Set<(error: Error) => void>();

  override watch(range: KeyRange, listener: WatchListener, options?: WatchOptions): Watch {
    const end = (error: Error): void => {
      watch.close();
      // One that throws disturbs no other.
      queueMicrotask(() => listener.closed(error));
    };
    const inner: WatchListener = {
      events: (events) => listener.events(events),
      gap: (revision) => listener.gap(revision),
      closed: (error) => {
        this.#closing.delete(end);
        listener.closed(error);
      },
    };
    const watch = this.store.watch(range, inner, options);
    this.#closing.add(end);
    return {
      get since() {
        return watch.since;
      },
      ready: watch.ready,
      close: () => {
        this.#closing.delete(end);
        watch.close();
      },
    };
  }

  protected override call<T>(make: (store: Store) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = async (): Promise<void> => {
        try {
          resolve(await make(this.store));
        } catch (error) {
          reject(error);
        }
        this.#closing.delete(reject);
      };
      this.#closing.add(reject);
      void settle();
    });
  }

  protected override end(): void {
    const error = new ClosedError('store');
    for (const end of this.#closing) end(error);
    this.#closing.clear();
  }
}
