import { ArgumentError, LimitError, RefusedError } from './errors.js';

/** Whether a commit rejected because of what it was, and so without effect, rather than for want of an answer. */
export function wasRefused(error: unknown): boolean {
  // A reply that is too large comes from a request that was applied.
  if (error instanceof LimitError) return error.option !== 'maxReceiveBytes';
  return error instanceof RefusedError || error instanceof ArgumentError;
}
