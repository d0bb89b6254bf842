import { inParts } from '../core/in-parts.js';
import { ArgumentError, ConflictError } from '../core/store/errors.js';
import { wasRefused } from '../core/store/refusals.js';
import type { Operation } from '../core/store/store.js';
import { deferred } from '../core/time/deferred.js';
import { type Notes, tell } from '../core/trace.js';
import { milliseconds, nonEmpty } from '../core/validate.js';
import { ClaimHold } from './claim-hold.js';
import { encodeResult } from './encode-result.js';
import type { JobMaker } from './job-maker.js';
import type { Failure } from './job-record.js';
import { JobTxn } from './job-txn.js';
import { nameOf, untold } from './passage.js';
import { groupOf, orderOf, progressOf } from './queue-keys.js';
import { delayAfter, longestDelay } from './queue-options.js';
import { again, blocking, buried, done, foundOf, giveBack, type Taken } from './steps.js';
import { nameIn } from './unique.js';

/** Jobs are acknowledged by so many steps in one transaction, with room for what else that has of etcd's 128. */
const stepsTogether = 100;

/** How a job is acknowledged. */
export interface AckOptions {
  /** What is kept as its result, as JSON, where the queue keeps results (`keepResults`). @defaultValue nothing */
  readonly result?: unknown;
  /** Adds to the `effects` of the job, for this time. */
  readonly txn?: (txn: JobTxn) => void;
}

/** How a job is given back after a failure. */
export interface NackOptions {
  /** Why: kept in its history. @defaultValue `'nack'` */
  readonly reason?: string;
  /** Milliseconds until it may be taken again. @defaultValue what the queue's `backoff` says */
  readonly delay?: number;
}

/**
 * A job that was taken from a queue, to be worked on: then acknowledged (`ack`), or given back (`nack`). Nobody else gets it as
 * long as it is held; `signal` tells when it is not any more, and then whatever is done through it has no effect.
 */
export class Job<T> implements AsyncDisposable {
  /** The name that it got when it was put. */
  readonly id: string;
  /** Which attempt at it this is, from 1. */
  readonly attempt: number;
  /** How many there are to be at most. */
  readonly attempts: number;
  readonly #taken: Taken;
  readonly #maker: JobMaker<T>;
  /** When it was taken, by our clock. */
  readonly #since: number;
  #value: { readonly decoded: T } | undefined;
  #effects: JobTxn | undefined;
  #ending: Promise<unknown> | undefined;
  #isDone = false;

  constructor(taken: Taken, maker: JobMaker<T>) {
    this.#taken = taken;
    this.#maker = maker;
    this.id = nameOf(maker.keys, foundOf(taken));
    this.attempt = taken.attempt;
    this.#since = maker.clock.now();
    tell('job', () => {
      const waited = Math.max(0, maker.clock.wall() - taken.record.header.at);
      return { name: maker.name, event: 'taken', waited };
    });
    this.attempts = taken.record.header.attempts ?? maker.attempts;
  }

  /** What was put. @throws what the codec throws */
  get value(): T {
    this.#value ??= { decoded: this.#maker.codec.decode(this.#taken.record.value) };
    return this.#value.decoded;
  }

