import { hasAny } from '../core/has-any.js';
import { inParts } from '../core/in-parts.js';
import type { HoldCaps } from '../core/line/hold-caps.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError, isLoss } from '../core/store/errors.js';
import { toBytes } from '../core/store/keys.js';
import type { CallOptions, Operation } from '../core/store/store.js';
import type { WaitOptions } from '../core/time/signals.js';
import { tell } from '../core/trace.js';
import { wholeFrom } from '../core/validate.js';
import { allPut } from './all-put.js';
import { type BlockedKey, listBlocked, type Unblock, unblock } from './blocked.js';
import {
  type BatchHandler,
  type BatchOptions,
  type ConsumeOptions,
  Consumer,
  type Handler,
  type JobSource,
  type Jobs,
} from './consumer.js';
import { Dispenser } from './dispenser.js';
import { Entrance } from './entrance.js';
import { Job } from './job.js';
import type { JobMaker } from './job-maker.js';
import { Keeper, type Party } from './keeper.js';
import { isLeft } from './left.js';
import { ManagedQueue } from './managed-queue.js';
import { expired, untold } from './passage.js';
import type { JobOptions, QueueOptions } from './queue-options.js';
import { RepeatBook } from './repeat-book.js';
import type { RepeatOptions, Repetition } from './repeat-record.js';
import type { Demand } from './seekers.js';
import { foundOf, type Taken } from './steps.js';
import { Turns } from './turns.js';
import type { Put } from './unique.js';

/** What becomes of a put. */
export interface Receipt extends Put {
  /** Waits until the job is finished, and gives its result: `queue.finished(id)`. */
  finished(wait?: WaitOptions): Promise<unknown>;
}

/**
 * Jobs that are put by some and taken by others, each by one at a time, in the order in which they were put. A job stays until
 * it is acknowledged: whoever dies while working on it, or loses touch, leaves it to others.
 */
export class Queue<T> extends ManagedQueue<T> {
  readonly #entrance: Entrance<T>;
  readonly #maker: JobMaker<T>;
  #ownKeeper: Keeper | undefined;
  readonly #party: Party;
  /** Of each job that is taken. */
  readonly #caps: HoldCaps;

