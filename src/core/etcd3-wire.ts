import {
  CompareResult,
  CompareTarget,
  type ICompare,
  type IDeleteRangeRequest,
  type IEvent,
  type IKeyValue,
  type IPutRequest,
  type IRangeRequest,
  type IRangeResponse,
  type IRequestOp,
  type IResponseOp,
  type ITxnRequest,
  type ITxnResponse,
  SortOrder,
  SortTarget,
} from 'etcd3';
import { type Data, type KeyRange, toBytes } from './keys.js';
import type {
  Compare,
  DeleteRequest,
  KeyValue,
  Operation,
  OperationReply,
  PutRequest,
  RangeReply,
  RangeRequest,
  Txn,
  TxnReply,
  WatchEvent,
} from './store.js';

// Enumerations go out as numbers: an unknown name would be sent as 0 without an error.
const targets = {
  version: CompareTarget.Version,
  create: CompareTarget.Create,
  mod: CompareTarget.Mod,
  value: CompareTarget.Value,
  lease: CompareTarget.Lease,
} as const;
const targetFields = {
  version: 'version',
  create: 'create_revision',
  mod: 'mod_revision',
  lease: 'lease',
} as const;
const results = {
  '=': CompareResult.Equal,
  '>': CompareResult.Greater,
  '<': CompareResult.Less,
  '!=': CompareResult.NotEqual,
} as const;
const sortTargets = {
  key: SortTarget.Key,
  create: SortTarget.Create,
  mod: SortTarget.Mod,
  version: SortTarget.Version,
  value: SortTarget.Value,
} as const;

const revisions = [
  ['revision', 'revision'],
  ['minCreateRevision', 'min_create_revision'],
  ['maxCreateRevision', 'max_create_revision'],
  ['minModRevision', 'min_mod_revision'],
  ['maxModRevision', 'max_mod_revision'],
] as const;

/** A key range in etcd's terms. */
export function rangeToWire({ key, end }: KeyRange): { key: Buffer; range_end?: Buffer } {
  return end === undefined ? { key: toBytes(key) } : { key: toBytes(key), range_end: toBytes(end) };
}

/** A read in etcd's terms. */
export function readToWire(range: RangeRequest): IRangeRequest {
  const { limit, sortBy, order, keysOnly, countOnly } = range;
  const request: IRangeRequest = rangeToWire(range);
  if (limit !== undefined) request.limit = limit;
  if (sortBy !== undefined) {
    request.sort_target = sortTargets[sortBy];
    request.sort_order = order === 'descending' ? SortOrder.Descend : SortOrder.Ascend;
  }
  for (const [field, name] of revisions) {
    const revision = range[field];
    if (revision !== undefined) request[name] = String(revision);
  }
  if (keysOnly !== undefined) request.keys_only = keysOnly;
  if (countOnly !== undefined) request.count_only = countOnly;
  return request;
}

/** A transaction in etcd's terms. */
export function txnToWire(txn: Txn): ITxnRequest {
  return {
    compare: txn.compare?.map(compareToWire) ?? [],
    success: txn.success?.map(operationToWire) ?? [],
    failure: txn.failure?.map(operationToWire) ?? [],
  };
}

function compareToWire({ key, end, target, is = '=', to }: Compare): ICompare {
  const compare: ICompare = { key: toBytes(key), target: targets[target], result: results[is] };
  if (end !== undefined) compare.range_end = toBytes(end);
  if (target === 'value') compare.value = toBytes(to as Data);
  else compare[targetFields[target]] = String(to);
  return compare;
}

function operationToWire(operation: Operation): IRequestOp {
  if ('range' in operation) return { request_range: readToWire(operation.range) };
  if ('delete' in operation) return { request_delete_range: deleteToWire(operation.delete) };
  if ('txn' in operation) return { request_txn: txnToWire(operation.txn) };
  return { request_put: putToWire(operation.put) };
}

function deleteToWire({ previous = false, ...range }: DeleteRequest): IDeleteRangeRequest {
  return { ...rangeToWire(range), prev_kv: previous };
}

function putToWire({ key, value, lease = 0n, keepLease, previous }: PutRequest): IPutRequest {
  const request: IPutRequest = { key: toBytes(key), value: toBytes(value), lease: String(lease) };
  if (keepLease) request.ignore_lease = true;
  if (previous) request.prev_kv = true;
  return request;
}

/** The reply to `txn` in our terms. @throws Error if it is not one */
export function txnFromWire(reply: ITxnResponse, txn: Txn): TxnReply {
  const steps = (reply.succeeded ? txn.success : txn.failure) ?? [];
  if (reply.responses.length !== steps.length) throw new Error('a step has no answer');
  return {
    succeeded: reply.succeeded,
    // A nested reply has no revision of its own.
    revision: BigInt(reply.header?.revision ?? 0),
    replies: steps.map((step, i) => stepFromWire(reply.responses[i] as IResponseOp, step)),
  };
}

/** A read's reply in our terms. @throws Error if it is not one */
export function rangeFromWire(reply: IRangeResponse): RangeReply {
  return { ...readFromWire(reply), revision: BigInt(reply.header.revision) };
}

function readFromWire(reply: IRangeResponse): OperationReply {
  return { kvs: reply.kvs.map(kvFromWire), count: Number(reply.count) };
}

function stepFromWire(reply: IResponseOp, step: Operation): OperationReply {
  if ('range' in step) return readFromWire(reply.response_range);
  if ('txn' in step) {
    return { kvs: [], count: 0, txn: txnFromWire(reply.response_txn, step.txn) };
  }
  if ('delete' in step) {
    const { deleted, prev_kvs } = reply.response_delete_range;
    return { kvs: prev_kvs.map(kvFromWire), count: Number(deleted) };
  }
  const { prev_kv } = reply.response_put;
  return { kvs: prev_kv ? [kvFromWire(prev_kv)] : [], count: 0 };
}

/** A watch event in our terms. */
export function eventFromWire(event: IEvent): WatchEvent {
  const { type, kv, prev_kv } = event;
  const previous = prev_kv && { previous: kvFromWire(prev_kv) };
  return { type: type === 'Put' ? 'put' : 'delete', kv: kvFromWire(kv), ...previous };
}

function kvFromWire(kv: IKeyValue): KeyValue {
  return {
    key: kv.key,
    value: kv.value,
    createRevision: BigInt(kv.create_revision),
    modRevision: BigInt(kv.mod_revision),
    version: BigInt(kv.version),
    lease: BigInt(kv.lease),
  };
}
