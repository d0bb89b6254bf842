import { Emitter } from '../core/events/emitter.js';
import { hasAny } from '../core/has-any.js';
import type { Session } from '../core/session/session.js';
import { ClosedError, ConflictError, HoldLostError, isLoss } from '../core/store/errors.js';
import { wasRefused } from '../core/store/refusals.js';
import { Backoff } from '../core/time/backoff.js';
import { type Deferred, deferred } from '../core/time/deferred.js';
import { onAbort, type WaitOptions } from '../core/time/signals.js';
import { ending, milliseconds, wholeFrom } from '../core/validate.js';
import { Hand } from './hand.js';
import { Job } from './job.js';

/** Milliseconds until it is looked again whether jobs are left that nobody may take yet, or others are about to: at first, and at most. */
const moments = [20, 1_000] as const;

/** Jobs that were taken together. */
export type Jobs<T> = readonly [Job<T>, ...Job<T>[]];

/** Works on a job: by the job's `signal` it learns that it is to stop. */
export type Handler<T> = (job: Job<T>) => unknown;

/** The same for jobs that were taken together. */
export type BatchHandler<T> = (jobs: Jobs<T>) => unknown;

/** How jobs are consumed. */
export interface ConsumeOptions {
  /** How many are worked on at a time. @defaultValue 1 */
  readonly concurrency?: number;
  /**
   * How many jobs are taken at most for a handler that is free: of them, as many as it handles while one acknowledgement is on its
   * way, and so many may be on theirs. With 1 none is taken that has to wait for a handler, and none is begun before the end of the one
   * before is written. @defaultValue 64
   */
  readonly prefetch?: number;
  /** Ends it, as `close` does. */
  readonly signal?: AbortSignal;
}

/** How jobs are consumed, several at a time: `concurrency` is how many such batches. */
export interface BatchOptions extends ConsumeOptions {
  /** How many jobs a batch has at most. Of large jobs fewer are taken at once. @defaultValue 64 */
  readonly size?: number;
}

/** What happens to a consumer's jobs. */
export interface ConsumerEvents<T> {
  /** A job was acknowledged. */
  done: (event: { readonly job: Job<T> }) => void;
  /** A handler threw, and its job was given back; or it gave it back, or up, by itself: `error` is `undefined` then. */
  failed: (event: { readonly job: Job<T>; readonly error: unknown }) => void;
  /** A job was lost while it was worked on, or what became of it could not be written. */
  lost: (event: { readonly job: Job<T>; readonly error: unknown }) => void;
  /** No job could be taken; it is tried again. */
  error: (event: { readonly error: unknown }) => void;
}

/** Where a consumer gets its jobs. */
export interface JobSource<T> {
  /** How many go to one call of the handler at most. */
  readonly size: number;
  /** Waits for jobs: for at most so many calls of the handler. */
  next(calls: number, wait: WaitOptions): Promise<readonly Jobs<T>[]>;
  /** Takes such as are to be taken now: first of those that were known a moment ago. */
  tryNext(calls: number, wait: WaitOptions): Promise<readonly Jobs<T>[]>;
  /** Whether jobs wait whose turn comes without anybody's decision, by etcd's word. */
  isLeft(options: { readonly signal: AbortSignal }): Promise<boolean>;
}

/** Works on the jobs of a queue until it is closed. */
export class Consumer<T> extends Emitter<ConsumerEvents<T>> implements AsyncDisposable {
  readonly #session: Session;
  readonly #source: JobSource<T>;
  readonly #handler: BatchHandler<T>;
  readonly #stop = new AbortController();
  readonly #running = new Set<Job<T>>();
  readonly #hand: Hand<Jobs<T>>;
  readonly #loops: Promise<unknown>;
  #paused: Deferred<void> | undefined;
  #pausing = new AbortController();
  #isDraining = false;

