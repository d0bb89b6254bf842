import {
  ArgumentError,
  type CoordinationError,
  LimitError,
  RefusedError,
  UnavailableError,
} from './errors.js';

/** Refusals of which only who made them could know that they are nothing else. */
const provenWithoutEffect = new WeakSet<CoordinationError>();

/** Has `wasRefused` take this error at its word: somebody has looked, and nothing was applied. */
export function withoutEffect<Refusal extends CoordinationError>(error: Refusal): Refusal {
  provenWithoutEffect.add(error);
  return error;
}

/** Whether a commit rejected because of what it was, and so without effect, rather than for want of an answer. */
export function wasRefused(error: unknown): boolean {
  // A reply that is too large comes from a request that was applied.
  if (error instanceof LimitError) return error.option !== 'maxReceiveBytes';
  if (error instanceof RefusedError && !ranOutOfSpace(error)) return true;
  return error instanceof ArgumentError || provenWithoutEffect.has(error as CoordinationError);
}

/** Whether etcd says that it has no space: of what it turns away, but also of the writes by which it notices. */
export function ranOutOfSpace(error: unknown): error is RefusedError {
  return error instanceof RefusedError && /database space exceeded/.test(error.message);
}

/** Whether etcd says that a lease has ended, or never was. */
export function leaseIsGone(error: unknown): boolean {
  return error instanceof RefusedError && /lease not found/.test(error.message);
}

/** Whether etcd says that who asks may not do that. */
export function isDenied(error: unknown): boolean {
  return error instanceof RefusedError && /permission denied/.test(error.message);
}

/** Whether etcd says that a transaction is one of too many operations. */
export function hasTooManyOperations(error: unknown): boolean {
  return error instanceof RefusedError && /too many operations/.test(error.message);
}

/** The refusal that ended a call, also where an earlier attempt may have been applied; `undefined` if it was none. */
export function refusalIn(error: unknown): RefusedError | undefined {
  const last = error instanceof UnavailableError ? error.cause : error;
  return last instanceof RefusedError ? last : undefined;
}
