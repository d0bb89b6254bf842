import { LimitError, UnavailableError, type WriteOutcome } from '../store/errors.js';
import { ranOutOfSpace, wasRefused } from '../store/refusals.js';
import { effectOf } from './effect.js';
import { PartialReply } from './partial-reply.js';
import type { PendingCommit } from './pending-commit.js';

/** What one is told that failed together with others. */
export function lastWord(
  member: PendingCommit,
  error: unknown,
  earlier: UnavailableError | undefined,
): unknown {
  // That all of them ran together does not say which way each of them took.
  if (!(error instanceof UnavailableError) || error.outcome !== 'applied') {
    return earlier ? afterAll(error, earlier) : error;
  }
  // Who did not ask for it need not know of other outcomes.
  const outcome = member.options.exactlyOnce ? effectOf(member.txn) : 'unknown';
  return as(outcome, error, error);
}

/** What it means to fail after a request without an answer: it may have been applied. */
export function afterAll(error: unknown, earlier: UnavailableError): unknown {
  const saysOtherwise =
    wasRefused(error) ||
    ranOutOfSpace(error) ||
    (error instanceof UnavailableError && error.outcome === 'not-applied');
  return saysOtherwise && earlier.outcome !== 'not-applied' ? as('unknown', earlier, error) : error;
}

function as(
  outcome: WriteOutcome,
  { failures }: UnavailableError,
  cause: unknown,
): UnavailableError {
  return new UnavailableError(outcome, failures, { cause });
}

/** What an error says of all who were sent together: that they ran, where replies are lost or too large together. */
export function ofAll(error: unknown): unknown {
  const { cause } = error as Error;
  if (error instanceof UnavailableError && cause instanceof PartialReply) {
    return as('applied', error, cause);
  }
  if (!(error instanceof LimitError) || wasRefused(error)) return error;
  const failure = { endpoint: 'etcd', status: 'RESOURCE_EXHAUSTED', message: error.message };
  return new UnavailableError('applied', [failure], { cause: error });
}
