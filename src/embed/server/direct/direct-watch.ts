import { judge, refusalOf } from '../../../core/etcd3/status.js';
import { ClosedError, RefusedError } from '../../../core/store/errors.js';
import type { Watch, WatchEvent, WatchListener } from '../../../core/store/store.js';
import type { Backend } from '../backend.js';
import type { Faults } from '../faults.js';
import { toKeyValue } from '../kv/key-value.js';
import { isEmpty } from '../mvcc/interval.js';
import type { MvccStore } from '../mvcc/store.js';
import { isDeletion, type Version } from '../mvcc/version.js';
import { before, type Receiver, type Watcher, type WatchSpec } from '../watch/watcher.js';
import { fromKeyValue } from './replies.js';

/** Milliseconds until a watch that met a fault is set again. */
const PAUSE = 100;

/** What is watched; without `from` whatever comes once the watch is set. */
export type DirectWatchSpec = Omit<WatchSpec, 'from'> & {
  readonly from: number | undefined;
  /** Whether listeners are given the pair before each change. */
  readonly previous: boolean;
};

/** A watch of a `DirectStore`. Its listener is called after the change that it hears of is through, never within. */
export class DirectWatch implements Watch {
  since: bigint | undefined;
  readonly ready: Promise<void>;
  readonly #backend: Backend;
  readonly #spec: DirectWatchSpec;
  readonly #listener: WatchListener;
  readonly #gone = new AbortController();
  #settle = { resolve: (): void => {}, reject: (error: Error): void => void error };
  #watcher: Watcher | undefined;

  constructor(backend: Backend, spec: DirectWatchSpec, listener: WatchListener) {
    this.#backend = backend;
    this.#spec = spec;
    this.#listener = listener;
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.ready.catch(() => {});
  }

  /** Aborts when the watch is over. */
  get over(): AbortSignal {
    return this.#gone.signal;
  }

  /** Sets it: at once, or when the faults let it. */
  open(faults: Faults): void {
    if (isEmpty(this.#spec.interval)) {
      const error = new RefusedError('WATCH_CANCELED', 'mvcc: watcher range is empty');
      this.#later(() => this.fail(error));
    } else if (faults.none) this.#set();
    else void this.#openThrough(faults);
  }

  close(): void {
    this.#end(new ClosedError('watch'));
  }

  /** Ends it for good; the listener is told why. */
  fail(error: Error): void {
    this.#end(error);
    queueMicrotask(() => this.#listener.closed(error));
  }

  async #openThrough(faults: Faults): Promise<void> {
    while (!this.over.aborted) {
      try {
        await faults.run('Watch.Watch', () => this.#set(), this.over);
        return;
      } catch (error) {
        if (judge(error) === 'refused') this.fail(refusalOf(error));
        else await this.#backend.clock.sleep(PAUSE, this.over).catch(() => {});
      }
    }
  }

  #set(): void {
    if (this.over.aborted || this.#watcher) return;
    const from = this.#spec.from ?? this.#backend.store.revision + 1;
    this.since = BigInt(from);
    this.#begin(from);
    this.#settle.resolve();
  }

  #begin(from: number): void {
    const { watches, store } = this.#backend;
    const history = this.#spec.previous ? store : undefined;
    const receiver: Receiver = {
      isReady: () => true,
      events: (changes) => {
        // As of now: what was before may be forgotten a moment later.
        const events = changes.map((change) => toEvent(change, history));
        this.#later(() => this.#listener.events(events));
      },
      compacted: () => {
        // What is left of history is to be read; the watch goes on from here.
        const now = store.revision;
        this.since = BigInt(now + 1);
        this.#later(() => this.#listener.gap(BigInt(now)));
        this.#begin(now + 1);
      },
    };
    this.#watcher = watches.add({ ...this.#spec, from }, receiver);
    watches.resume(this.#watcher);
  }

  #end(error: Error): void {
    if (this.#watcher) this.#backend.watches.remove(this.#watcher);
    this.#settle.reject(error);
    this.#gone.abort(error);
  }

  #later(tell: () => void): void {
    queueMicrotask(() => {
      if (!this.over.aborted) tell();
    });
  }
}

function toEvent(change: Version, history: MvccStore | undefined): WatchEvent {
  const type = isDeletion(change) ? 'delete' : 'put';
  const event: WatchEvent = { type, kv: fromKeyValue(toKeyValue(change)) };
  const previous = history && before(change, history);
  return previous ? { ...event, previous: fromKeyValue(toKeyValue(previous)) } : event;
}
