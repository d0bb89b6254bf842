import { RefusedError } from '../../../core/errors.js';
import type { Watch, WatchListener } from '../../../core/store.js';
import type { Backend } from '../backend.js';
import { toKeyValue } from '../kv/key-value.js';
import { isEmpty } from '../mvcc/interval.js';
import { isDeletion, type Version } from '../mvcc/version.js';
import type { Receiver, Watcher, WatchSpec } from '../watch/watcher.js';
import { fromKeyValue } from './replies.js';

/** A watch of a `DirectStore`. Its listener is called after the change that it hears of is through, never within. */
export class DirectWatch implements Watch {
  readonly since: bigint;
  readonly ready: Promise<void>;
  readonly #backend: Backend;
  readonly #spec: WatchSpec;
  readonly #listener: WatchListener;
  readonly #onClose: (watch: DirectWatch) => void;
  #watcher: Watcher | undefined;
  #closed = false;

  constructor(
    backend: Backend,
    spec: WatchSpec,
    listener: WatchListener,
    onClose: (watch: DirectWatch) => void,
  ) {
    this.#backend = backend;
    this.#spec = spec;
    this.#listener = listener;
    this.#onClose = onClose;
    this.since = BigInt(spec.from);
    if (isEmpty(spec.interval)) {
      const error = new RefusedError('WATCH_CANCELED', 'mvcc: watcher range is empty');
      this.ready = Promise.reject(error);
      this.ready.catch(() => {});
      this.#later(() => this.fail(error));
      return;
    }
    this.ready = Promise.resolve();
    this.#begin(spec.from);
  }

  close(): void {
    this.#closed = true;
    if (this.#watcher) this.#backend.watches.remove(this.#watcher);
    this.#onClose(this);
  }

  /** Ends it for good; the listener is told why. */
  fail(error: Error): void {
    this.close();
    queueMicrotask(() => this.#listener.closed(error));
  }

  #begin(from: number): void {
    const { watches, store } = this.#backend;
    const receiver: Receiver = {
      isReady: () => true,
      events: (changes) => this.#later(() => this.#listener.events(changes.map(toEvent))),
      compacted: () => {
        // What is left of history is to be read; the watch goes on from here.
        const now = store.revision;
        this.#later(() => this.#listener.gap(BigInt(now)));
        this.#begin(now + 1);
      },
    };
    this.#watcher = watches.add({ ...this.#spec, from }, receiver);
    watches.resume(this.#watcher);
  }

  #later(tell: () => void): void {
    queueMicrotask(() => {
      if (!this.#closed) tell();
    });
  }
}

function toEvent(change: Version): Parameters<WatchListener['events']>[0][number] {
  return {
    type: isDeletion(change) ? 'delete' : 'put',
    kv: fromKeyValue(toKeyValue(change)),
  };
}
