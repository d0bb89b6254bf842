import { type Data, type KeyRange, keyId } from '../../../core/store/keys.js';
import type { Compare, Operation, RangeRequest, Txn } from '../../../core/store/store.js';
import { type Interval, intervalOf } from '../mvcc/interval.js';
import type { Bytes } from '../wire/fields.js';
import * as wire from '../wire/kv.js';

// Requests of a `Store` in etcd's terms.

const targets = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const;
const results = { '=': 0, '>': 1, '<': 2, '!=': 3 } as const;
const sortTargets = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;

function endOf(end: Data | undefined): Bytes {
  return end === undefined ? '' : keyId(end);
}

/** The keys that are meant. */
export function toInterval({ key, end }: KeyRange): Interval {
  return intervalOf(keyId(key), endOf(end));
}

/** A read. */
export function toRange(range: RangeRequest): wire.RangeRequest {
  const { key, end, limit, sortBy, order } = range;
  return wire.RangeRequest.create({
    key: keyId(key),
    rangeEnd: endOf(end),
    limit: limit ?? 0,
    revision: Number(range.revision ?? 0),
    sortTarget: sortBy === undefined ? 0 : sortTargets[sortBy],
    sortOrder: sortBy === undefined ? 0 : order === 'descending' ? 2 : 1,
    minCreateRevision: Number(range.minCreateRevision ?? 0),
    maxCreateRevision: Number(range.maxCreateRevision ?? 0),
    minModRevision: Number(range.minModRevision ?? 0),
    maxModRevision: Number(range.maxModRevision ?? 0),
    keysOnly: range.keysOnly ?? false,
    countOnly: range.countOnly ?? false,
  });
}

/** A transaction. */
export function toTxn({ compare = [], success = [], failure = [] }: Txn): wire.TxnRequest {
  return {
    compare: compare.map(toCompare),
    success: success.map(toOperation),
    failure: failure.map(toOperation),
  };
}

function toCompare({ key, end, target, is = '=', to }: Compare): wire.Compare {
  const number = typeof to === 'bigint' ? Number(to) : 0;
  return {
    result: results[is],
    target: targets[target],
    key: keyId(key),
    version: number,
    createRevision: number,
    modRevision: number,
    value: typeof to === 'bigint' ? '' : keyId(to),
    lease: typeof to === 'bigint' ? to : 0n,
    rangeEnd: endOf(end),
  };
}

const nothing = { range: undefined, put: undefined, deleteRange: undefined, txn: undefined };

function toOperation(operation: Operation): wire.RequestOp {
  if ('range' in operation) return { ...nothing, range: toRange(operation.range) };
  if ('txn' in operation) return { ...nothing, txn: toTxn(operation.txn) };
  if ('delete' in operation) {
    const { key, end, previous: prevKv = false } = operation.delete;
    return { ...nothing, deleteRange: { key: keyId(key), rangeEnd: endOf(end), prevKv } };
  }
  const { key, value, lease = 0n, keepLease = false, previous = false } = operation.put;
  const put = wire.PutRequest.create({
    key: keyId(key),
    value: keyId(value),
    lease,
    ignoreLease: keepLease,
    prevKv: previous,
  });
  return { ...nothing, put };
}
