import {
  CompareResult,
  CompareTarget,
  type ICompare,
  type IEvent,
  type IKeyValue,
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
  KeyValue,
  Operation,
  OperationReply,
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
} as const;

/** A key range in etcd's terms. */
export function rangeToWire({ key, end }: KeyRange): { key: Buffer; range_end?: Buffer } {
  return end === undefined ? { key: toBytes(key) } : { key: toBytes(key), range_end: toBytes(end) };
}

/** A read in etcd's terms. */
export function readToWire(range: RangeRequest): IRangeRequest {
  const { limit, sortBy, order, maxCreateRevision, keysOnly, revision } = range;
  const request: IRangeRequest = rangeToWire(range);
  if (limit !== undefined) request.limit = limit;
  if (sortBy !== undefined) {
    request.sort_target = sortTargets[sortBy];
    request.sort_order = order === 'descending' ? SortOrder.Descend : SortOrder.Ascend;
  }
  if (maxCreateRevision !== undefined) request.max_create_revision = String(maxCreateRevision);
  if (keysOnly !== undefined) request.keys_only = keysOnly;
  if (revision !== undefined) request.revision = String(revision);
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
  if ('delete' in operation) return { request_delete_range: rangeToWire(operation.delete) };
  if ('txn' in operation) return { request_txn: txnToWire(operation.txn) };
  const { key, value, lease = 0n } = operation.put;
  return { request_put: { key: toBytes(key), value: toBytes(value), lease: String(lease) } };
}

/** A transaction's reply in our terms. */
export function txnFromWire(reply: ITxnResponse): TxnReply {
  return {
    succeeded: reply.succeeded,
    // A nested reply has no revision of its own.
    revision: BigInt(reply.header?.revision ?? 0),
    replies: reply.responses.map(operationFromWire),
  };
}

/** A read's reply in our terms. */
export function readFromWire(reply: IRangeResponse): OperationReply {
  return { kvs: reply.kvs.map(kvFromWire), count: Number(reply.count) };
}

function operationFromWire(reply: IResponseOp): OperationReply {
  if (reply.response_range) return readFromWire(reply.response_range);
  if (reply.response_txn) return { kvs: [], count: 0, txn: txnFromWire(reply.response_txn) };
  return { kvs: [], count: Number(reply.response_delete_range?.deleted ?? 0) };
}

/** A watch event in our terms. */
export function eventFromWire(event: IEvent): WatchEvent {
  return { type: event.type === 'Put' ? 'put' : 'delete', kv: kvFromWire(event.kv) };
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
