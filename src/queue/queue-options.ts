import type { Codec } from '../core/codec.js';
import { ArgumentError } from '../core/store/errors.js';
import type { CallOptions } from '../core/store/store.js';
import { ending, flag, milliseconds, oneOf, settings, wholeFrom } from '../core/validate.js';
import { priorities } from './queue-keys.js';

/**
 * How long a job waits after a failure: always as long, or twice as long each time, of which a random part is waited for (full
 * jitter: Brooker, "Exponential Backoff And Jitter", 2015), or what a function says. All in milliseconds.
 */
export type BackoffPolicy =
  | { readonly type: 'fixed'; readonly delay: number }
  | { readonly type: 'exponential'; readonly base: number; readonly cap: number }
  | ((attempt: number, reason: unknown) => number);

/**
 * What becomes of a job that has an `orderKey` and used up its attempts: it is kept among the dead letters, and those after it go
 * on; or it stays, and they wait until somebody decides (`unblock`); or it is deleted, they go on, and `skipped` tells of it.
 */
export type Exhausted = 'dead-letter' | 'block' | 'skip';

const exhausted: readonly Exhausted[] = ['dead-letter', 'block', 'skip'];
const whenExpired = ['dead-letter', 'delete'] as const;

/** Options of a queue. Those of who takes jobs count; everybody should have the same. */
export interface QueueOptions<T> {
  /** How values are written. @defaultValue JSON */
  readonly codec?: Codec<T>;
  /** How often a job is begun at most, before it is given up as a dead letter. @defaultValue 5 */
  readonly attempts?: number;
  /** How long it waits after a failure. @defaultValue exponential from 1 s to 15 min */
  readonly backoff?: BackoffPolicy;
  /**
   * A job whose handler did not show that it is alive for so many milliseconds (`extend`, `progress`, a guarded transaction) is
   * taken from it and given to another. @defaultValue 30,000
   */
  readonly visibility?: number;
  /** A job is taken from its handler after so many milliseconds, whatever that shows. @defaultValue no limit */
  readonly maxTime?: number;
  /** What becomes of jobs with an `orderKey` that used up their attempts. @defaultValue `'dead-letter'` */
  readonly onExhausted?: Exhausted;
  /** How many jobs of one `group` may be worked on at a time, by all processes together. @defaultValue no limit */
  readonly groupConcurrency?: number;
  /**
   * How many jobs there may be that are not done, those that wait for their time included. With others who put at the same time
   * there may be more: for each other process a sixteenth of it, 100 at most, or one. Not for what a transaction puts, or a schedule.
   * @defaultValue no limit
   */
  readonly limit?: number;
  /** Whether a put waits while there are so many, or is rejected. @defaultValue `'wait'` */
  readonly whenFull?: 'wait' | 'reject';
  /**
   * What is kept of jobs that came to an end. That of the process counts that sees to it now, one of those who take jobs; where
   * queues in there differ, what one of them keeps is kept. @defaultValue dead letters, for ever
   */
  readonly retention?: Retention;
  /** Bytes that the value of a job may have. @defaultValue 1 MiB, as etcd takes 1.5 MiB unless told otherwise */
  readonly maxBytes?: number;
  /**
   * Keeps the results of the jobs that are taken here, for who waits for them (`queue.finished`) and to be looked at. Who takes
   * jobs without it leaves none: then who waits is told that nothing is known of the job any more. @defaultValue `false`
   */
  readonly keepResults?: boolean;
}

/** How a job is put. */
export interface JobOptions extends CallOptions {
  /** Jobs of lower numbers come first, whatever waits behind: 0 to 9. @defaultValue 5 */
  readonly priority?: number;
  /**
   * Jobs with the same are worked on one at a time, in the order of their puts, which retries keep: while one of them waits to be
   * tried again the others wait, and those of other keys go on. Not with `priority`, as that is another order.
   */
  readonly orderKey?: string;
  /** What it is one of, such as a customer's: of a group so many are worked on at a time as the queue's `groupConcurrency` says. */
  readonly group?: string;
  /** A name of your own, of which there is one job at a time: while it is not done, others of that name are not put. */
  readonly id?: string;
  /**
   * What makes it the same as another: then it is not put, if the other was put in the last `window` milliseconds (a tenth and two
   * seconds more at most), or, without a window, while the other is not done.
   */
  readonly dedupe?: { readonly key: string; readonly window?: number };
  /** How often it is begun at most. @defaultValue as the queue of who takes it says */
  readonly attempts?: number;
  /**
   * Milliseconds until it may be taken, from when one of those who take jobs first sees it: up to 100 years. It takes its place in
   * the queue when they have passed. Nobody's wall clock counts. @defaultValue none
   */
  readonly delay?: number;
  /** It may not be taken before this time, by the wall clock of one of those who take jobs. @defaultValue none */
  readonly notBefore?: Date;
  /**
   * A job that has waited in the queue for so many milliseconds is dropped, from when one of those who take jobs first sees it
   * there (after its `delay`). One that is worked on then gets as long again. @defaultValue it waits for ever
   */
  readonly ttl?: number;
  /** What is done with it then: it is kept as a dead letter with the reason `expired`, or deleted. @defaultValue `'dead-letter'` */
  readonly onExpiry?: 'dead-letter' | 'delete';
}

