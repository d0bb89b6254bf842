import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { ArgumentError, CoordinationError } from '../core/store/errors.js';
import { abortable, onAbort, type WaitOptions } from '../core/time/signals.js';
import { milliseconds } from '../core/validate.js';

/** How long to wait for a condition, and how often to look. */
export interface WaitForOptions extends WaitOptions {
  /** Gives up after so many milliseconds of real time. @defaultValue 10,000 */
  readonly timeout?: number;
  /** Milliseconds from the end of one look to the next. @defaultValue 10 */
  readonly interval?: number;
}

/** Milliseconds for a look after time was up. */
const LAST_LOOK = 100;

/** What is left of a value that is there. */
export type Present<T> = T extends false | null | undefined | void ? never : T;

/** What a look at the condition gave. */
type Look<T> = { readonly value: T } | { readonly error: unknown };

/**
 * Calls `condition` again and again until it neither throws (or rejects) nor gives `false`, `undefined` or `null`,
 * and resolves with what it gave. An assertion that returns nothing is no condition: have it return `true`. One
 * call ends before the next begins. This is real time, whatever clock the code under test has.
 *
 * @throws CoordinationError with code `ERR_WAIT_TIMEOUT` after `timeout`: its message shows the condition and what
 * the last look gave, its `cause` is the last error that the condition threw, if the last look threw one.
 * @throws the reason of `signal` when it aborts.
 * @throws ArgumentError if an option is not usable.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { timeout = 10_000, interval = 10, signal }: WaitForOptions = {},
): Promise<Present<T>> {
  if (typeof condition !== 'function')
    throw new ArgumentError('condition', 'a function', condition);
  milliseconds('timeout', timeout);
  milliseconds('interval', interval);
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), timeout);
  const release = onAbort(signal, () => limit.abort());
  let last: Look<T> | undefined;
  try {
    for (let inTime = true; inTime; ) {
      signal?.throwIfAborted();
      inTime = !limit.signal.aborted;
      // When time is up during a pause there is one more look: it may have come true meanwhile.
      last = await look(condition, last, inTime ? limit.signal : AbortSignal.timeout(LAST_LOOK));
      if (last && 'value' in last && isPresent(last.value)) return last.value;
      if (limit.signal.aborted) break;
      await delay(interval, undefined, { signal: limit.signal }).catch(() => {});
    }
  } finally {
    clearTimeout(timer);
    release();
  }
  signal?.throwIfAborted();
  throw timedOut(condition, timeout, last);
}

/** Looks once; gives `before` when the time is over first. */
async function look<T>(
  condition: () => T | Promise<T>,
  before: Look<T> | undefined,
  limit: AbortSignal,
): Promise<Look<T> | undefined> {
  const attempt = async (): Promise<Look<T>> => {
    try {
      return { value: await condition() };
    } catch (error) {
      return { error };
    }
  };
  return abortable(attempt(), limit).catch(() => before);
}

function isPresent<T>(value: T): value is T & Present<T> {
  return value !== false && value !== undefined && value !== null;
}

function timedOut<T>(
  condition: () => T | Promise<T>,
  timeout: number,
  last: Look<T> | undefined,
): CoordinationError {
  const source = String(condition).replaceAll(/\s+/g, ' ');
  const shown = source.length > 200 ? `${source.slice(0, 200)}...` : source;
  const what = `not fulfilled within ${timeout} ms: ${shown}`;
  if (last === undefined) {
    return new CoordinationError('ERR_WAIT_TIMEOUT', `${what}; it never came to an end`);
  }
  if ('value' in last) {
    return new CoordinationError('ERR_WAIT_TIMEOUT', `${what}; it gave ${inspect(last.value)}`);
  }
  const said = last.error instanceof Error ? last.error.message : inspect(last.error);
  const options = { cause: last.error };
  return new CoordinationError('ERR_WAIT_TIMEOUT', `${what}; it threw: ${said}`, options);
}
