import type { Hold } from '../core/line/hold.js';
import { entryOf, Line, pairsIn } from '../core/line/line.js';
import { Recipe } from '../core/line/recipe.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError, ClosedError, isLoss } from '../core/store/errors.js';
import { folderOf, prefixRange } from '../core/store/keys.js';
import { type WaitOptions, waitScope } from '../core/time/signals.js';
import { Ticks } from '../core/time/ticks.js';
import { recordIn } from './logbook.js';
import { Runner } from './runner.js';
import {
  checkSchedule,
  type ScheduledJob,
  type ScheduleEvents,
  type ScheduleOptions,
  type ScheduleState,
} from './schedule-options.js';

/**
 * A job that runs once per tick of a cron expression, in whichever of the processes that `run` it. They stand in line, and whoever
 * is first runs all ticks until it goes, or is lost. Clocks only say when to look: a tick is known by the time it was scheduled
 * for, and is begun only if that is later than the last one written down.
 */
export class Schedule extends Recipe<ScheduleEvents> implements AsyncDisposable {
  /** When it ticks. */
  readonly cron: string;
  readonly #options: Required<ScheduleOptions>;
  readonly #ticks: Ticks;
  readonly #folder: string;
  readonly #key: string;
  readonly #line: Line;
  readonly #closed = new AbortController();
  readonly #runs = new Set<Promise<void>>();

  /** @throws ArgumentError if the name is empty, the expression none, or an option not usable. */
  constructor(session: Session, name: string, cron: string, options: ScheduleOptions = {}) {
    super(session, name);
    checkSchedule(options);
    const { timeZone = 'UTC', catchUp = 'last', catchUpLimit = 100, attempts = 1 } = options;
    this.cron = cron;
    this.#options = { timeZone, catchUp, catchUpLimit, attempts };
    this.#ticks = new Ticks(cron, timeZone);
    this.#folder = folderOf('schedule', name);
    this.#key = `${this.#folder}record`;
    const folder = `${this.#folder}runners/`;
    const lanes = [{ folder, rivals: prefixRange(folder) }] as const;
    this.#line = new Line(session, { recipe: 'schedule', verb: 'run', name, lanes });
  }

  /**
   * Takes part: stands in line, and runs the job at each tick while it is first, one tick at a time. What the job throws is
   * told by the event `failed`, and in `inspect`. Resolves when this is closed, and the job that ran then has ended; also
   * when the session is closed, which aborts the signal of the job, and waits for it as `Session.close` says.
   *
   * @throws the reason of `wait.signal`, when it aborts and the job that ran, whose signal it aborts, has ended.
   * @throws ArgumentError if `job` is not a function; ClosedError after `close`.
   * @throws RefusedError if etcd refuses it; ConflictError if its key has something else than a record.
   */
  run(job: ScheduledJob, wait: Pick<WaitOptions, 'signal'> = {}): Promise<void> {
    const run = this.session.track(this.#run(job, wait));
    this.#runs.add(run);
    const ended = (): boolean => this.#runs.delete(run);
    run.then(ended, ended);
    return run;
  }

  /** Has `run` end: no other tick is begun, and who waits in line takes over when the job that runs has ended. Waits for that. */
  async close(): Promise<void> {
    this.#closed.abort(new ClosedError(`schedule ${this.name}`));
    await Promise.allSettled(this.#runs);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What became of the last tick, when the next one is, and who runs them. @throws the reason of `wait.signal`, WaitTimeoutError. */
  async inspect(wait: WaitOptions = {}): Promise<ScheduleState> {
    const what = `schedule ${this.name}`;
    const kvs = await pairsIn(this.session, prefixRange(this.#folder), what, wait);
    const kv = kvs.find(({ key }) => key.toString() === this.#key);
    const [runner, ...waiters] = kvs.filter((each) => each !== kv).map(entryOf);
    const line = { runner, waiters };
    if (!kv) return { cron: undefined, last: undefined, next: undefined, ...line };
    const { cron, timeZone, after, last } = recordIn(kv);
    const next = new Date(new Ticks(cron, timeZone).after(after));
    const report = last && { ...last, tick: new Date(last.tick), token: BigInt(last.token) };
    return { cron, last: report, next, ...line };
  }

  async #run(job: ScheduledJob, { signal }: Pick<WaitOptions, 'signal'>): Promise<void> {
    if (typeof job !== 'function') throw new ArgumentError('job', 'a function', job);
    this.#closed.signal.throwIfAborted();
    const { clock, closing } = this.session;
    const outer = waitScope(signal ? { signal } : {}, closing, clock);
    const stop = waitScope({ signal: this.#closed.signal }, outer.signal, clock);
    try {
      while (!stop.signal.aborted) await this.#takeTurn(job, stop.signal, signal);
      signal?.throwIfAborted();
    } finally {
      stop.dispose();
      outer.dispose();
    }
  }

  /** Waits in line, and runs ticks until there is no more to do: it is to stop, or somebody else is to run them. */
  async #takeTurn(
    job: ScheduledJob,
    stop: AbortSignal,
    abort: AbortSignal | undefined,
  ): Promise<void> {
    try {
      const onLost = (hold: Hold): void => this.#onLost(hold);
      const hold = await this.#line.enter({ signal: stop }, () => {}, onLost);
      try {
        const { session, cron, name } = this;
        const spec = { ...this.#options, name, cron, ticks: this.#ticks, key: this.#key };
        const runner = await Runner.at(session, spec, hold, this);
        await runner.run(job, stop, abort);
      } finally {
        await hold.release();
      }
    } catch (error) {
      if (!isLoss(error) && !stop.aborted) throw error;
    }
  }

  #onLost({ key, token, lost }: Hold): void {
    this.emit('lost', { name: this.name, key, token, reason: lost ?? 'deleted' });
  }
}
