export { CLOCK, SESSION, STORE } from './container.js';
export { type ConnectOptions, Coordinator, connect } from './coordinator.js';
export type { Clock } from './core/clock.js';
export { systemClock } from './core/clock.js';
export {
  ArgumentError,
  ClosedError,
  CompactedError,
  ConflictError,
  CoordinationError,
  type EndpointFailure,
  type ErrorCode,
  HoldLostError,
  isCoordinationError,
  LimitError,
  type LossReason,
  RefusedError,
  SessionLostError,
  UnavailableError,
  WaitTimeoutError,
} from './core/errors.js';
export type { Etcd3Options, TlsOptions } from './core/etcd3-options.js';
export { Etcd3Store } from './core/etcd3-store.js';
export type { GuardedReply, GuardedTxn } from './core/guarded-txn.js';
export type { Hold } from './core/hold.js';
export type { Data, KeyRange } from './core/keys.js';
export type { LeaseOptions, SessionEvents, SessionState } from './core/lease.js';
export type { LineEntry } from './core/line.js';
export { type Owner, Session, type SessionOptions } from './core/session.js';
export type { WaitOptions } from './core/signals.js';
export type {
  CallOptions,
  CommitOptions,
  Compare,
  DeleteRequest,
  EndpointHealth,
  EndpointStatus,
  KeyValue,
  Operation,
  OperationReply,
  PutRequest,
  RangeReply,
  RangeRequest,
  ReadOptions,
  Store,
  Txn,
  TxnReply,
  Watch,
  WatchEvent,
  WatchListener,
  WatchOptions,
} from './core/store.js';
export {
  type HoldEvent,
  Mutex,
  type MutexEvents,
  type MutexOptions,
  type MutexState,
} from './lock/mutex.js';
export { Namespace } from './namespace/namespace.js';
