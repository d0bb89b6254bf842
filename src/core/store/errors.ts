import { inspect } from 'node:util';
import type { Owner } from '../session/session.js';

/** What went wrong, for `switch`: stable across versions, unlike messages. */
export type ErrorCode =
  | 'ERR_HOLD_LOST'
  | 'ERR_SESSION_LOST'
  | 'ERR_WAIT_TIMEOUT'
  | 'ERR_CLOSED'
  | 'ERR_UNAVAILABLE'
  | 'ERR_REFUSED'
  | 'ERR_COMPACTED'
  | 'ERR_CONFLICT'
  | 'ERR_BARRIER_BROKEN'
  | 'ERR_JOB_FAILED'
  | 'ERR_JOB_CANCELLED'
  | 'ERR_NO_INSTANCE'
  | 'ERR_CALL_FAILED'
  | 'ERR_LIMIT'
  | 'ERR_QUOTA'
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_ETCD_START';

/** The base of every error this library makes. Branch on `code` or on the class, never on the message. */
export class CoordinationError extends Error {
  /** What went wrong; one per class. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Whether an error was made by this library. */
export function isCoordinationError(error: unknown): error is CoordinationError {
  return error instanceof CoordinationError;
}

/**
 * Why something held is held no more:
 * - `no-contact`: no renewal of the lease was confirmed in time, so etcd may have given it up;
 * - `expired`: etcd says that the lease is gone, after its time;
 * - `revoked`: etcd says that the lease is gone, though its time had not come;
 * - `refused`: etcd does not let us renew the lease, or see the key, any more: our user is kept out, or has another password;
 * - `deleted`: the key of the hold was deleted by somebody else;
 * - `closed`: the session was closed here;
 * - `unhealthy`: who held it failed its own health check;
 * - `released`: the hold was released here;
 * - `max-hold`: it was held as long as it may be;
 * - `idle`: it was not used for as long as it may be.
 */
export type LossReason =
  | 'no-contact'
  | 'expired'
  | 'revoked'
  | 'refused'
  | 'deleted'
  | 'closed'
  | 'unhealthy'
  | 'released'
  | 'max-hold'
  | 'idle';

/** A hold (or a place in a line) is gone: the reason of `hold.signal`, and how a guarded transaction refuses. */
export class HoldLostError extends CoordinationError {
  /** Why it is gone. */
  readonly reason: LossReason;

  constructor(what: string, reason: LossReason, options?: ErrorOptions) {
    super('ERR_HOLD_LOST', `${what} is lost (${reason})`, options);
    this.reason = reason;
  }
}

/** The session's lease is gone, and with it everything that was held through it. The `cause`, if there is one, is what etcd said. */
export class SessionLostError extends CoordinationError {
  /** Why it is gone. */
  readonly reason: LossReason;

  constructor(reason: LossReason, options?: ErrorOptions) {
    super('ERR_SESSION_LOST', `session is lost (${reason})`, options);
    this.reason = reason;
  }
}

/**
 * The `timeout` given to a waiting call passed before its turn came; its place is being given up. The `cause`, if there is
 * one, is the `UnavailableError` that tells who did not answer.
 */
export class WaitTimeoutError extends CoordinationError {
  constructor(timeout: number, what?: string, options?: ErrorOptions) {
    const subject = what === undefined ? '' : `${what}: `;
    super('ERR_WAIT_TIMEOUT', `${subject}not granted within ${timeout} ms`, options);
  }
}

/** The session or coordinator was closed by its owner. */
export class ClosedError extends CoordinationError {
  constructor(what: string) {
    super('ERR_CLOSED', `${what} is closed`);
  }
}

/** How far an attempt came: finding the endpoint by name, connecting to it, logging in, or the call itself. */
export type Phase = 'discovery' | 'connect' | 'login' | 'call';

/** What one endpoint said (or that it said nothing) in a failed call. */
export interface EndpointFailure {
  /** The endpoint as it was configured. */
  readonly endpoint: string;
  /** How far the attempt came. @defaultValue `'call'` */
  readonly phase?: Phase;
  /** gRPC's name for the failure, such as `UNAVAILABLE` or `DEADLINE_EXCEEDED`. */
  readonly status: string;
  /** The text that came with it. */
  readonly message: string;
}

/**
 * What became of a write that has no reply:
 * - `not-applied`: it surely had no effect, and will have none; perhaps because its conditions did not hold;
 * - `applied`: it surely took effect, once; what it read is not known any more. Only transactions sent `exactlyOnce` can tell;
 * - `unknown`: it was sent, and its answer never came. It may have taken effect, or still do so.
 */
export type WriteOutcome = 'not-applied' | 'applied' | 'unknown';

/** etcd could not be reached, or did not answer in time, at any endpoint. */
export class UnavailableError extends CoordinationError {
  /** What became of the write; of what only reads always `not-applied`. */
  readonly outcome: WriteOutcome;
  /** What each attempt got, in order. */
  readonly failures: readonly EndpointFailure[];

