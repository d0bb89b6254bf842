import type { AccessControl } from './access-control.js';
import type { Data, KeyRange } from './keys.js';

/** A key with its value and its place in etcd's history. */
export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  /** The revision at which the key came into being, for as long as it exists. */
  readonly createRevision: bigint;
  /** The revision of its last change. */
  readonly modRevision: bigint;
  /** How many times it was written since it came into being. */
  readonly version: bigint;
  /** The lease that keeps it alive; 0 if none. */
  readonly lease: bigint;
}

/** A condition on one key, or with `end` on every key of a range (an empty range counts as one missing key). */
export interface Compare extends KeyRange {
  /** What is compared. A missing key has 0 for all of them, and no value. */
  readonly target: 'create' | 'mod' | 'version' | 'lease' | 'value';
  /** @defaultValue `'='` */
  readonly is?: '=' | '!=' | '<' | '>';
  /** A revision, version or lease as `bigint`; for `value` the bytes. */
  readonly to: bigint | Data;
}

/** Reads a key or range. */
export interface RangeRequest extends KeyRange {
  /** At most so many pairs. @defaultValue no limit */
  readonly limit?: number;
  /** By which property; without it by key, ascending. */
  readonly sortBy?: 'key' | 'create' | 'mod' | 'version' | 'value';
  /** @defaultValue `'ascending'` */
  readonly order?: 'ascending' | 'descending';
  /** Only keys created at or after this revision. */
  readonly minCreateRevision?: bigint;
  /** Only keys created at or before this revision. */
  readonly maxCreateRevision?: bigint;
  /** Only keys last changed at or after this revision. */
  readonly minModRevision?: bigint;
  /** Only keys last changed at or before this revision. */
  readonly maxModRevision?: bigint;
  /** Leaves the values out. */
  readonly keysOnly?: boolean;
  /** Leaves all pairs out: only their number is of interest. */
  readonly countOnly?: boolean;
  /** Reads as of this revision. @defaultValue the newest */
  readonly revision?: bigint;
}

/** Writes a key. */
export interface PutRequest {
  readonly key: Data;
  readonly value: Data;
  /** The key goes when this lease goes. @defaultValue 0, none */
  readonly lease?: bigint;
  /** Leaves the key on the lease that it has; the key must exist, and `lease` must not be given. */
  readonly keepLease?: boolean;
  /** Gives the pair as it was before. */
  readonly previous?: boolean;
}

/** Deletes a key or range. */
export interface DeleteRequest extends KeyRange {
  /** Gives the pairs as they were before. */
  readonly previous?: boolean;
}

/** One step of a transaction. */
export type Operation =
  | { readonly range: RangeRequest }
  | { readonly put: PutRequest }
  | { readonly delete: DeleteRequest }
  | { readonly txn: Txn };

/** If all of `compare` hold then `success`, else `failure`: one atomic step at one revision. */
export interface Txn {
  readonly compare?: readonly Compare[];
  readonly success?: readonly Operation[];
  readonly failure?: readonly Operation[];
}

/** What one step of a transaction gave. */
export interface OperationReply {
  /** The pairs read; of a write the pairs before it, if it asked for them with `previous`. */
  readonly kvs: readonly KeyValue[];
  /** How many keys the range read holds (before limit and filters), or how many keys were deleted. */
  readonly count: number;
  /** The reply of a nested transaction. */
  readonly txn?: TxnReply;
}

/** What a transaction gave. */
export interface TxnReply {
  /** Whether the comparisons held. */
  readonly succeeded: boolean;
  /** The revision of the store at the transaction: the one it wrote, if it wrote. */
  readonly revision: bigint;
  /** One for each step of the branch that ran. */
  readonly replies: readonly OperationReply[];
}

/** What a read gave. */
export interface RangeReply extends OperationReply {
  readonly revision: bigint;
}

/** How long a call may take, and whether it may be sent twice. */
export interface CallOptions {
  /** Gives the call up; it rejects with `signal.reason`, and a write may still take effect. */
  readonly signal?: AbortSignal;
  /** Limit for the whole call, all attempts included, in milliseconds. @defaultValue the store's `timeout` */
  readonly timeout?: number;
  /**
   * Limit for one attempt, in milliseconds, of a call that may be repeated. @defaultValue the store's `attemptTimeout`,
   * and longer where all endpoints need more
   */
  readonly attemptTimeout?: number;
  /**
   * That the caller sends it again itself if there is no answer: what may be sent once then ends without one, its outcome
   * `unknown`, as soon as another attempt would get one sooner. @defaultValue `false`
   */
  readonly repeated?: boolean;
}

/** Options of a read. */
export interface ReadOptions extends CallOptions {
  /**
   * Reads what the nearest member has, without asking the others: cheaper, but it may be behind. Never behind what this
   * store has seen before. Where no endpoint knows of a leader, one of them answers all the same, with what it had when it lost
   * touch. @defaultValue `false`, linearizable
   */
  readonly serializable?: boolean;
}