  /** @throws ArgumentError if the name is empty or an option is not usable. */
  constructor(session: Session, name: string, options: QueueOptions<T> = {}) {
    super(session, name, options);
    const { keys, codec } = this.parts;
    const { attempts, backoff, maxBytes, keepResults, onExhausted } = this.parts.options;
    const { clock } = session;
    const maxResultBytes = keepResults ? maxBytes : undefined;
    const { visibility, maxTime } = this.parts.options;
    this.#caps = { idle: visibility, ...(maxTime !== undefined && { maxHold: maxTime }) };
    this.#entrance = new Entrance(this.parts);
    this.#maker = {
      name,
      keys,
      codec,
      attempts,
      backoff,
      clock,
      turns: new Turns(),
      maxBytes,
      maxResultBytes,
      onExhausted,
      onSkipped: (event) => void this.emit('skipped', event),
    };
    this.#party = {
      id: Symbol(name),
      retention: this.parts.options.retention,
      onSkew: (ahead) => this.emit('skew', { ahead }),
      onError: (error) => this.emit('error', { error }),
    };
  }

  /**
   * Puts a job. Puts of one process are in the order of the calls; and whatever was put before this was called comes before.
   *
   * @throws ArgumentError if an option is not usable, LimitError if the value is too large (`maxBytes`), or the queue is full (`limit`)
   * and to reject it (`whenFull`), WaitTimeoutError if it was so for all of `timeout`; nothing was put.
   * @throws UnavailableError if etcd did not answer in time; `outcome` says whether it may have been put: it is never put twice.
   * @throws RefusedError if etcd refused it; or the reason of `options.signal`, and then it may have been put.
   */
  async put(value: T, options: JobOptions = {}): Promise<Receipt> {
    return this.#receipt(await this.#entrance.send(this.#entrance.parcel(value, options), options));
  }

  /**
   * Puts jobs, in their order; as many at once as etcd takes. Where that fails, those before may have been put.
   *
   * @throws as `put`: with the outcome `applied` only if all were put, and `not-applied` only if none was.
   */
  async putMany(values: Iterable<T>, options: JobOptions = {}): Promise<Receipt[]> {
    const parcels = Array.from(values, (value) => this.#entrance.parcel(value, options));
    const sent = parcels.map((parcel) => this.#entrance.send(parcel, options));
    return (await allPut(sent)).map((put) => this.#receipt(put));
  }

  /**
   * A step of a transaction that puts a job, for `effects` and `ack({ txn })`: not with `dedupe.window`. Where there is one already with its `id`
   * or `dedupe.key`, that step does nothing; the names of jobs that the transaction ends are free after it only.
   *
   * @throws ArgumentError, LimitError
   */
  enqueuing(value: T, options: Omit<JobOptions, keyof CallOptions> = {}): Operation {
    return this.#entrance.step(value, options);
  }

  /**
   * Waits for a job, and takes it.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed; RefusedError.
   */
  async next(wait: WaitOptions = {}): Promise<Job<T>> {
    const [job] = await this.nextMany(1, wait);
    return job;
  }

  /**
   * Waits for a job, and takes it, with others that may be taken now: in one step, and so at less cost for each. They are to be
   * acknowledged together, too (`Job.ackAll`).
   *
   * @param most - how many in all; of large ones fewer are taken
   * @throws ArgumentError unless `most` is a whole number from 1; or as `next`.
   */
  async nextMany(most: number, wait: WaitOptions = {}): Promise<Jobs<T>> {
    wholeFrom(1, 'most', most);
    const leave = this.#keeper.join(this.#party);
    try {
      return await this.#take({ most }, wait);
    } finally {
      leave();
    }
  }

  /** Takes a job if there is one to be taken now. @throws as `next`. */
  async tryNext(wait: WaitOptions = {}): Promise<Job<T> | undefined> {
    const leave = this.#keeper.join(this.#party);
    try {
      const [job] = await this.#tryTake(1, wait, false);
      return job;
    } finally {
      leave();
    }
  }

  /** Takes one job after the other; each is to be acknowledged by the loop. Ends with an error as `next`. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Job<T>, void> {
    for (;;) yield await this.next();
  }

  /**
   * Has `handler` work on the jobs, so many at a time: what it resolves with acknowledges a job, what it throws gives it back to be
   * tried again.
   *
   * @throws ArgumentError if an option is not usable.
   */
  consume(handler: Handler<T>, options: ConsumeOptions = {}): Consumer<T> {
    if (typeof handler !== 'function') throw new ArgumentError('handler', 'a function', handler);
    return this.#consume(1, ([job]) => handler(job), options);
  }

  /**
   * Has `handler` work on several jobs at a time, which are taken in one step and acknowledged in one: by far the cheapest
   * where there are many. It gets what there is, up to `size` jobs. When it resolves, those that it has not ended by itself are done, with no
   * result; when it throws, they are given back to be tried again.
   *
   * @throws ArgumentError if an option is not usable.
   */
  consumeBatches(handler: BatchHandler<T>, options: BatchOptions = {}): Consumer<T> {
    if (typeof handler !== 'function') throw new ArgumentError('handler', 'a function', handler);
    const { size = 64 } = options;
    wholeFrom(1, 'size', size);
    return this.#consume(size, handler, options);
  }

  #consume(size: number, handler: BatchHandler<T>, options: ConsumeOptions): Consumer<T> {
    // What comes too late goes back before anything else is taken, and before it is closed.
    const calls = async (jobs: Promise<readonly Job<T>[]>): Promise<Jobs<T>[]> => {
      try {
        return inParts(await jobs, size);
      } catch (error) {
        await this.#dispenser.settled();
        throw error;
      }
    };
    const source: JobSource<T> = {
      size,
      next: (most, wait) => calls(this.#take({ most: size * most, enough: size }, wait)),
      tryNext: (most, wait) => calls(this.#tryTake(size * most, wait, true)),
      isLeft: (wait) => isLeft(this.session.store, this.parts.keys, wait),
    };
    const consumer = new Consumer(this.session, source, handler, options);
    const leave = this.#keeper.join(this.#party);
    void consumer.ended.then(leave, leave);
    return consumer;
  }

  /**
   * Has a job put at each tick of a cron expression, once, as long as somebody takes jobs of this queue: until `unrepeat`. With a
   * key that is there already it is changed; with another expression or time zone it begins with that now.
   *
   * @throws ArgumentError if the key is empty, the expression none, or an option not usable; or as `put`.
   * @throws LimitError if the value is too large: `maxBytes`, and 700,000 bytes.
   */
  async repeat(key: string, cron: string, value: T, options: RepeatOptions = {}): Promise<void> {
    await this.#repeats.set(key, cron, toBytes(this.#entrance.encode(value)), options);
  }

  /** Has it put no more; says whether it was. What was put stays. @throws as `put`. */
  unrepeat(key: string, options: CallOptions = {}): Promise<boolean> {
    return this.#repeats.delete(key, options);
  }

  /** The jobs that are put again and again, by key. @throws UnavailableError, RefusedError; what the codec throws. */
  repeats(options: CallOptions = {}): Promise<Repetition<T>[]> {
    return this.#repeats.list((value) => this.parts.codec.decode(value), options);
  }

  get #repeats(): RepeatBook {
    return new RepeatBook(this.session, this.parts.keys);
  }

  /** From when it first takes jobs on, as long as it is there: what it wants kept is kept also while it takes none. */
  get #keeper(): Keeper {
    this.#ownKeeper ??= Keeper.at(this.session, this.name, this.parts.keys);
    return this.#ownKeeper;
  }

  /** Which orders wait for a job that was given up (`onExhausted: 'block'`). @throws as a read of the store. */
  blockedKeys(options: CallOptions = {}): Promise<BlockedKey[]> {
    return listBlocked(this.session.store, this.parts.keys, options);
  }

  /**
   * Has an order go on that waits for a job that was given up: `retry` has that tried again, with all its attempts; `dead-letter`
   * keeps it among the dead letters, and `skip` deletes it.
   *
   * @returns `false` if that order is not blocked
   * @throws ArgumentError if an argument is not usable, RefusedError; UnavailableError, and `outcome` says whether it may be done.
   */
  unblock(orderKey: string, how: Unblock, options: CallOptions = {}): Promise<boolean> {
    return unblock(this.session.store, this.parts.keys, orderKey, how, options);
  }

  get #dispenser(): Dispenser {
    const { keys, options } = this.parts;
    return Dispenser.at(this.session, this.name, keys, options.groupConcurrency);
  }

  async #take(demand: Demand, wait: WaitOptions): Promise<Jobs<T>> {
    const since = this.session.clock.now();
    for (;;) {
      const jobs = await this.#checked(await this.#dispenser.take(wait, demand, since));
      if (hasAny(jobs)) return jobs;
    }
  }

  async #tryTake(most: number, wait: WaitOptions, isHasty: boolean): Promise<readonly Job<T>[]> {
    const since = this.session.clock.now();
    for (;;) {
      const taken = await this.#dispenser.tryTake(wait, most, isHasty, since);
      const jobs = await this.#checked(taken);
      if (jobs.length > 0 || taken.length === 0) return jobs;
    }
  }

  /** Jobs to work on, without those that are given up. */
  async #checked(all: readonly Taken[]): Promise<Job<T>[]> {
    const jobs: Job<T>[] = [];
    const others: Promise<undefined>[] = [];
    for (const taken of all) {
      const job = this.#jobOf(taken);
      if (job instanceof Job) jobs.push(job);
      else others.push(job);
    }
    if (others.length === 0) return jobs;
    const failed = (await Promise.allSettled(others)).find(({ status }) => status === 'rejected');
    if (jobs.length === 0 && failed) throw (failed as PromiseRejectedResult).reason;
    return jobs;
  }

  /** A job to work on; `undefined` for one that was begun too often or waited for too long, and is given up. */
  #jobOf(taken: Taken): Job<T> | Promise<undefined> {
    const job = new Job(taken, this.#maker);
    taken.hold.cap(this.#caps);
    const isUsable = job.attempt <= job.attempts && !isExpired(taken);
    return isUsable ? job : this.#giveUp(taken, job);
  }

  async #giveUp(taken: Taken, job: Job<T>): Promise<undefined> {
    try {
      if (isExpired(taken)) await this.#drop(taken, job.id);
      else
        await job.nack({ reason: job.attempts > 0 ? 'its handlers died, or lost it' : 'no job' });
    } catch (error) {
      // Whoever has it now does the same.
      if (!isLoss(error)) throw error;
    }
    return undefined;
  }

  async #drop(taken: Taken, id: string): Promise<void> {
    const { keys } = this.parts;
    const { onExpiry } = taken.record.header;
    const success = expired(keys, foundOf(taken));
    if (onExpiry === 'delete') success.push(untold(keys, [id], 'dead', 'expired'));
    await taken.hold.conclude({ success });
    taken.ended();
  }

  #receipt({ id, revision, isDuplicate }: Put): Receipt {
    if (!isDuplicate) tell('job', () => ({ name: this.name, event: 'put' }));
    return { id, revision, isDuplicate, finished: (wait) => this.finished(id, wait) };
  }
}

/** Whether it has waited for longer than it may. */
function isExpired({ waited, record }: Taken): boolean {
  const { ttl } = record.header;
  return ttl !== undefined && waited > ttl;
}
