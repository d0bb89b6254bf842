export * from './barrier/index.js';
export * from './cache/index.js';
export { CLOCK, SESSION, STORE, type StoreOptions } from './container.js';
export { type ConnectOptions, Coordinator, connect } from './coordinator.js';
export { Client, type ClientOptions, type Written } from './core/client.js';
export type { Codec } from './core/codec.js';
export { type BatchingOptions, BatchingStore } from './core/commit/batching-store.js';
export { ExactlyOnceStore } from './core/commit/exactly-once-store.js';
export { Etcd3Store } from './core/etcd3/etcd3-store.js';
export type { Etcd3Options, TlsOptions } from './core/etcd3/options.js';
export type { HealthCheck } from './core/health.js';
export type { Hold } from './core/line/hold.js';
export type { HoldCaps } from './core/line/hold-caps.js';
export type { ForcedHolder, ForcedRelease } from './core/line/intervention.js';
export type { LineEntry } from './core/line/line.js';
export type { RevokeRequest } from './core/line/revoke-request.js';
export type { Presence } from './core/line/ticket.js';
export type { ScanOptions } from './core/scan.js';
export type { LeaseOptions, SessionEvents, SessionState } from './core/session/lease.js';
export { type Owner, Session, type SessionOptions } from './core/session/session.js';
export type { Isolation, StmOptions } from './core/stm/stm-options.js';
export type { StmFunction } from './core/stm/stm-run.js';
export type { StmPair, StmTx } from './core/stm/stm-tx.js';
export type { AccessControl, Permission } from './core/store/access-control.js';
export {
  ArgumentError,
  type BreakReason,
  BrokenBarrierError,
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
} from './core/store/errors.js';
export type { Keys } from './core/store/key-span.js';
export { type Data, type KeyRange, prefixRange } from './core/store/keys.js';
export type { RangeLimit } from './core/store/range-reader.js';
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
} from './core/store/store.js';
export type { Clock } from './core/time/clock.js';
export { systemClock } from './core/time/clock.js';
export type { WaitOptions } from './core/time/signals.js';
export type { GuardedReply, GuardedTxn } from './core/txn/guarded-txn.js';
export type { TxnBuilder, TxnOutcome } from './core/txn/txn-builder.js';
export { type Conditions, compare, type Operator } from './core/txn/txn-compare.js';
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
} from './core/txn/txn-steps.js';
export {
  type WatchBatch,
  type WatchChange,
  Watching,
  type WatchingOptions,
} from './core/watch/watching.js';
export * from './discovery/index.js';
export * from './election/index.js';
export * from './lock/index.js';
export * from './membership/index.js';
export {
  type Amount,
  Contents,
  type ContentsEntry,
  type ContentsUsage,
  type ImportOptions,
} from './namespace/contents.js';
export type { ImportReport } from './namespace/importer.js';
export { Namespace } from './namespace/namespace.js';
export * from './queue/index.js';
export * from './tenants/index.js';
export * from './value/index.js';
