import { status as Status, type StatusObject } from '@grpc/grpc-js';
import {
  CompactedError,
  type EndpointFailure,
  LimitError,
  type Phase,
  RefusedError,
} from '../store/errors.js';
import { StatusError } from './transport/status-error.js';

/**
 * What a failed attempt means:
 * - `refused`: etcd looked at the request and said no; another member would say the same;
 * - `unauthenticated`: a new token is needed; the request had no effect;
 * - `not-applied`: it never reached a member that could serve it;
 * - `unknown`: it may have taken effect.
 */
export type Verdict = 'refused' | 'unauthenticated' | 'not-applied' | 'unknown';

const refusals: ReadonlySet<Status> = new Set([
  Status.INVALID_ARGUMENT,
  Status.NOT_FOUND,
  Status.ALREADY_EXISTS,
  Status.PERMISSION_DENIED,
  Status.RESOURCE_EXHAUSTED,
  Status.FAILED_PRECONDITION,
  Status.OUT_OF_RANGE,
  Status.UNIMPLEMENTED,
  Status.DATA_LOSS,
]);
/** Who has a reply that is too large to be sent has done what was asked for. */
const unsent = /^grpc: trying to send message larger than max/;
/** Node gives streams cut off in passing, by a GOAWAY or a proxy, codes that would be refusals in etcd's mouth. */
const fromEtcd = /^(etcdserver|auth|lease|mvcc|etcd-recipes): |^grpc: |^unknown (service|method)/;
/** What etcd has no status of its own for. */
const loginRefused = /^auth: authentication failed/;
const compacted = /required revision has been compacted/;
const tooLarge = /^(Sent|Received) message larger than max \((\d+) vs\.? (\d+)\)/;
const ourFault = /^Request message serialization failure/;
const tokenProblem = /invalid auth token|user name is empty|revision of auth store is old/;
const unconnected = /^No connection established|^Name resolution failed/;
const neverServed =
  /^No connection established|^Not processed: |^Name resolution failed|no leader|for learner|too many requests/;

/** Reads the meaning of an error that grpc-js or a stream gave us. */
export function judge(error: unknown): Verdict {
  const { code, details } = statusOf(error);
  if (tokenProblem.test(details)) return 'unauthenticated';
  if (neverServed.test(details)) return 'not-applied';
  if (code === Status.UNAUTHENTICATED) return 'unauthenticated';
  const refused =
    (refusals.has(code) && fromEtcd.test(details) && !unsent.test(details)) ||
    loginRefused.test(details) ||
    ourFault.test(details) ||
    tooLarge.test(details);
  return refused ? 'refused' : 'unknown';
}

/** Whether a failed attempt says something of its endpoint, rather than of the cluster as a whole, or of the request. */
export function blames(error: unknown): boolean {
  const { details } = statusOf(error);
  return !/leader changed/.test(details) && !unsent.test(details);
}

/** The error as a line of an `UnavailableError`. */
export function failureOf(
  endpoint: string,
  error: unknown,
  phase: Phase = 'call',
): EndpointFailure {
  const { code, details } = statusOf(error);
  const reached = phase === 'call' && unconnected.test(details) ? 'connect' : phase;
  return { endpoint, phase: reached, status: Status[code], message: details };
}

/** The error of a request that etcd refused, or that is too large for the limits set here. */
export function refusalOf(error: unknown): RefusedError | LimitError {
  const { code, details } = statusOf(error);
  const [, way, size, limit] = tooLarge.exec(details) ?? [];
  if (way === 'Sent') {
    return new LimitError('the request', 'maxSendBytes', Number(size), Number(limit));
  }
  if (way) return new LimitError('the reply', 'maxReceiveBytes', Number(size), Number(limit));
  if (compacted.test(details)) return new CompactedError(details, { cause: error });
  return new RefusedError(Status[code], details, { cause: error });
}

/** Makes sense of a reply. @throws Error as of a reply that could not be parsed, if there is none to be made */
export function understood<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    const details = `Response message parsing error: ${(error as Error).message}`;
    throw new StatusError(Status.INTERNAL, details, { cause: error });
  }
}

/** What gRPC says of any error. */
export function statusOf(error: unknown): Pick<StatusObject, 'code' | 'details'> {
  const { code, details, message } = error as Partial<StatusObject> & Partial<Error>;
  const known = typeof code === 'number' && code in Status;
  return { code: known ? code : Status.UNKNOWN, details: details ?? message ?? String(error) };
}