  /** The `id` that it was put with. */
  get name(): string | undefined {
    return nameIn(this.#taken.record.header);
  }

  /** What it was put in order with. */
  get orderKey(): string | undefined {
    return unescaped(orderOf(this.id));
  }

  /** The group that it was put in. */
  get group(): string | undefined {
    return unescaped(groupOf(this.id));
  }

  /** The fencing token: larger each time the job is taken. */
  get token(): bigint {
    return this.#taken.hold.token;
  }

  /**
   * Aborts with a `HoldLostError` when the job is taken from us: the session is lost, its handler gave no sign of life for the
   * queue's `visibility` (`idle`), or took longer than `maxTime` (`max-hold`), somebody has cancelled it (`deleted`; then its
   * `cause` is a `JobCancelledError`), or whoever consumes is being closed (`closed`).
   */
  get signal(): AbortSignal {
    return this.#taken.hold.signal;
  }

  /** The last attempts that failed. */
  get history(): readonly Failure[] {
    return this.#taken.record.header.history ?? [];
  }

  /** When it was put, by the clock of who put it: to look at, not to rely on. */
  get putAt(): Date {
    return new Date(this.#taken.record.header.at);
  }

  /** Which of the queue's `repeats` put it, and for which time; `undefined` for a job that was put otherwise. */
  get repeat(): { readonly key: string; readonly tick: Date } | undefined {
    const { repeat } = this.#taken.record.header;
    return repeat && { key: repeat.key, tick: new Date(repeat.tick) };
  }

  /** Whether another attempt would be one too many. */
  get isLastAttempt(): boolean {
    return this.attempt >= this.attempts;
  }

  /** Shows that its handler is alive: nobody else gets the job for another `visibility`. @throws HoldLostError if it is lost. */
  extend(): void {
    this.signal.throwIfAborted();
    this.#taken.hold.touch();
  }

  /**
   * Tells others how far it is (`queue.get`, `queue.watch`): a sign of life, as `extend`.
   *
   * @param value - anything that JSON can express
   * @throws ArgumentError unless JSON can express it; as `txn().commit`.
   */
  async progress(value: unknown): Promise<void> {
    const encoded = encodeResult(value, this.#maker.maxBytes, 'value');
    const { hold } = this.#taken;
    await hold.txn().put(progressOf(hold.record), encoded).commit();
  }

  /** Begins a transaction that takes effect only while the job is ours; it counts as a sign of life. */
  txn(): ReturnType<Taken['hold']['txn']> {
    return this.#taken.hold.txn();
  }

  /**
   * What is to take effect together with the acknowledgement, whoever makes that: writes of your own, conditions, jobs for this
   * queue or another. It does so once, or not at all. So a handler need not wait for its acknowledgement itself. Once that is on
   * its way, nothing can be added: that throws a `ClosedError`.
   *
   * @throws HoldLostError if the job is not ours any more.
   */
  get effects(): JobTxn {
    this.#taken.hold.throwIfOver();
    this.#effects ??= new JobTxn(() => this.isHeld && !this.#ending);
    return this.#effects;
  }

  /**
   * It is done: nobody gets it again.
   *
   * @throws HoldLostError if it is not ours any more: it has been given to somebody else, or will be; nothing was done.
   * @throws ConflictError if a condition added in `txn` does not hold; nothing was done, and the job is still ours.
   * @throws ArgumentError, LimitError if what was added is malformed or too large; nothing was done.
   * @throws UnavailableError if etcd did not answer for as long as it was ours; `outcome` says whether it may be done.
   */
  async ack({ txn: add, result }: AckOptions = {}): Promise<void> {
    if (add !== undefined && typeof add !== 'function') {
      throw new ArgumentError('txn', 'a function', add);
    }
    const txn = new JobTxn();
    add?.(txn);
    if (this.#effects) txn.include(this.#effects);
    const steps = txn.with(this.#done(result));
    const { hold } = this.#taken;
    const conclude = async (): Promise<boolean> => {
      if (await hold.conclude(steps)) return true;
      throw new ConflictError(`a condition for the end of job ${this.id} does not hold`);
    };
    // A sign of life, however long it waits.
    hold.touch();
    const end = txn.isEmpty ? conclude() : this.#maker.turns.take(txn.footprint, conclude);
    await this.#acked(end);
  }

  /**
   * Acknowledges jobs, with no result: many in one step where that can be, and else each by itself, as `ack` does; so those that
   * have `effects`. Tells what came of each: what `ack` throws is the reason where it was rejected.
   *
   * @throws ArgumentError unless it gets jobs.
   */
  static async ackAll(jobs: readonly Job<unknown>[]): Promise<PromiseSettledResult<void>[]> {
    if (!(Array.isArray(jobs) && jobs.every((job) => job instanceof Job))) {
      throw new ArgumentError('jobs', 'an array of jobs', jobs);
    }
    const acks = new Map<Job<unknown>, Promise<void>>();
    const plain: Job<unknown>[] = [];
    for (const job of new Set(jobs)) {
      if (job.#effects?.isEmpty === false) acks.set(job, job.ack());
      else plain.push(job);
    }
    const ends = plain.map((job) => ({ job, steps: job.#taken.hold.ending(job.#done()) }));
    const together = stepsTogether / Math.max(1, ...ends.map(({ steps }) => steps.length));
    for (const some of inParts(ends, Math.floor(together))) {
      const isDone = ClaimHold.concludeAll(
        some.map(({ job }) => job.#taken.hold),
        some.flatMap(({ steps }) => steps),
      );
      for (const { job } of some) acks.set(job, job.#ackWith(isDone));
    }
    return await Promise.allSettled(jobs.map((job) => acks.get(job) as Promise<void>));
  }

  /**
   * It failed, and is to be tried again: after a delay, unless this was its last attempt; then it is given up, as by
   * `deadLetter`, or as the queue's `onExhausted` says if it has an `orderKey`.
   *
   * @throws ArgumentError if an option is not usable; or as `ack`.
   */
  async nack({ reason = 'nack', delay }: NackOptions = {}): Promise<void> {
    nonEmpty('reason', reason);
    if (delay !== undefined) milliseconds('delay', delay, 0, longestDelay);
    if (this.isLastAttempt) return this.#giveUp(reason);
    const { backoff, keys, clock } = this.#maker;
    const wait = delay ?? delayAfter(backoff, this.attempt, reason);
    const retry = { reason, delay: wait, at: clock.wall() };
    const isGone = wait > 0 && this.orderKey === undefined;
    return this.#conclude('returned', again(this.#taken, keys, retry), isGone);
  }

  /** It is given up: kept among the dead letters, with its history. @throws as `nack`. */
  async deadLetter(reason: string): Promise<void> {
    const { keys, clock } = this.#maker;
    const failure = { reason: nonEmpty('reason', reason), at: clock.wall() };
    return this.#conclude('dead', buried(this.#taken, keys, failure), true);
  }

  /** Gives it back as if it had not been taken: the attempt does not count. The signal aborts (`closed`). */
  async release(): Promise<void> {
    await giveBack(this.#taken);
  }

  /** Whether it is ours: neither lost nor given back nor acknowledged. */
  get isHeld(): boolean {
    return this.#taken.hold.remaining() > 0;
  }

  /** Its end, where one is on its way: resolves when that is over, with what it failed with, or `undefined`. */
  get ending(): Promise<unknown> | undefined {
    return this.#ending;
  }

  /** Whether we have acknowledged it. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Whether it was taken from us. */
  get isLost(): boolean {
    return this.#taken.hold.lost !== undefined;
  }

  /** Whether it was lost because somebody has cancelled it: the `cause` of the signal's reason tells who, and why. */
  get isCancelled(): boolean {
    return this.#taken.hold.cancellation !== undefined;
  }

  /** Gives it back, unless it was acknowledged or given back. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isHeld) await this.release();
  }

  /** What is to be done when it is done. */
  #done(result?: unknown): Operation[] {
    const { keys, maxResultBytes } = this.#maker;
    const kept = maxResultBytes === undefined ? undefined : encodeResult(result, maxResultBytes);
    return done(this.#taken, keys, kept);
  }

  async #acked(end: Promise<boolean>): Promise<boolean> {
    const isDone = await this.#ended('done', end);
    if (!isDone) return false;
    this.#isDone = true;
    this.#taken.ended();
    return true;
  }

  /** With others, or else by itself. */
  async #ackWith(others: Promise<boolean>): Promise<void> {
    try {
      if (await this.#acked(others)) return;
    } catch (error) {
      // What is refused for all may do for this one.
      if (!wasRefused(error)) throw error;
    }
    await this.ack();
  }

  async #giveUp(reason: string): Promise<void> {
    const { keys, clock, onExhausted, onSkipped } = this.#maker;
    const { orderKey } = this;
    if (orderKey === undefined || onExhausted === 'dead-letter') return this.deadLetter(reason);
    if (onExhausted === 'block') {
      const steps = blocking(this.#taken, keys, { reason, at: clock.wall() });
      return this.#conclude('dead', steps, false);
    }
    const steps = [...done(this.#taken, keys), untold(keys, [this.id], 'dead', reason)];
    await this.#conclude('dead', steps, true);
    onSkipped({ id: this.id, orderKey, reason });
  }

  async #conclude(
    event: 'returned' | 'dead',
    success: readonly Operation[],
    isGone: boolean,
  ): Promise<void> {
    await this.#ended(event, this.#taken.hold.conclude({ success }));
    if (isGone) this.#taken.ended();
  }

  /** Passes on what came of its end, and tells who measures. */
  async #ended(event: Notes['job']['event'], end: Promise<boolean>): Promise<boolean> {
    const { name, clock } = this.#maker;
    const told = (what: Notes['job']['event']): void =>
      tell('job', () => ({ name, event: what, worked: clock.now() - this.#since }));
    const over = deferred<unknown>();
    let failure: unknown;
    this.#ending = over.promise;
    try {
      const isDone = await end;
      if (isDone) told(event);
      return isDone;
    } catch (error) {
      failure = error;
      if (this.isLost) told('lost');
      throw error;
    } finally {
      if (this.#ending === over.promise) this.#ending = undefined;
      over.resolve(failure);
    }
  }
}

function unescaped(text: string | undefined): string | undefined {
  return text === undefined ? undefined : decodeURIComponent(text);
}