  /** @throws ArgumentError if an option is not usable. */
  constructor(
    session: Session,
    source: JobSource<T>,
    handler: BatchHandler<T>,
    { concurrency = 1, prefetch = 64, signal }: ConsumeOptions,
  ) {
    super();
    wholeFrom(1, 'concurrency', concurrency);
    wholeFrom(1, 'prefetch', prefetch);
    ending(signal);
    this.#session = session;
    this.#source = source;
    this.#handler = handler;
    this.#hand = new Hand(session.clock, Math.floor(prefetch / source.size), {
      take: (calls) => this.#take(calls),
      giveBack: (all) => Promise.allSettled(all.flat().map((job) => job.release())),
    });
    const loops = Array.from({ length: concurrency }, () => this.#loop());
    this.#loops = session.track(Promise.all(loops).then(() => this.#hand.close()));
    const forgets = [
      onAbort(signal, () => void this.close()),
      // With the session all is lost: what is sent now comes before its end.
      onAbort(session.closing, () => void this.#hand.empty()),
    ];
    const forget = (): void => {
      for (const each of forgets) each();
    };
    void this.#loops.then(forget, forget);
  }

  /** Resolves when it takes no more jobs, and those that it took have come to their end. */
  get ended(): Promise<unknown> {
    return this.#loops;
  }

  /** How many jobs are being worked on. */
  get size(): number {
    return this.#running.size;
  }

  /** Takes no more jobs for now. Those that are worked on go on. */
  pause(): void {
    if (this.#paused) return;
    this.#paused = deferred();
    this.#pausing.abort(new ClosedError('consumer'));
    void this.#hand.empty();
  }

  /** Takes jobs again. */
  resume(): void {
    if (!this.#paused) return;
    this.#pausing = new AbortController();
    this.#paused.resolve();
    this.#paused = undefined;
  }

  /**
   * Works until no job is ready any more, for whomever, and then closes: what is delayed, rests, or is worked on elsewhere, stays.
   * Jobs behind one of the same `orderKey` that does are ready: they are waited for until they have had their turn, unless
   * somebody has to decide first what becomes of that one (`unblock`). Waits for its last jobs as long as they take; `close` ends
   * it before.
   */
  async drain(): Promise<void> {
    this.#isDraining = true;
    this.#pausing.abort(new ClosedError('consumer'));
    this.resume();
    await this.#loops;
    await this.close();
  }

  /**
   * Takes no more jobs, and waits for those that are worked on, for `grace` milliseconds; what is not done by then is
   * given back at once, to be taken by others, and its handler learns of it by the job's signal.
   *
   * @throws ArgumentError if `grace` is not a duration.
   */
  async close(grace = 5_000): Promise<void> {
    milliseconds('grace', grace);
    this.#stop.abort(new ClosedError('consumer'));
    this.resume();
    this.#pausing.abort(this.#stop.signal.reason);
    const emptied = this.#hand.close();
    const ended = new AbortController();
    void this.#loops.then(() => ended.abort());
    await this.#session.clock.sleep(grace, ended.signal).catch(() => {});
    const left = [...this.#running].filter((job) => job.isHeld);
    await Promise.allSettled([emptied, ...left.map((job) => job.release())]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stop;
    const pause = new Backoff(100, 5_000);
    const moment = new Backoff(...moments);
    const finishing: Promise<void>[] = [];
    while (!signal.aborted) {
      try {
        await this.#paused?.promise;
        // The end of the last is written while the next is taken.
        const jobs = await this.#next(finishing);
        pause.reset();
        if (jobs) moment.reset();
        // Nobody is to begin once it is closed.
        if (jobs && signal.aborted) await this.#giveBack(jobs);
        else if (jobs) finishing.push(this.#finish(jobs, await this.#run(jobs)));
        else if (this.#isDraining && (await this.#isEmpty(moment))) break;
      } catch (error) {
        if (signal.aborted || this.#session.closing.aborted) break;
        if (!isLoss(error)) this.emit('error', { error });
        await this.#session.clock.sleep(pause.next(), signal).catch(() => {});
      }
    }
    await Promise.all(finishing);
  }

  /** Gives `undefined` where it is to pause first, or to end. What was lost before its turn is not begun: not while ends were written, either. */
  async #next(finishing: Promise<void>[]): Promise<Jobs<T> | undefined> {
    for (;;) {
      const jobs = await this.#hand.next();
      for (const job of jobs ?? []) this.#running.add(job);
      while (finishing.length >= this.#hand.most) await finishing.shift();
      if (!jobs) return undefined;
      for (const job of jobs) if (!job.isHeld) this.#running.delete(job);
      const held = jobs.filter((job) => this.#running.has(job));
      if (hasAny(held)) return held;
    }
  }

  /** Gives nothing where it is to pause first, or to end. */
  async #take(calls: number): Promise<readonly Jobs<T>[]> {
    // Who waits is told to do that no more, and goes on without waiting.
    const { signal } = this.#isDraining ? this.#stop : this.#pausing;
    try {
      const wait = { signal };
      const source = this.#source;
      return await (this.#isDraining ? source.tryNext(calls, wait) : source.next(calls, wait));
    } catch (error) {
      if (signal.aborted && !this.#session.closing.aborted) return [];
      throw error;
    }
  }

  async #giveBack(jobs: Jobs<T>): Promise<void> {
    try {
      await Promise.all(jobs.map((job) => job.release()));
    } finally {
      for (const job of jobs) this.#running.delete(job);
    }
  }

  /** Whether nothing waits to be worked on: what this process knows may be a moment old. */
  async #isEmpty(moment: Backoff): Promise<boolean> {
    const { signal } = this.#stop;
    const isLeft = await this.#source.isLeft({ signal });
    if (isLeft) await this.#session.clock.sleep(moment.next(), signal);
    return !isLeft && this.#hand.isEmpty;
  }

  async #run(jobs: Jobs<T>): Promise<Ended> {
    const { clock } = this.#session;
    const began = clock.now();
    try {
      return { result: await this.#handler(jobs) };
    } catch (error) {
      return { error };
    } finally {
      this.#hand.handled(clock.now() - began);
      for (const job of jobs) this.#running.delete(job);
    }
  }

  /** Acknowledges jobs or gives them back, unless their handler did. */
  async #finish(jobs: Jobs<T>, ended: Ended): Promise<void> {
    const { clock } = this.#session;
    const began = clock.now();
    // What its handler is about to end, without waiting for that, is not ended otherwise.
    if (jobs.some((job) => job.ending !== undefined)) {
      const failures = await Promise.all(jobs.map(async (job) => await job.ending));
      const error = failures.find((failure, i) => failure !== undefined && jobs[i]?.isHeld);
      if (error !== undefined && !('error' in ended)) return this.#finish(jobs, { error });
    }
    const held = jobs.filter(({ isHeld }) => isHeld);
    const isOneByOne = jobs.length === 1 || 'error' in ended;
    const ends = isOneByOne
      ? await Promise.allSettled(held.map((job) => conclude(job, ended)))
      : await Job.ackAll(held);
    this.#hand.ended(clock.now() - began);
    const byJob = new Map(held.map((job, i) => [job, ends[i]]));
    const told = jobs.map((job) => {
      // What its handler has ended does not fail for the sake of others.
      const isMeant = byJob.has(job) || job.isLost || held.length === 0;
      return this.#tell(job, isMeant ? ended : {}, byJob.get(job));
    });
    await Promise.all(told);
  }

  async #tell(job: Job<T>, ended: Ended, end?: PromiseSettledResult<void>): Promise<void> {
    const isFailure = 'error' in ended;
    if (end?.status === 'rejected') {
      const error: unknown = end.reason;
      // What its handler gave is no result, or its effects may not be.
      const isRefused = wasRefused(error) || error instanceof ConflictError;
      if (!isFailure && isRefused) return this.#finish([job], { error });
      // Whoever has it, too, may have ended it meanwhile.
      if (!isReleased(error)) return void this.emit('lost', { job, error });
    }
    // Where etcd says that it was ended, it was: though it seemed to be lost while that was on its way.
    const isWritten = job.isDone || end?.status === 'fulfilled';
    if (job.isLost && !isWritten) {
      this.emit('lost', { job, error: ended.error ?? job.signal.reason });
    } else if (!isFailure && job.isDone) this.emit('done', { job });
    else this.emit('failed', { job, error: ended.error });
  }
}

/** How a handler ended. */
interface Ended {
  readonly result?: unknown;
  /** Is there if it threw. */
  readonly error?: unknown;
}

function conclude(job: Job<unknown>, ended: Ended): Promise<void> {
  if ('error' in ended) return job.nack({ reason: reasonOf(ended.error) });
  return job.ack({ result: ended.result });
}

/** What is kept of what a handler threw. */
function reasonOf(error: unknown): string {
  try {
    const said: unknown = error instanceof Error ? error.message || error.name : error;
    // Where that cuts a character, or one was cut before, half of it is none.
    return Buffer.from(String(said).slice(0, 1_000)).toString() || 'no reason';
  } catch {
    // Such as an object without a prototype.
    return 'no reason';
  }
}

function isReleased(error: unknown): boolean {
  return error instanceof HoldLostError && error.reason === 'released';
}
