import type {
  KeyValue,
  Operation,
  OperationReply,
  RangeReply,
  Txn,
  TxnReply,
} from '../../store/store.js';
import type { FieldReader } from './field-reader.js';
import { type SingleStep, type StepKind, stepFields } from './requests.js';

/** Where the replies to single steps have their pairs and their number. */
const places = {
  range: { pairs: 2, count: 4 },
  put: { pairs: 2, count: undefined },
  delete: { pairs: 3, count: 2 },
} as const;
/** The field of a transaction's reply in which each step has its answer. */
const answer = 3;
const nothing: Buffer = Buffer.alloc(0);

/** The reply to a step in our terms; its revision is 0 if it was a step of a transaction. @throws Error if it is not one */
export function readStep(from: FieldReader, kind: SingleStep): RangeReply {
  const place = places[kind];
  let kvs: KeyValue[] = [];
  let revision = 0n;
  let count = 0;
  while (from.next()) {
    if (from.field === 1) revision = from.nested(readHeader);
    else if (from.field === place.pairs) {
      const pair = from.nested(readPair);
      // A list that is made for one is much smaller than one that grows to it.
      if (kvs.length > 0) kvs.push(pair);
      else kvs = [pair];
    } else if (from.field === place.count) count = from.number();
    else from.skip();
  }
  return { kvs, count, revision };
}

/** The reply to `txn` in our terms; its revision is 0 if it was nested. @throws Error if it is not one */
export function readTxn(from: FieldReader, txn: Txn): TxnReply {
  const start = from.place;
  let revision = 0n;
  let succeeded = false;
  let answers = 0;
  while (from.next()) {
    if (from.field === answer) answers += 1;
    if (from.field === 1) revision = from.nested(readHeader);
    else if (from.field === 2) succeeded = from.bool();
    else from.skip();
  }
  const branch = (succeeded ? txn.success : txn.failure) ?? [];
  if (answers !== branch.length) throw new Error('a step has no answer');
  // Only now it is known which steps they answer.
  from.place = start;
  return { succeeded, revision, replies: branch.map((step) => readNext(from, step)) };
}

function readNext(from: FieldReader, step: Operation): OperationReply {
  while (from.next() && from.field !== answer) from.skip();
  return from.nested(readAnswer, step);
}

function readAnswer(from: FieldReader, step: Operation): OperationReply {
  const kind = kindOf(step);
  if (!from.next() || from.field !== stepFields[kind]) {
    throw new Error('a step has the answer of another');
  }
  if ('txn' in step) return { kvs: [], count: 0, txn: from.nested(readTxn, step.txn) };
  const { kvs, count } = from.nested(readStep, kind as SingleStep);
  return { kvs, count };
}

function kindOf(step: Operation): StepKind {
  if ('range' in step) return 'range';
  if ('put' in step) return 'put';
  return 'delete' in step ? 'delete' : 'txn';
}

/** The revision in the header of a reply. */
export function readHeader(from: FieldReader): bigint {
  let revision = 0n;
  while (from.next()) {
    if (from.field === 3) revision = from.bigint();
    else from.skip();
  }
  return revision;
}

/** A key with its value. */
export function readPair(from: FieldReader): KeyValue {
  let key = nothing;
  let value = nothing;
  let [createRevision, modRevision, version, lease] = [0n, 0n, 0n, 0n];
  while (from.next()) {
    if (from.field === 1) key = from.bytes();
    else if (from.field === 2) createRevision = from.bigint();
    else if (from.field === 3) modRevision = from.bigint();
    else if (from.field === 4) version = from.bigint();
    else if (from.field === 5) value = from.bytes();
    else if (from.field === 6) lease = from.bigint();
    else from.skip();
  }
  return { key, value, createRevision, modRevision, version, lease };
}