/** What is kept: what is older, or more, is deleted after a while. */
export interface Keep {
  /** Milliseconds; a sixteenth of it longer at times. @defaultValue no limit */
  readonly age?: number;
  /** How many, the newest ones; more at times. @defaultValue no limit */
  readonly count?: number;
}

/** What is kept of jobs that came to an end. */
export interface Retention {
  /** Of those that were done, where something is written of them. @defaultValue nobody deletes it */
  readonly done?: Keep;
  /** Dead letters. @defaultValue for ever */
  readonly dead?: Keep;
}

/** Milliseconds of a hundred years: what waits longer does so by mistake. */
export const longestDelay: number = 100 * 365 * 24 * 3_600_000;

const fallback: BackoffPolicy = { type: 'exponential', base: 1_000, cap: 15 * 60_000 };

/** The options with all that was not given. @throws ArgumentError if one is not usable. */
export function checkQueue<T>({
  attempts = 5,
  backoff = fallback,
  visibility = 30_000,
  maxTime,
  onExhausted = 'dead-letter',
  groupConcurrency = Infinity,
  limit = Infinity,
  whenFull = 'wait',
  retention = {},
  maxBytes = 1_048_576,
  keepResults = false,
}: QueueOptions<T>): Required<Omit<QueueOptions<T>, 'codec' | 'maxTime'>> & { maxTime?: number } {
  const { done, dead } = settings('retention', retention);
  checkKeep('retention.done', done);
  checkKeep('retention.dead', dead);
  checkBackoff(backoff);
  return {
    keepResults: flag('keepResults', keepResults),
    retention,
    attempts: wholeFrom(1, 'attempts', attempts),
    backoff,
    visibility: milliseconds('visibility', visibility, 1),
    ...(maxTime !== undefined && { maxTime: milliseconds('maxTime', maxTime, 1) }),
    onExhausted: oneOf('onExhausted', onExhausted, exhausted),
    groupConcurrency: most('groupConcurrency', groupConcurrency),
    limit: most('limit', limit),
    whenFull: oneOf('whenFull', whenFull, ['wait', 'reject']),
    maxBytes: wholeFrom(1, 'maxBytes', maxBytes),
  };
}

function most(option: string, value: number): number {
  return value === Infinity ? value : wholeFrom(1, option, value);
}

/** Passes it or throws. @throws ArgumentError unless it encodes and decodes. */
export function checkCodec<T>(codec: Codec<T>): Codec<T> {
  settings('codec', codec);
  if (typeof codec.encode === 'function' && typeof codec.decode === 'function') return codec;
  throw new ArgumentError('codec', 'an object with encode and decode', codec);
}

/** Passes them or throws. @throws ArgumentError if one is not usable. */
export function checkPut(options: JobOptions): JobOptions {
  const { priority = 5, attempts = 1, orderKey, ttl, onExpiry = 'delete' } = options;
  const { signal, timeout = 0 } = options;
  if (orderKey !== undefined && options.priority !== undefined) {
    throw new ArgumentError('priority', 'left out together with orderKey', priority);
  }
  if (!(Number.isInteger(priority) && priority >= 0 && priority < priorities)) {
    throw new ArgumentError('priority', `a whole number from 0 to ${priorities - 1}`, priority);
  }
  wholeFrom(1, 'attempts', attempts);
  checkDelay(options);
  if (ttl !== undefined) milliseconds('ttl', ttl, 1, longestDelay);
  oneOf('onExpiry', onExpiry, whenExpired);
  ending(signal);
  milliseconds('timeout', timeout);
  return options;
}

function checkDelay({ delay, notBefore }: JobOptions): void {
  if (delay !== undefined) milliseconds('delay', delay, 0, longestDelay);
  if (notBefore === undefined) return;
  if (!(notBefore instanceof Date) || Number.isNaN(notBefore.getTime())) {
    throw new ArgumentError('notBefore', 'a date', notBefore);
  }
  if (delay !== undefined) throw new ArgumentError('notBefore', 'given without delay', notBefore);
}

function checkKeep(option: string, keep: Keep = {}): void {
  const { age, count } = settings(option, keep);
  if (age !== undefined) milliseconds(`${option}.age`, age, 1, longestDelay);
  if (count !== undefined) wholeFrom(0, `${option}.count`, count);
}

/** Milliseconds to wait after so many attempts. @throws ArgumentError if a policy of the caller's gives no duration. */
export function delayAfter(policy: BackoffPolicy, attempt: number, reason: unknown): number {
  if (typeof policy === 'function') {
    return milliseconds('backoff', policy(attempt, reason));
  }
  if (policy.type === 'fixed') return policy.delay;
  return Math.random() * Math.min(policy.cap, policy.base * 2 ** (attempt - 1));
}

function checkBackoff(policy: BackoffPolicy): void {
  if (typeof policy === 'function') return;
  switch (policy?.type) {
    case 'fixed':
      milliseconds('backoff.delay', policy.delay);
      break;
    case 'exponential':
      milliseconds('backoff.base', policy.base);
      milliseconds('backoff.cap', policy.cap);
      break;
    default:
      throw new ArgumentError('backoff', "of type 'fixed' or 'exponential', or a function", policy);
  }
}
