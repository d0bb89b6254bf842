import type { Session } from '../core/session/session.js';
import { CompactedError, LimitError } from '../core/store/errors.js';
import type { OperationReply, Watch, WatchEvent, WatchListener } from '../core/store/store.js';
import { type Deferred, deferred } from '../core/time/deferred.js';
import { persist } from '../core/time/persist.js';
import { abortable, onAbort } from '../core/time/signals.js';
import { WeakValues } from '../core/weak-values.js';
import { Depth } from './depth.js';
import type { QueueKeys } from './queue-keys.js';

/** How many may be put for one count: a part of the room that was found, within these. */
const share = { part: 16, most: 100 };
/** What was counted so many milliseconds ago says nothing any more. */
const freshness = 1_000;

/** Leave to put one job. */
export interface Pass {
  /** Counts the jobs in the same step as the put; does nothing where that is not needed. */
  readonly counting: Depth['bounding'];
  /** The put came to its end, with what `counting` gave if that is known. */
  end(counted?: readonly OperationReply[]): void;
}

interface Waiter {
  readonly entered: Deferred<Pass>;
  /** Whether it does not wait where there is no room. */
  readonly isHasty: boolean;
}

/**
 * Lets jobs into a queue that is to have no more than `limit`, first come first served in this process. There is no counter that
 * all puts would fight for: who puts counts what there is, seldom where there is much room, and each time where there is little.
 *
 * Of one count a process puts no more than a sixteenth of the room it found, 100 at most, or one. So with others who put at the
 * same time there are at most `limit` jobs, and for each other process a sixteenth of that, 100 at most, or one.
 */
export class Admission implements WatchListener {
  static readonly #all = new WeakMap<Session, WeakValues<string, Admission>>();
  readonly #session: Session;
  readonly #keys: QueueKeys;
  readonly #depth: Depth;
  readonly #limit: number;
  #waiting: Waiter[] = [];
  #isBusy = false;
  /** How many may be put before it is counted again. */
  #allowed = 0;
  /** By our clock. */
  #countedAt = Number.NEGATIVE_INFINITY;
  /** How many are being put. */
  #underWay = 0;
  /** What the last that was allowed counts; `undefined` if that is not known. */
  #told: Promise<number | undefined> | undefined;
  #watch: Watch | undefined;
  #news = deferred<void>();
  #failure: Error | undefined;

  private constructor(session: Session, keys: QueueKeys, limit: number) {
    this.#session = session;
    this.#keys = keys;
    this.#limit = limit;
    this.#depth = new Depth(session.store, keys);
  }

  /** The one shared by all in this process who use the same session. */
  static at(session: Session, keys: QueueKeys, limit: number): Admission {
    const all = Admission.#all.get(session) ?? new WeakValues<string, Admission>();
    Admission.#all.set(session, all);
    return all.at(`${keys.folder}${limit}`, () => new Admission(session, keys, limit));
  }

  /**
   * Waits for room, unless it `isHasty`.
   *
   * @throws LimitError if it is, and there is none; the reason of `signal`; RefusedError.
   */
  async enter(isHasty: boolean, signal: AbortSignal): Promise<Pass> {
    signal.throwIfAborted();
    const waiter = { entered: deferred<Pass>(), isHasty };
    const stop = onAbort(signal, () => this.#leave(waiter, signal.reason));
    this.#waiting.push(waiter);
    if (isHasty) this.#news.resolve();
    if (!this.#isBusy) void this.#work();
    try {
      return await waiter.entered.promise;
    } finally {
      stop();
    }
  }

  events(events: readonly WatchEvent[]): void {
    const { ready, delayed } = this.#keys;
    const [records, later] = [Buffer.from(ready), Buffer.from(delayed)];
    const isJob = ({ kv: { key } }: WatchEvent): boolean =>
      startsWith(key, later) || (startsWith(key, records) && !key.includes('!', records.length));
    if (events.some(isJob)) this.#news.resolve();
  }

  gap(): void {
    this.#news.resolve();
  }

  closed(error: Error): void {
    this.#failure = error;
    this.#news.resolve();
  }

  #leave(waiter: Waiter, reason: unknown): void {
    this.#waiting = this.#waiting.filter((each) => each !== waiter);
    waiter.entered.reject(reason);
    this.#news.resolve();
  }

  async #work(): Promise<void> {
    const { closing, clock } = this.#session;
    this.#isBusy = true;
    try {
      while (this.#waiting.length > 0) {
        const isFresh = clock.now() - this.#countedAt < freshness;
        if (this.#allowed > 0 && isFresh) this.#admit();
        else await this.#count(closing);
      }
    } catch (error) {
      for (const { entered } of this.#waiting.splice(0)) entered.reject(error);
    }
    this.#isBusy = false;
    this.#watch?.close();
    this.#watch = undefined;
  }

  #admit(): void {
    this.#allowed -= 1;
    this.#underWay += 1;
    const told = this.#allowed === 0 ? deferred<number | undefined>() : undefined;
    if (told) this.#told = told.promise;
    this.#waiting.shift()?.entered.resolve({
      counting: told ? this.#depth.bounding : [],
      end: (counted) => {
        this.#underWay -= 1;
        this.#news.resolve();
        told?.resolve(counted && this.#depth.boundOf(counted));
      },
    });
  }

  /** Finds out how much room there is; waits for some where there is none. */
  async #count(signal: AbortSignal): Promise<void> {
    const { clock } = this.#session;
    const told = this.#told;
    this.#told = undefined;
    const before = told && (await abortable(told, signal));
    this.#news = deferred();
    const room =
      before !== undefined && before < this.#limit
        ? this.#limit - before
        : await this.#look(signal);
    this.#countedAt = clock.now();
    const left = room - this.#underWay;
    this.#allowed = left > 0 ? allowedOf(left) : 0;
    if (this.#allowed > 0) return;
    const depth = this.#limit - room;
    for (const { entered } of this.#waiting.filter(({ isHasty }) => isHasty)) {
      entered.reject(new LimitError('the queue', 'limit', depth, this.#limit));
    }
    this.#waiting = this.#waiting.filter(({ isHasty }) => !isHasty);
    if (this.#waiting.length > 0) await abortable(this.#news.promise, signal);
  }

  /** Gives how much room there is; has a watch tell of what makes some from then on. */
  async #look(signal: AbortSignal): Promise<number> {
    const { clock } = this.#session;
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    const { count, revision } = await persist((each) => this.#depth.bound(each), signal, clock);
    if (count < this.#limit) return this.#limit - count;
    const { delayed, ready } = this.#keys;
    const range = { key: delayed, end: ready.replace(/\/$/, '0') };
    const options = { from: revision + 1n, only: 'delete' } as const;
    this.#watch ??= this.#session.store.watch(range, this, options);
    try {
      return this.#limit - (await this.#depth.exact(revision, signal));
    } catch (error) {
      // That revision was forgotten meanwhile.
      if (error instanceof CompactedError) return this.#look(signal);
      throw error;
    }
  }
}

function allowedOf(room: number): number {
  return Math.max(1, Math.min(share.most, Math.floor(room / share.part)));
}

function startsWith(key: Buffer, prefix: Buffer): boolean {
  return key.subarray(0, prefix.length).equals(prefix);
}
