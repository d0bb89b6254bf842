import type { KeyValue, OperationReply, TxnReply } from '../../../core/store/store.js';
import type { Init } from '../wire/codec.js';
import type * as common from '../wire/common.js';
import type * as wire from '../wire/kv.js';

// etcd's replies in the terms of a `Store`.

/** A key as it is, or was. */
export function fromKeyValue(kv: Init<common.KeyValue>): KeyValue {
  return {
    key: Buffer.from(kv.key ?? '', 'latin1'),
    value: Buffer.from(kv.value ?? '', 'latin1'),
    createRevision: BigInt(kv.createRevision ?? 0),
    modRevision: BigInt(kv.modRevision ?? 0),
    version: BigInt(kv.version ?? 0),
    lease: kv.lease ?? 0n,
  };
}

/** What a read found. */
export function fromRange({ kvs = [], count = 0 }: Init<wire.RangeResponse>): OperationReply {
  return { kvs: kvs.map(fromKeyValue), count };
}

/** What a transaction did. */
export function fromTxn({ header, succeeded, responses = [] }: Init<wire.TxnResponse>): TxnReply {
  return {
    succeeded: succeeded ?? false,
    revision: BigInt(header?.revision ?? 0),
    replies: responses.map(fromOperation),
  };
}

function fromOperation({ range, put, deleteRange, txn }: Init<wire.ResponseOp>): OperationReply {
  if (range) return fromRange(range);
  if (txn) return { kvs: [], count: 0, txn: fromTxn(txn) };
  const { deleted = 0, prevKvs = [] } = deleteRange ?? {};
  const before = put?.prevKv ? [put.prevKv] : prevKvs;
  return { kvs: before.map(fromKeyValue), count: deleted };
}
