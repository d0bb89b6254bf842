import { ArgumentError, LimitError, RefusedError } from './errors.js';

/** Whether a commit rejected because of what it was, and so without effect, rather than for want of an answer. */
export function wasRefused(error: unknown): boolean {
  // A reply that is too large comes from a request that was applied.
  if (error instanceof LimitError) return error.option !== 'maxReceiveBytes';
  if (ranOutOfSpace(error)) return false;
  return error instanceof RefusedError || error instanceof ArgumentError;
}

/** Whether etcd says that it has no space: of what it turns away, but also of the writes by which it notices. */
export function ranOutOfSpace(error: unknown): boolean {
  return error instanceof RefusedError && /database space exceeded/.test(error.message);
}