  constructor(outcome: WriteOutcome, failures: readonly EndpointFailure[], options?: ErrorOptions) {
    const said = failures.map(described).join('; ');
    super('ERR_UNAVAILABLE', `etcd is unavailable, outcome ${outcome} (${said})`, options);
    this.outcome = outcome;
    this.failures = failures;
  }
}

/**
 * etcd understood the request and refused it, such as for a missing permission or a size limit: it had no effect. Except that
 * etcd may apply a write by which it notices that its `database space` is `exceeded`, which is found out only for those sent
 * `exactlyOnce`. Where an earlier attempt may have been applied, it is the `cause` of an `UnavailableError` instead.
 */
export class RefusedError extends CoordinationError {
  /** gRPC's name for the refusal, such as `PERMISSION_DENIED`. */
  readonly status: string;

  constructor(
    status: string,
    message: string,
    options?: ErrorOptions,
    code: ErrorCode = 'ERR_REFUSED',
  ) {
    super(code, `etcd refused: ${message} (${status})`, options);
    this.status = status;
  }
}

/** What was asked for is so old that etcd has forgotten it. */
export class CompactedError extends RefusedError {
  constructor(message: string, options?: ErrorOptions) {
    super('OUT_OF_RANGE', message, options, 'ERR_COMPACTED');
  }
}

/** What others wrote is in conflict with what was asked for, which had no effect. */
export class ConflictError extends CoordinationError {
  /** How often it was tried. @defaultValue 1 */
  readonly attempts: number;

  constructor(message: string, attempts = 1) {
    super('ERR_CONFLICT', message);
    this.attempts = attempts;
  }
}

/**
 * Why a round of a barrier broke:
 * - `timeout`: a party's limit passed while it waited;
 * - `aborted`: a party's wait was given up by its caller;
 * - `lost`: a party died, was cut off, closed its session, or had its key deleted.
 */
export type BreakReason = 'timeout' | 'aborted' | 'lost';

/** A round of a barrier broke before all were there: nobody in it goes on. The next one is not concerned. */
export class BrokenBarrierError extends CoordinationError {
  /** Which round. */
  readonly generation: number;
  /** What its party did that broke it. */
  readonly reason: BreakReason;
  /** Owner party that was; `undefined` where nobody knows any more. */
  readonly party: Owner | undefined;

  constructor(what: string, generation: number, reason: BreakReason, party: Owner | undefined) {
    const who = party ? `${party.label ?? 'a party'} (${party.host}, ${party.pid})` : 'a party';
    super('ERR_BARRIER_BROKEN', `${what}: round ${generation} is broken by ${who}: ${reason}`);
    this.generation = generation;
    this.reason = reason;
    this.party = party;
  }
}

/** A message or transaction is larger than allowed: it was not sent, unless it is the reply that is (`maxReceiveBytes`). */
export class LimitError extends CoordinationError {
  /** The option that sets the limit. */
  readonly option: string;
  /** How large it is, in the option's unit. */
  readonly size: number;
  /** How large it may be. */
  readonly limit: number;

  constructor(what: string, option: string, size: number, limit: number, options?: ErrorOptions) {
    super('ERR_LIMIT', `${what} is too large: ${size}, ${option} allows ${limit}`, options);
    this.option = option;
    this.size = size;
    this.limit = limit;
  }
}

/** An option or argument is not usable; thrown before anything is sent. */
export class ArgumentError extends CoordinationError {
  constructor(option: string, expected: string, received: unknown) {
    super(
      'ERR_INVALID_ARGUMENT',
      `${option} must be ${expected}, got ${inspect(received, { depth: 1, breakLength: Number.POSITIVE_INFINITY })}`,
    );
  }
}

function described({ endpoint, phase = 'call', status, message }: EndpointFailure): string {
  return `${endpoint}: ${phase === 'call' ? '' : `${phase}: `}${status} ${message}`;
}

/** Whether what was held, or waited for with a key, is lost: it may be had anew. */
export function isLoss(error: unknown): error is HoldLostError | SessionLostError {
  return error instanceof HoldLostError || error instanceof SessionLostError;
}
