import { ArgumentError } from '../../core/store/errors.js';
import { milliseconds, wholeFrom } from '../../core/validate.js';
import type { Instance } from '../instance.js';

/** How a call goes from one instance to the next. All durations in milliseconds. */
export interface RetryOptions {
  /** What is to go to the same instance each time, where the policy is `sticky`. */
  readonly key?: string;
  /** How often it is tried at most, each time at another instance as long as there are others. @defaultValue 3 */
  readonly attempts?: number;
  /** How long an instance has to answer before the next is tried. @defaultValue no limit */
  readonly attemptTimeout?: number;
  /** How long all of it may take, pauses and waiting for instances included. @defaultValue no limit */
  readonly timeout?: number;
  /** How long it is waited for an instance where there is none, or it is not known who is there, and the source tells of changes. @defaultValue 5,000 */
  readonly wait?: number;
  /**
   * Whether to try again after an error, which is a `WaitTimeoutError` where there was no answer in time. What had an effect
   * although it failed has it again: say `false` where that matters and the error does not exclude it. An error that is not
   * retryable is no failure of the instance.
   * @defaultValue always
   */
  readonly retryable?: (error: unknown, instance: Instance) => boolean;
  /** Pauses between attempts: a random part of `base`, of twice that the next time, and never more than `cap`. @defaultValue 20 and 1,000 */
  readonly backoff?: { readonly base: number; readonly cap: number };
  /** Ends it; the call rejects with `signal.reason`. */
  readonly signal?: AbortSignal;
}

/** @throws ArgumentError if an option is not usable. */
export function checkRetryOptions(options: RetryOptions): void {
  const { attempts = 1, attemptTimeout = 1, timeout = 0, wait = 0, retryable, backoff } = options;
  wholeFrom(1, 'attempts', attempts);
  milliseconds('attemptTimeout', attemptTimeout, 1);
  milliseconds('timeout', timeout);
  milliseconds('wait', wait);
  if (retryable !== undefined && typeof retryable !== 'function') {
    throw new ArgumentError('retryable', 'a function', retryable);
  }
  if (!backoff) return;
  milliseconds('backoff.base', backoff.base);
  milliseconds('backoff.cap', backoff.cap);
}
