import { ChangeQueue, type WatchBatch, type WatchChange } from '../events/change-queue.js';
import { ArgumentError, ClosedError, CoordinationError } from '../store/errors.js';
import type { KeyRange } from '../store/keys.js';
import type { Store, WatchOptions } from '../store/store.js';
import { type Clock, systemClock } from '../time/clock.js';
import { deferred } from '../time/deferred.js';
import { onAbort } from '../time/signals.js';
import { ending, wholeFrom } from '../validate.js';
import { WatchFeed } from './watch-feed.js';

export type { WatchBatch, WatchChange };

/** How a range is watched. */
export interface WatchingOptions extends WatchOptions {
  /** Ends the watch; the loop over it rejects with `signal.reason`. */
  readonly signal?: AbortSignal;
  /**
   * Tells first of all keys that there are, as puts, and then of every change from there on. Not with `from`, nor with
   * `only: 'delete'`. @defaultValue `false`
   */
  readonly initial?: boolean;
  /**
   * What to do where etcd has compacted changes that are yet to be told. `resync` reads the state and tells what has
   * changed; it keeps a list of all keys of the range for that (not with `only: 'put'`), and reads them when the watch begins.
   * `error` ends the loop with a `CompactedError`. @defaultValue `'resync'`
   */
  readonly onGap?: 'resync' | 'error';
  /**
   * How many changes may wait for the loop. When there are more, the watch pauses at etcd, whose history then holds what is
   * to come. What comes in one message, the initial state, and what a resync finds, may be more. @defaultValue 10,000
   */
  readonly buffer?: number;
  /** Keeps only the newest of those changes of a key that still wait for the loop. @defaultValue `false` */
  readonly coalesce?: boolean;
}

/**
 * The changes in a range, for one `for await` loop: each once, in order, through reconnects, outages and compaction. It begins
 * at once, and ends when the loop is left, with `close`, or with an error that says why.
 */
export class Watching implements AsyncIterable<WatchChange> {
  /**
   * Settles when everything from here on will be told: what is read after this misses nothing. Rejects if the watch ends
   * before.
   */
  readonly ready: Promise<void>;
  /**
   * Settles when the loop was given all of the initial state, with its revision; without `initial`, when it is `ready`. Rejects
   * if the watch ends before.
   */
  readonly synced: Promise<bigint>;
  readonly #queue: ChangeQueue;
  readonly #feed: WatchFeed;
  readonly #initial: boolean;
  readonly #synced = deferred<bigint>();
  #stopListening: () => void = () => {};
  #wake: (() => void)[] = [];
  #revision: bigint | undefined;
  #end: End | undefined;
  #isTaken = false;

  /**
   * @throws ArgumentError if an option is not usable.
   * @throws ClosedError if the store is closed.
   */
  constructor(
    store: Store,
    range: KeyRange,
    options: WatchingOptions = {},
    clock: Clock = systemClock,
  ) {
    check(options);
    const {
      signal,
      initial = false,
      onGap = 'resync',
      buffer = 10_000,
      coalesce = false,
    } = options;
    this.#initial = initial;
    this.#queue = new ChangeQueue(coalesce);
    const user = {
      queue: this.#queue,
      pushed: () => this.#wakeUp(),
      failed: (error: unknown) => this.#finish({ error }),
    };
    this.#feed = new WatchFeed(store, range, { ...options, initial, onGap, buffer }, user, clock);
    this.ready = this.#begin();
    this.synced = this.#synced.promise;
    this.ready.catch(() => {});
    this.#stopListening = onAbort(signal, () => this.#finish({ error: signal?.reason, now: true }));
  }

  /**
   * Up to which revision the loop was given everything: a watch `from` the next one goes on there. `undefined` until that is
   * known.
   */
  get revision(): bigint | undefined {
    return this.#revision;
  }

  /**
   * The changes, one by one.
   *
   * @throws CoordinationError if somebody reads this watch already
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<WatchChange> {
    return this.#iterate(this.#changes());
  }

  /**
   * The changes in steps from one state of the range to the next: all of one revision, the whole initial state, all that a
   * resync finds; with `coalesce` all that wait.
   *
   * @throws CoordinationError if somebody reads this watch already
   */
  revisions(): AsyncIterableIterator<WatchBatch> {
    return this.#iterate(this.#batches());
  }

  /** Ends the watch, and the loop over it without an error. */
  close(): void {
    this.#finish({ now: true });
  }

  /** The same as `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  async #begin(): Promise<void> {
    const revision = await this.#feed.ready;
    if (this.#initial) return;
    this.#revision ??= revision;
    this.#synced.resolve(revision);
  }

  async *#changes(): AsyncGenerator<WatchChange, void, void> {
    for (let batch = await this.#take(false); batch; batch = await this.#take(false)) {
      const { changes } = batch;
      if (changes.length === 0) this.#gave(batch);
      for (const [i, change] of changes.entries()) {
        if (i === changes.length - 1) this.#gave(batch);
        yield change;
        if (this.#end?.now) break;
      }
    }
  }

  async *#batches(): AsyncGenerator<WatchBatch, void, void> {
    for (let batch = await this.#take(true); batch; batch = await this.#take(true)) {
      this.#gave(batch);
      yield batch;
    }
  }

  #iterate<T>(items: AsyncGenerator<T, void, void>): AsyncIterableIterator<T> {
    if (this.#isTaken) {
      const message = 'a watch is for one loop: make another watch for another loop';
      throw new CoordinationError('ERR_INVALID_ARGUMENT', message);
    }
    this.#isTaken = true;
    const iterator: AsyncIterableIterator<T> = {
      next: () => items.next(),
      return: () => {
        // Before the generator hears of it, which may be waiting for what comes next.
        this.close();
        return items.return();
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  async #take(whole: boolean): Promise<WatchBatch | undefined> {
    for (;;) {
      const batch = this.#queue.shift(whole);
      if (batch) {
        this.#feed.taken();
        return batch;
      }
      if (this.#end) {
        this.#stopListening();
        if ('error' in this.#end) throw this.#end.error;
        return undefined;
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  #gave({ revision, origin }: WatchBatch): void {
    this.#revision = revision;
    if (origin === 'initial') this.#synced.resolve(revision);
  }

  #finish(end: End): void {
    // While what waited for the loop at a failure is given to it, it can still be ended.
    if (this.#end && (this.#end.now || !end.now)) return;
    this.#end = end;
    if (end.now) {
      this.#queue.clear();
      this.#stopListening();
    }
    const reason = 'error' in end ? end.error : new ClosedError('watch');
    this.#feed.close(reason);
    this.#synced.reject(reason);
    this.#wakeUp();
  }

  #wakeUp(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** Why a watch ended, if not by `close`, and whether what waits is of no interest any more. */
interface End {
  readonly error?: unknown;
  readonly now?: boolean;
}

function check({ signal, from, only, initial, onGap, buffer = 1 }: WatchingOptions): void {
  ending(signal);
  if (from !== undefined && !(typeof from === 'bigint' && from >= 1n)) {
    throw new ArgumentError('from', 'a revision: a bigint from 1n', from);
  }
  if (only !== undefined && only !== 'put' && only !== 'delete') {
    throw new ArgumentError('only', "'put' or 'delete'", only);
  }
  if (initial && (from !== undefined || only === 'delete')) {
    throw new ArgumentError('initial', "given without from and only: 'delete'", initial);
  }
  if (onGap !== undefined && onGap !== 'resync' && onGap !== 'error') {
    throw new ArgumentError('onGap', "'resync' or 'error'", onGap);
  }
  wholeFrom(1, 'buffer', buffer);
}
