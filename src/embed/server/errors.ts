import { status } from '@grpc/grpc-js';

/** A request that etcd refuses: gRPC's code, and the text that clients match on. */
export class EtcdError extends Error {
  readonly code: status;
  /** The text as gRPC carries it. */
  readonly details: string;

  constructor(code: status, details: string) {
    super(details);
    this.code = code;
    this.details = details;
  }
}

/** What is refused. */
export type Refusal =
  | 'emptyKey'
  | 'keyNotFound'
  | 'valueProvided'
  | 'leaseProvided'
  | 'tooManyOps'
  | 'duplicateKey'
  | 'invalidSort'
  | 'requestTooLarge'
  | 'compacted'
  | 'futureRevision'
  | 'leaseTtlTooLarge'
  | 'leaseNotFound'
  | 'leaseExists';

const refusals: Readonly<Record<Refusal, readonly [code: status, text: string]>> = {
  emptyKey: [status.INVALID_ARGUMENT, 'key is not provided'],
  keyNotFound: [status.INVALID_ARGUMENT, 'key not found'],
  valueProvided: [status.INVALID_ARGUMENT, 'value is provided'],
  leaseProvided: [status.INVALID_ARGUMENT, 'lease is provided'],
  tooManyOps: [status.INVALID_ARGUMENT, 'too many operations in txn request'],
  duplicateKey: [status.INVALID_ARGUMENT, 'duplicate key given in txn request'],
  invalidSort: [status.INVALID_ARGUMENT, 'invalid sort option'],
  requestTooLarge: [status.INVALID_ARGUMENT, 'request is too large'],
  compacted: [status.OUT_OF_RANGE, 'mvcc: required revision has been compacted'],
  futureRevision: [status.OUT_OF_RANGE, 'mvcc: required revision is a future revision'],
  leaseTtlTooLarge: [status.OUT_OF_RANGE, 'too large lease TTL'],
  leaseNotFound: [status.NOT_FOUND, 'requested lease not found'],
  leaseExists: [status.FAILED_PRECONDITION, 'lease already exists'],
};

/** etcd's refusal of this kind. */
export function refusal(kind: Refusal): EtcdError {
  const [code, details] = refusals[kind];
  return new EtcdError(code, `etcdserver: ${details}`);
}
