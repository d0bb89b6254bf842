import { json } from '../core/codec.js';
import { Recipe } from '../core/line/recipe.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError } from '../core/store/errors.js';
import type { CallOptions } from '../core/store/store.js';
import type { WaitOptions } from '../core/time/signals.js';
import { type CancelOptions, cancel, type UnfinishedState } from './cancellation.js';
import { type Cleared, type ClearOptions, clear } from './clearing.js';
import { DeadLetters } from './dead-letters.js';
import { drained } from './drained.js';
import type { Skipped } from './job-maker.js';
import type { JobState, JobView } from './job-view.js';
import { type JobPage, Listing, type PageOptions } from './listing.js';
import { Outbox } from './outbox.js';
import { type Pause, pause, pauseOf, resume } from './pausing.js';
import { QueueKeys } from './queue-keys.js';
import { checkCodec, checkQueue, type QueueOptions } from './queue-options.js';
import type { QueueParts } from './queue-parts.js';
import { QueueWatch } from './queue-watch.js';
import { Results } from './results.js';
import {
  type QueueStats,
  readStats,
  type StatsChange,
  type StatsOptions,
  watchStats,
} from './stats.js';

/** What happens in a queue, as far as this object has to do with it. */
export interface QueueEvents {
  /** A job was taken from whoever worked on it here. */
  lost: (event: { readonly id: string; readonly error: unknown }) => void;
  /** A job with an `orderKey` used up its attempts here and was deleted, as `onExhausted: 'skip'` says. */
  skipped: (event: Skipped) => void;
  /**
   * This process now sees to delays and schedules, and the wall clock of the one that did is so many milliseconds ahead of ours, or
   * behind. What waits for a date, and schedules, depend on these clocks.
   */
  skew: (event: { readonly ahead: number }) => void;
  /** This process could not see to delays and schedules; it is tried again. */
  error: (event: { readonly error: unknown }) => void;
}

/** What people and programs that look after a queue can see and do. */
export abstract class ManagedQueue<T> extends Recipe<QueueEvents> {
  /** The jobs that were given up. */
  readonly deadLetters: DeadLetters<T>;
  protected readonly parts: QueueParts<T>;
  readonly #listing: Listing<T>;

  /** @throws ArgumentError if the name is empty or an option is not usable. */
  constructor(session: Session, name: string, options: QueueOptions<T>) {
    super(session, name);
    const keys = new QueueKeys(name);
    const { store, clock } = session;
    const outbox = Outbox.at(store, keys, clock);
    const { codec = json<T>() } = options;
    const checked = { codec: checkCodec(codec), options: checkQueue(options) };
    this.parts = { session, name, keys, outbox, ...checked };
    this.#listing = new Listing(this.parts);
    this.deadLetters = new DeadLetters(this.parts);
  }

  /** How many jobs there are, and how the queue is. @throws UnavailableError, RefusedError */
  stats(options: StatsOptions = {}): Promise<QueueStats> {
    return readStats(this.parts, options);
  }

  /** The stats again and again, every so many milliseconds, with what changed per second. @throws as `stats` */
  watchStats(
    options: StatsOptions & { readonly every?: number } = {},
  ): AsyncGenerator<StatsChange, void> {
    return watchStats(this.parts, options);
  }

  /** Jobs in one state, page by page, in about the order in which they come. @throws ArgumentError, UnavailableError */
  list(state: JobState, page: PageOptions = {}): Promise<JobPage<T>> {
    return this.#listing.page(state, page);
  }

  /** All that is known of a job; `undefined` if nothing is. @throws ArgumentError, UnavailableError */
  get(id: string, options: CallOptions = {}): Promise<JobView<T> | undefined> {
    return this.#listing.get(id, options);
  }

  /**
   * Cancels a job that is not finished, wherever it is: from then on nobody can acknowledge it. If somebody works on it, the
   * job's `signal` aborts there, and `job.isCancelled`.
   *
   * @returns where it was; `undefined` if it was finished, or never there
   * @throws ArgumentError, UnavailableError (then do it again), RefusedError, or the reason of `options.signal`.
   */
  cancel(id: string, options: CancelOptions = {}): Promise<UnfinishedState | undefined> {
    return cancel(this.parts, id, options);
  }

  /**
   * Has nobody take jobs from now on, in any process; each hears of it a moment later. Jobs that are worked on go on, and jobs can be
   * put. Says whether it was not paused before; if it was, it stays as it is.
   *
   * @throws ArgumentError, UnavailableError, RefusedError, or the reason of `options.signal`.
   */
  pause(reason = 'paused', options: CallOptions = {}): Promise<boolean> {
    return pause(this.parts, reason, options);
  }

  /** Has jobs taken again. Says whether it was paused. @throws as `pause` */
  resume(options: CallOptions = {}): Promise<boolean> {
    return resume(this.parts, options);
  }

  /** Why it is paused, and by whom; `undefined` if it is not. @throws UnavailableError, RefusedError */
  paused(options: CallOptions = {}): Promise<Pause | undefined> {
    return pauseOf(this.parts, options);
  }

  /**
   * Deletes all jobs that wait or are delayed; what is put meanwhile may be left. In many small steps where there are many.
   *
   * @throws ArgumentError, UnavailableError, RefusedError, or the reason of `options.signal`; some may have been deleted.
   */
  clear(options: ClearOptions = {}): Promise<Cleared> {
    return clear(this.parts, options);
  }

  /**
   * Waits until no job is unfinished: none waits, is delayed, or is worked on.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed.
   */
  drained(wait: WaitOptions = {}): Promise<void> {
    return drained(this.parts, wait);
  }

  /**
   * Waits until a job is finished, and gives its result. That of a job which is finished already is there as long as it is kept.
   *
   * @throws JobFailedError if it was given up, or nothing is known of it; JobCancelledError.
   * @throws ArgumentError unless the queue keeps results (`keepResults`).
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed.
   */
  async finished(id: string, wait: WaitOptions = {}): Promise<unknown> {
    const { options, session, name, keys } = this.parts;
    if (!options.keepResults)
      throw new ArgumentError('keepResults', 'true to wait for results', false);
    return Results.at(session, name, keys).finished(id, wait);
  }

  /** What happens to its jobs in all processes, from now on: begins at once. The loop rejects with the reason of `signal`. */
  watch(options: { readonly signal?: AbortSignal } = {}): QueueWatch {
    return new QueueWatch(this.parts, options);
  }
}
