import { scan } from '../core/scan.js';
import {
  ClosedError,
  isCoordinationError,
  LimitError,
  UnavailableError,
} from '../core/store/errors.js';
import type { KeyValue } from '../core/store/store.js';
import { deferred } from '../core/time/deferred.js';
import { onAbort } from '../core/time/signals.js';
import { Watching } from '../core/watch/watching.js';
import type { Duty, Tools } from './desk.js';

/** So many jobs are read at once at the beginning. */
const pageSize = 500;
/** The wall clock may be set: so it is looked at every so many milliseconds. */
const longestSleep = 60_000;

/** What a keeper does while it is one: it knows what is to be done when, and does it. */
export class Keeping {
  readonly #tools: Tools;
  readonly #duties: readonly Duty[];
  readonly #begun: () => void;
  #news = deferred<void>();
  /** Whether it has failed: nobody waits for it any more. */
  #isOver = false;

  /** @param begun - called when all is known, and something was done of it, or nothing is to be done yet */
  constructor(tools: Tools, duties: readonly Duty[], begun: () => void) {
    this.#tools = tools;
    this.#begun = begun;
    this.#duties = duties;
  }

  /** Goes on from what there was at a revision until it fails, or the keeper's signal aborts: then rejects with that. */
  async run(revision: bigint): Promise<never> {
    const { session, keys, signal } = this.#tools;
    const { store, clock } = session;
    await this.#read(revision);
    const from = revision + 1n;
    const watching = new Watching(store, keys.timed, { from, onGap: 'error', signal }, clock);
    try {
      return await Promise.race([this.#follow(watching), this.#work()]);
    } finally {
      watching.close();
      this.#isOver = true;
      this.#news.resolve();
    }
  }

  /** Takes up what there was at a revision: fewer at once, where they are large. */
  async #read(revision: bigint): Promise<void> {
    const { session, keys, signal } = this.#tools;
    for (let size = pageSize; ; size = Math.ceil(size / 4)) {
      try {
        const kvs = scan(session.store, keys.timed, { revision, pageSize: size, signal });
        for await (const kv of kvs) this.#put(kv);
        return;
      } catch (error) {
        const isTooMuch = error instanceof LimitError || error instanceof UnavailableError;
        if (!isTooMuch || size === 1) throw error;
      }
    }
  }

  async #follow(watching: Watching): Promise<never> {
    for await (const { changes } of watching.revisions()) {
      for (const { type, kv } of changes) {
        if (type === 'put') this.#put(kv);
        else this.#dutyFor(kv.key.toString())?.delete(kv.key.toString());
      }
      this.#news.resolve();
    }
    throw this.#tools.signal.reason;
  }

  async #work(): Promise<never> {
    while (!this.#isOver) {
      this.#tools.signal.throwIfAborted();
      this.#news = deferred();
      const left = Math.min(...this.#duties.map((duty) => duty.left()));
      if (left > 0) {
        this.#begun();
        await this.#rest(left);
      } else for (const duty of this.#duties) if (duty.left() <= 0) await duty.work();
    }
    throw new ClosedError('keeper');
  }

  /** Waits for so many milliseconds, or for news. */
  async #rest(ms: number): Promise<void> {
    const { session, signal } = this.#tools;
    const news = this.#news;
    const over = (): void => news.resolve();
    const stop = session.clock.after(Math.min(ms, longestSleep), over);
    const release = onAbort(signal, over);
    await news.promise;
    release();
    stop();
  }

  #put(kv: KeyValue): void {
    const key = kv.key.toString();
    try {
      this.#dutyFor(key)?.put(key, kv);
    } catch (error) {
      // What is not ours stays where it is.
      if (!isCoordinationError(error) && !(error instanceof SyntaxError)) throw error;
    }
  }

  #dutyFor(key: string): Duty | undefined {
    return this.#duties.find(({ folder }) => key.startsWith(folder));
  }
}
