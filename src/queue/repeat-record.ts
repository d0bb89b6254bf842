import { ArgumentError, ConflictError } from '../core/store/errors.js';
import { type Data, toBytes } from '../core/store/keys.js';
import type { KeyValue } from '../core/store/store.js';
import { Ticks } from '../core/time/ticks.js';
import { wholeFrom } from '../core/validate.js';
import { decodeRecord, encodeRecord } from './job-record.js';
import { labelOf } from './queue-keys.js';
import { checkPut, type JobOptions } from './queue-options.js';

/** What makes no sense for a job that is put again and again. */
const leftOut = ['delay', 'notBefore', 'id', 'dedupe'] as const;

/** How a job is put again and again. */
export interface RepeatOptions extends Omit<JobOptions, (typeof leftOut)[number]> {
  /** Whose clock the expression speaks of, with its summer time. @defaultValue `'UTC'` */
  readonly timeZone?: string;
  /**
   * What becomes of ticks that came while nobody took jobs of this queue: they are left out (`skip`), the job is put for the last
   * of them (`last`), or for all (`all`). @defaultValue `'last'`
   */
  readonly catchUp?: 'skip' | 'last' | 'all';
  /** Of `all`, how many at most: the last ones; up to 1,000. @defaultValue 100 */
  readonly catchUpLimit?: number;
}

/** A job that is put again and again. */
export interface Repetition<T> {
  readonly key: string;
  readonly cron: string;
  readonly timeZone: string;
  readonly value: T;
  /** The tick for which it was put last. */
  readonly last: Date | undefined;
  /** The first tick that was not dealt with; `undefined` until somebody takes jobs. */
  readonly next: Date | undefined;
}

/** What is repeated, and how. */
export interface RepeatSpec {
  readonly cron: string;
  readonly timeZone: string;
  readonly catchUp: 'skip' | 'last' | 'all';
  readonly catchUpLimit: number;
  readonly job: Pick<
    JobOptions,
    'priority' | 'orderKey' | 'group' | 'attempts' | 'ttl' | 'onExpiry'
  >;
}

/** How far it has come. Times are milliseconds since 1970. */
export interface RepeatProgress {
  /** Ticks up to here were dealt with. */
  readonly after?: number;
  /** The one for which it was put last. */
  readonly last?: number;
  /** Times past are not to be caught up with. */
  readonly isNew?: boolean;
}

/** What is written of it. */
export interface RepeatRecord {
  readonly spec: RepeatSpec;
  readonly progress: RepeatProgress;
  readonly value: Buffer;
}

/** Finding the last ones takes some tens of microseconds each, in which nothing else can run. */
const mostToCatchUp = 1_000;

/** What `options` say. @throws ArgumentError if one is not usable. */
export function specOf(cron: string, options: RepeatOptions): RepeatSpec {
  const { timeZone = 'UTC', catchUp = 'last', catchUpLimit = 100 } = options;
  const { priority, orderKey, group, attempts, ttl, onExpiry } = checkPut(options);
  for (const option of leftOut) {
    const given = (options as JobOptions)[option];
    if (given !== undefined) throw new ArgumentError(option, 'left out here', given);
  }
  void labelOf(orderKey, group);
  void new Ticks(cron, timeZone);
  if (!['skip', 'last', 'all'].includes(catchUp)) {
    throw new ArgumentError('catchUp', "'skip', 'last' or 'all'", catchUp);
  }
  if (wholeFrom(1, 'catchUpLimit', catchUpLimit) > mostToCatchUp) {
    throw new ArgumentError('catchUpLimit', `at most ${mostToCatchUp}`, catchUpLimit);
  }
  const job = {
    ...(priority !== undefined && { priority }),
    ...(orderKey !== undefined && { orderKey }),
    ...(group !== undefined && { group }),
    ...(attempts !== undefined && { attempts }),
    ...(ttl !== undefined && { ttl }),
    ...(onExpiry !== undefined && { onExpiry }),
  };
  return { cron, timeZone, catchUp, catchUpLimit, job };
}

/** Writes one. */
export function encodeRepeat(spec: RepeatSpec, progress: RepeatProgress, value: Data): Buffer {
  return toBytes(encodeRecord({ spec, progress }, value));
}

/** Reads one. @throws ConflictError if it is none. */
export function decodeRepeat({ key, value: bytes }: Pick<KeyValue, 'key' | 'value'>): RepeatRecord {
  const { header, value } = decodeRecord(key.toString(), bytes);
  const { spec, progress } = header as unknown as Omit<RepeatRecord, 'value'>;
  if (![spec, spec?.job, progress].every((part) => typeof part === 'object' && part !== null)) {
    throw new ConflictError(`${key.toString()} repeats nothing: somebody else writes there`);
  }
  return { spec, progress, value };
}

/** The same after a change: one that ticks at other times begins with those now. */
export function replaced(before: RepeatRecord | undefined, spec: RepeatSpec): RepeatProgress {
  const isSame = before?.spec.cron === spec.cron && before.spec.timeZone === spec.timeZone;
  return isSame ? before.progress : { ...before?.progress, isNew: true };
}
