import type { Hold } from '../core/line/hold.js';
import type { LineEntry } from '../core/line/line.js';
import type { Owner } from '../core/session/session.js';
import { ArgumentError, type LossReason } from '../core/store/errors.js';
import type { GuardedTxn } from '../core/txn/guarded-txn.js';
import { wholeFrom } from '../core/validate.js';

/** Options of a schedule. */
export interface ScheduleOptions {
  /** Whose clock the expression speaks of, with its summer time. All processes are to give the same. @defaultValue `'UTC'` */
  readonly timeZone?: string;
  /**
   * What becomes of ticks that came while nobody was there, or while the job ran: they are left out (`skip`), the last of
   * them is run (`last`), or all are, one after the other (`all`). @defaultValue `'last'`
   */
  readonly catchUp?: 'skip' | 'last' | 'all';
  /** Of `all`, how many at most: the last ones; up to 10,000. @defaultValue 100 */
  readonly catchUpLimit?: number;
  /**
   * How often the job is begun for one tick, where whoever ran it died, or lost its place, before it had ended: 1 is at most
   * once; with more it may be done more than once. What a job throws is its end. @defaultValue 1
   */
  readonly attempts?: number;
}

/** What a job is given. */
export interface TickContext {
  /** For which time it runs: the scheduled one. It is later than that of every tick begun before, unless `attempt` is not 1. */
  readonly tick: Date;
  /** How often it was begun for this tick, with this one. */
  readonly attempt: number;
  /** The fencing token: whoever runs ticks later has a larger one. Ticks that one process runs in a row have the same. */
  readonly token: bigint;
  /** Aborts when somebody else may run the next tick; and with the signal that `run` was given. */
  readonly signal: AbortSignal;
  /** Begins a transaction that takes effect only while nobody else may run a tick. */
  readonly txn: () => GuardedTxn;
}

/** What is done at each tick. */
export type ScheduledJob = (context: TickContext) => unknown;

/** Which tick an event is about. */
export interface TickEvent extends Pick<TickContext, 'tick' | 'attempt' | 'token'> {
  readonly name: string;
}

/** What happens to the ticks that one object runs. */
export interface ScheduleEvents {
  /** It is written down that the tick is ours; the job begins. */
  started: (event: TickEvent) => void;
  /** The job has ended. */
  done: (event: TickEvent) => void;
  /** The job has thrown. */
  failed: (event: TickEvent & { readonly error: unknown }) => void;
  /** Ticks from `tick` on are left out, up to `next` if that is run now. */
  missed: (event: {
    readonly name: string;
    readonly tick: Date;
    readonly next: Date | undefined;
  }) => void;
  /** Whoever began this tick, `by`, did not come to its end. */
  unfinished: (event: TickEvent & { readonly by: Owner }) => void;
  /** Somebody else may run ticks now; this goes back to the end of the line. */
  lost: (event: Pick<Hold, 'key' | 'token'> & { name: string; reason: LossReason }) => void;
}

/** What became of the tick that was begun last. */
export interface TickReport extends Pick<TickContext, 'tick' | 'attempt' | 'token'> {
  /** `unfinished`: who ran it died or lost its place; `running` may be the same, as long as nobody has found out. */
  readonly state: 'running' | 'done' | 'failed' | 'unfinished';
  /** Who ran it. */
  readonly by: Owner;
  /** What the job has thrown, as text. */
  readonly error?: string;
}

/** A schedule as others see it. */
export interface ScheduleState {
  /** The expression that is followed; `undefined` if nobody has run it. */
  readonly cron: string | undefined;
  /** `undefined` if no tick was begun. */
  readonly last: TickReport | undefined;
  /** The first tick that was not dealt with. Where it has passed, nobody was there, or the job still runs. */
  readonly next: Date | undefined;
  /** Who runs ticks. */
  readonly runner: LineEntry | undefined;
  /** Who would, in that order, if the runner were gone. */
  readonly waiters: readonly LineEntry[];
}

/** Counting them takes some tens of microseconds each, in which nothing else can run. */
const mostToCatchUp = 10_000;

/** @throws ArgumentError if an option is not usable. */
export function checkSchedule({ catchUp, catchUpLimit, attempts }: ScheduleOptions): void {
  if (catchUp !== undefined && !['skip', 'last', 'all'].includes(catchUp)) {
    throw new ArgumentError('catchUp', "'skip', 'last' or 'all'", catchUp);
  }
  if (catchUpLimit !== undefined && wholeFrom(1, 'catchUpLimit', catchUpLimit) > mostToCatchUp) {
    throw new ArgumentError('catchUpLimit', `at most ${mostToCatchUp}`, catchUpLimit);
  }
  if (attempts !== undefined) wholeFrom(1, 'attempts', attempts);
}
