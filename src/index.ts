export { CLOCK, SESSION, STORE, type StoreOptions } from './container.js';
export { type ConnectOptions, Coordinator, connect } from './coordinator.js';
export { type BatchingOptions, BatchingStore } from './core/batching-store.js';
export { Client, type ClientOptions, type Written } from './core/client.js';
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
  type Phase,
  RefusedError,
  SessionLostError,
  UnavailableError,
  WaitTimeoutError,
  type WriteOutcome,
} from './core/errors.js';
export type { Etcd3Options, TlsOptions } from './core/etcd3-options.js';
export { Etcd3Store } from './core/etcd3-store.js';
export { ExactlyOnceStore } from './core/exactly-once-store.js';
export type { GuardedReply, GuardedTxn } from './core/guarded-txn.js';
export type { Hold } from './core/hold.js';
export type { Keys } from './core/key-span.js';
export { type Data, type KeyRange, prefixRange } from './core/keys.js';
export type { LeaseOptions, SessionEvents, SessionState } from './core/lease.js';
export type { LineEntry } from './core/line.js';
export type { ScanOptions } from './core/scan.js';
export { type Owner, Session, type SessionOptions } from './core/session.js';
export type { WaitOptions } from './core/signals.js';
export type { Isolation, StmOptions } from './core/stm-options.js';
export type { StmFunction } from './core/stm-run.js';
export type { StmPair, StmTx } from './core/stm-tx.js';
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
export type { TxnBuilder, TxnOutcome } from './core/txn-builder.js';
export { type Conditions, compare, type Operator } from './core/txn-compare.js';
export {
  type DeleteOptions,
  type DeleteResult,
  type GetOptions,
  op,
  type PutOptions,
  type PutResult,
  type RangeOptions,
  type RangeResult,
  type Results,
  type Step,
  type TxnParts,
  type TxnResult,
  type TxnStep,
} from './core/txn-steps.js';
export {
  type WatchBatch,
  type WatchChange,
  Watching,
  type WatchingOptions,
} from './core/watching.js';
export {
  type HoldEvent,
  Mutex,
  type MutexEvents,
  type MutexOptions,
  type MutexState,
} from './lock/mutex.js';
export { Namespace } from './namespace/namespace.js';