/** Options of a transaction. */
export interface CommitOptions extends CallOptions {
  /**
   * That applying the transaction twice is the same as once, so that it may be sent again when its answer
   * is lost. Transactions that only read always may. @defaultValue `false`
   */
  readonly idempotent?: boolean;
  /**
   * Has it applied exactly once however often it must be sent, by a mark that is written with it and read back
   * when an answer is lost. Stores that do not keep marks send it once. @defaultValue `false`: it is sent once,
   * and an answer that is lost is reported as `outcome: 'unknown'`
   */
  readonly exactlyOnce?: boolean;
  /**
   * What the keys of marks may begin with if etcd lets us write them nowhere else. Namespaces say so by themselves.
   * @defaultValue none: what has no mark then is sent once
   */
  readonly marksIn?: string | undefined;
  /**
   * Whether it may travel together with others that are waiting to be sent. Those that do take effect at one revision:
   * where the order of keys that are written counts, of commits that do not read each other's, it must not. @defaultValue `true`
   */
  readonly batch?: boolean;
}

/** A change of one key. */
export interface WatchEvent {
  readonly type: 'put' | 'delete';
  /** For a deletion only `key` and `modRevision` mean something. */
  readonly kv: KeyValue;
  /** The pair before the change, if the watch asked for it, there was one, and etcd still has it. */
  readonly previous?: KeyValue;
}

/** Who is told of changes. Must not throw. */
export interface WatchListener {
  /** Changes in the order of their revisions, each once. */
  events(events: readonly WatchEvent[]): void;
  /** Changes up to `revision` may be missing (etcd compacted them): read the state again. */
  gap(revision: bigint): void;
  /** The watch is over for good: etcd refuses it, or the store was closed. */
  closed(error: Error): void;
}

/** Options of a watch. */
export interface WatchOptions {
  /** The first revision of interest. @defaultValue whatever comes after the watch is ready */
  readonly from?: bigint;
  /** Only changes of this type. @defaultValue both */
  readonly only?: 'put' | 'delete';
  /** Gives the pair before each change too. @defaultValue `false` */
  readonly previous?: boolean;
}

/** A watch that is set, or is being set. It survives reconnects without losing or repeating events. */
export interface Watch {
  /** The first revision whose events this listener is sure to get; `undefined` until etcd has confirmed the watch. */
  readonly since: bigint | undefined;
  /** Settles when `since` is known. Rejects if the watch closes before. */
  readonly ready: Promise<void>;
  /** Ends the watch; the listener hears no more. */
  close(): void;
}

/** How one endpoint is, by its own account. */
export interface EndpointHealth {
  /** The endpoint as it was configured or found. */
  readonly endpoint: string;
  /** Whether it answers linearizable reads: it is in touch with a leader and a majority. */
  readonly healthy: boolean;
  /** Why not. */
  readonly error?: Error;
  /** Milliseconds that the linearizable read took. */
  readonly latency?: number;
  /** What it said of itself; `undefined` if it did not answer. */
  readonly status?: EndpointStatus;
}

/** What an etcd member says of itself. */
export interface EndpointStatus {
  /** Of the server, such as `3.6.9`. */
  readonly version: string;
  readonly memberId: bigint;
  /** The member that leads; 0 if it knows of none. */
  readonly leader: bigint;
  readonly isLearner: boolean;
  readonly revision: bigint;
  readonly raftTerm: bigint;
  /** Bytes of the database file. */
  readonly dbSize: number;
  /** Bytes of it in use; defragmenting gives the rest back. */
  readonly dbSizeInUse: number;
  /** Alarms raised in the cluster, such as `NOSPACE`, and what else is wrong. */
  readonly alarms: readonly string[];
}

/**
 * The few operations of etcd that everything here is written on. All revisions and leases are `bigint`.
 * Calls reject with `UnavailableError` when no endpoint answers, and with `RefusedError` when etcd says no.
 */
export interface Store {
  /** Users and roles; left out where there are none, as in a part of an etcd. */
  readonly access?: AccessControl | undefined;
  /** Reads a key or range. */
  read(range: RangeRequest, options?: ReadOptions): Promise<RangeReply>;
  /** Runs a transaction. */
  commit(txn: Txn, options?: CommitOptions): Promise<TxnReply>;
  /** Tells `listener` of changes in a range, as they happen. */
  watch(range: KeyRange, listener: WatchListener, options?: WatchOptions): Watch;
  /** Makes a lease with an ID of our choice (so it can be repeated) and gives the milliseconds etcd granted. */
  grant(lease: bigint, ttl: number, options?: CallOptions): Promise<number>;
  /** Renews a lease once and gives the milliseconds it now has; 0 if it is gone. `RefusedError` means that it will not be renewed. */
  keepAlive(lease: bigint, options?: CallOptions): Promise<number>;
  /** Ends a lease and deletes its keys. A lease that is gone already is no error. */
  revoke(lease: bigint, options?: CallOptions): Promise<void>;
  /** Asks every endpoint how it is. Does not reject for one that fails. */
  health(options?: CallOptions): Promise<readonly EndpointHealth[]>;
  /** Lets go of connections; pending calls reject. */
  close(): void;
}
