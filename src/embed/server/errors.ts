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
  | 'leaseExists'
  | 'rootUserNotExist'
  | 'rootRoleNotExist'
  | 'userExists'
  | 'userEmpty'
  | 'userNotFound'
  | 'roleExists'
  | 'roleNotFound'
  | 'roleEmpty'
  | 'authFailed'
  | 'permissionNotGiven'
  | 'permissionDenied'
  | 'roleNotGranted'
  | 'permissionNotGranted'
  | 'authNotEnabled'
  | 'invalidAuthToken'
  | 'invalidAuthMgmt';

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
  rootUserNotExist: [status.FAILED_PRECONDITION, 'root user does not exist'],
  rootRoleNotExist: [status.FAILED_PRECONDITION, 'root user does not have root role'],
  userExists: [status.FAILED_PRECONDITION, 'user name already exists'],
  userEmpty: [status.INVALID_ARGUMENT, 'user name is empty'],
  userNotFound: [status.FAILED_PRECONDITION, 'user name not found'],
  roleExists: [status.FAILED_PRECONDITION, 'role name already exists'],
  roleNotFound: [status.FAILED_PRECONDITION, 'role name not found'],
  roleEmpty: [status.INVALID_ARGUMENT, 'role name is empty'],
  authFailed: [status.INVALID_ARGUMENT, 'authentication failed, invalid user ID or password'],
  permissionNotGiven: [status.INVALID_ARGUMENT, 'permission not given'],
  permissionDenied: [status.PERMISSION_DENIED, 'permission denied'],
  roleNotGranted: [status.FAILED_PRECONDITION, 'role is not granted to the user'],
  permissionNotGranted: [status.FAILED_PRECONDITION, 'permission is not granted to the role'],
  authNotEnabled: [status.FAILED_PRECONDITION, 'authentication is not enabled'],
  invalidAuthToken: [status.UNAUTHENTICATED, 'invalid auth token'],
  invalidAuthMgmt: [status.INVALID_ARGUMENT, 'invalid auth management'],
};

/** etcd's refusal of this kind. */
export function refusal(kind: Refusal): EtcdError {
  const [code, details] = refusals[kind];
  return new EtcdError(code, `etcdserver: ${details}`);
}

/** An error as Go's gRPC prints it, which is how etcd says why it ends a watch that is not permitted. */
export function inGo({ code, details }: EtcdError): string {
  const name = status[code]
    .toLowerCase()
    .replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase());
  return `rpc error: code = ${name} desc = ${details}`;
}
