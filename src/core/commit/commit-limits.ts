import type { CallOptions } from '../store/store.js';
import { maxTxnOps as usual } from '../txn/check-txn.js';
import { ending, milliseconds, wholeFrom } from '../validate.js';

/** What `ExactlyOnceStore` and `BatchingStore` are to know of the store below them. */
export interface CommitLimits {
  /** Limit for one commit that has none of its own, in milliseconds. @defaultValue 5,000 */
  readonly timeout?: number;
  /** Limit for one attempt, in milliseconds; longer where that was not enough twice. @defaultValue 500 */
  readonly attemptTimeout?: number;
  /** Operations that one transaction may have. @defaultValue 128, as etcd's */
  readonly maxTxnOps?: number;
}

/** The limits, with those that were not given. @throws ArgumentError naming the first that is not usable. */
export function commitLimits({
  timeout = 5_000,
  attemptTimeout = 500,
  maxTxnOps = usual,
}: CommitLimits): Required<CommitLimits> {
  return {
    timeout: milliseconds('timeout', timeout, 1),
    attemptTimeout: milliseconds('attemptTimeout', attemptTimeout, 1),
    maxTxnOps: wholeFrom(1, 'maxTxnOps', maxTxnOps),
  };
}

/** Refuses limits of one call that are none. @throws ArgumentError naming the first that is not usable. */
export function checkCall({ signal, timeout = 0, attemptTimeout = 1 }: CallOptions): void {
  ending(signal);
  milliseconds('timeout', timeout);
  milliseconds('attemptTimeout', attemptTimeout, 1);
}
