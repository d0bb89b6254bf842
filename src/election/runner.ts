import type { Hold } from '../core/line/hold.js';
import type { Session } from '../core/session/session.js';
import { HoldLostError } from '../core/store/errors.js';
import { type WaitScope, waitScope } from '../core/time/signals.js';
import type { Ticks } from '../core/time/ticks.js';
import { Logbook, type TickRecord } from './logbook.js';
import type { Schedule } from './schedule.js';
import type { ScheduledJob, ScheduleOptions, TickEvent } from './schedule-options.js';

/** What is run. */
export interface RunnerSpec extends Required<ScheduleOptions> {
  readonly name: string;
  readonly cron: string;
  readonly ticks: Ticks;
  /** Where it is written down. */
  readonly key: string;
}

/** The wall clock may be set, and a computer may sleep: so it is looked at every so many milliseconds. */
const longestSleep = 60_000;
/** So many characters of what a job has thrown are kept. */
const mostSaid = 1_000;

/** Runs the ticks of a schedule while it is held. */
export class Runner {
  readonly #session: Session;
  readonly #spec: RunnerSpec;
  readonly #hold: Hold;
  readonly #book: Logbook;
  readonly #events: Pick<Schedule, 'emit'>;
  /** Ticks up to here were dealt with. */
  #from: number;
  /** Of ticks up to here it is known that they are to be run. */
  #reckoned = Number.NEGATIVE_INFINITY;

  private constructor(
    session: Session,
    spec: RunnerSpec,
    hold: Hold,
    book: Logbook,
    events: Pick<Schedule, 'emit'>,
  ) {
    this.#session = session;
    this.#spec = spec;
    this.#hold = hold;
    this.#book = book;
    this.#events = events;
    const { record } = book;
    const isFollowed = record?.cron === spec.cron && record.timeZone === spec.timeZone;
    // What another expression, or nobody, said of times past is not to be caught up with.
    this.#from = isFollowed
      ? record.after
      : Math.max(session.clock.wall(), record?.after ?? Number.NEGATIVE_INFINITY);
  }

  /** @throws HoldLostError if the schedule is held no more; ConflictError if its record is none. */
  static async at(
    session: Session,
    spec: RunnerSpec,
    hold: Hold,
    events: Pick<Schedule, 'emit'>,
  ): Promise<Runner> {
    return new Runner(session, spec, hold, await Logbook.open(session, spec.key, hold), events);
  }

  /**
   * Runs the job at each tick until `stop` aborts; `abort` aborts the job itself.
   *
   * @throws HoldLostError when the schedule is held no more, and the job has ended; the reason of `stop`.
   */
  async run(job: ScheduledJob, stop: AbortSignal, abort: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#session;
    const waiting = waitScope({ signal: stop }, this.#hold.signal, clock);
    const working = waitScope(abort ? { signal: abort } : {}, this.#hold.signal, clock);
    try {
      waiting.signal.throwIfAborted();
      await this.#begin(job, working);
      let isWaiting = false;
      for (;;) {
        waiting.signal.throwIfAborted();
        const tick = this.#due(isWaiting);
        if (tick !== undefined) await this.#take(tick, 1, job, working);
        else await this.#sleep(waiting.signal);
        isWaiting = tick === undefined;
      }
    } finally {
      waiting.dispose();
      working.dispose();
    }
  }

  /** Sees to what others have left. */
  async #begin(job: ScheduledJob, working: WaitScope): Promise<void> {
    const { last } = this.#book.record ?? {};
    if (last?.state !== 'running') return this.#write(last);
    this.#events.emit('unfinished', { ...this.#eventOf(last), by: last.by });
    if (last.attempt >= this.#spec.attempts) return this.#write({ ...last, state: 'unfinished' });
    return this.#take(last.tick, last.attempt + 1, job, working);
  }

  /** The tick that is to be run now, if any. Of others that have come it says that they are left out. */
  #due(isWaiting: boolean): number | undefined {
    const { ticks, catchUp, catchUpLimit, name } = this.#spec;
    const now = this.#session.clock.wall();
    const first = ticks.after(this.#from);
    if (first > now) return undefined;
    // Counting all that are behind again for each of them would take as long as the square of their number.
    if (first <= this.#reckoned) return (this.#from = first);
    this.#reckoned = now;
    const most = { skip: isWaiting ? 1 : 0, last: 1, all: catchUpLimit }[catchUp];
    const tick = ticks.firstOfLast(most, this.#from, now);
    if (tick !== first) {
      const next = tick === undefined ? undefined : new Date(tick);
      this.#events.emit('missed', { name, tick: new Date(first), next });
    }
    this.#from = tick ?? now;
    return tick;
  }

  /** Waits for the next tick, or for a while. */
  async #sleep(signal: AbortSignal): Promise<void> {
    const { clock } = this.#session;
    const left = this.#spec.ticks.after(this.#from) - clock.wall();
    await clock.sleep(Math.max(0, Math.min(left, longestSleep)), signal);
  }

  /** Writes down that a tick is ours, and runs the job. */
  async #take(
    tick: number,
    attempt: number,
    job: ScheduledJob,
    { signal }: WaitScope,
  ): Promise<void> {
    const token = String(this.#hold.token);
    const { owner: by } = this.#session;
    const begun: TickRecord = { tick, attempt, token, by, state: 'running' };
    await this.#write(begun);
    // The process may have been stopped since: whoever is next has seen to it.
    signal.throwIfAborted();
    const event = this.#eventOf(begun);
    this.#events.emit('started', event);
    try {
      const txn = (): ReturnType<Hold['txn']> => this.#hold.txn();
      await job({ tick: new Date(tick), attempt, token: event.token, signal, txn });
    } catch (error) {
      if (!isStop(error, signal)) this.#events.emit('failed', { ...event, error });
      // It did not come to its end.
      signal.throwIfAborted();
      return this.#write({ ...begun, state: 'failed', error: textOf(error).slice(0, mostSaid) });
    }
    await this.#write({ ...begun, state: 'done' });
    this.#events.emit('done', event);
  }

  #write(last: TickRecord | undefined): Promise<void> {
    const { cron, timeZone } = this.#spec;
    const after = Math.max(this.#from, last?.tick ?? this.#from);
    return this.#book.write({ cron, timeZone, after, ...(last && { last }) });
  }

  #eventOf({ tick, attempt, token }: TickRecord): TickEvent {
    return { name: this.#spec.name, tick: new Date(tick), attempt, token: BigInt(token) };
  }
}

/** What was thrown, as text; some things have none. */
function textOf(error: unknown): string {
  try {
    return String(error);
  } catch {
    return Object.prototype.toString.call(error);
  }
}

/** Whether a job failed because it was told to stop. */
function isStop(error: unknown, signal: AbortSignal): boolean {
  if (!signal.aborted) return false;
  return (
    error === signal.reason || error instanceof HoldLostError || Object(error).name === 'AbortError'
  );
}
