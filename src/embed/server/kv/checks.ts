import { refusal } from '../errors.js';
import { contains, type Interval, intervalOf } from '../mvcc/interval.js';
import type { Bytes } from '../wire/fields.js';
import type {
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from '../wire/kv.js';

// What can be said of a request without looking at the data.

/** @throws EtcdError if the request is malformed. */
export function checkRange({ key, sortOrder, sortTarget }: RangeRequest): void {
  checkKey(key);
  if (!isWithin(sortOrder, 2) || !isWithin(sortTarget, 4)) throw refusal('invalidSort');
}

/** @throws EtcdError if the request is malformed. */
export function checkPut({ key, value, lease, ignoreValue, ignoreLease }: PutRequest): void {
  checkKey(key);
  if (ignoreValue && value !== '') throw refusal('valueProvided');
  if (ignoreLease && lease !== 0n) throw refusal('leaseProvided');
}

/** @throws EtcdError if the request is malformed. */
export function checkDelete({ key }: DeleteRangeRequest): void {
  checkKey(key);
}

/** @throws EtcdError if the transaction is too large, malformed, or changes a key twice. */
export function checkTxn(txn: TxnRequest, maxOps: number): void {
  checkShape(txn, maxOps);
  writesOf(txn.success);
  writesOf(txn.failure);
}

function checkShape({ compare, success, failure }: TxnRequest, maxOps: number): void {
  const operations = Math.max(compare.length, success.length, failure.length);
  if (operations > maxOps) throw refusal('tooManyOps');
  for (const { key } of compare) checkKey(key);
  for (const step of [...success, ...failure]) checkStep(step, maxOps - operations);
}

function checkStep({ range, put, deleteRange, txn }: RequestOp, maxOps: number): void {
  if (range) checkRange(range);
  else if (put) checkPut(put);
  else if (deleteRange) checkDelete(deleteRange);
  else if (txn) checkShape(txn, maxOps);
  else throw refusal('keyNotFound');
}

function checkKey(key: Bytes): void {
  if (key === '') throw refusal('emptyKey');
}

function isWithin(value: number, last: number): boolean {
  return value >= 0 && value <= last;
}

interface Writes {
  readonly puts: Set<Bytes>;
  readonly deletes: Interval[];
}

/**
 * What a branch and the transactions in it write. A key must not be put twice, nor be put where the same branch
 * deletes it - with etcd's own gaps: a nested transaction may delete what an earlier one put, and deletions up to
 * the last key count as empty.
 *
 * @throws EtcdError if a key is written twice.
 */
function writesOf(branch: readonly RequestOp[]): Writes {
  const deletes = branch.flatMap(({ deleteRange }) =>
    // A single zero byte is the end of all keys everywhere but here.
    deleteRange ? [spanOf(deleteRange)] : [],
  );
  const puts = new Set<Bytes>();
  const add = (key: Bytes, alternative?: ReadonlySet<Bytes>): void => {
    const twice = puts.has(key) && !alternative?.has(key);
    if (twice || deletes.some((span) => contains(span, key))) throw refusal('duplicateKey');
    puts.add(key);
  };
  for (const { txn } of branch) {
    if (!txn) continue;
    const [then, otherwise] = [writesOf(txn.success), writesOf(txn.failure)];
    for (const key of then.puts) add(key);
    // Only one of the two branches runs.
    for (const key of otherwise.puts) add(key, then.puts);
    for (const span of [...then.deletes, ...otherwise.deletes]) deletes.push(span);
  }
  for (const { put } of branch) if (put) add(put.key);
  return { puts, deletes };
}

function spanOf({ key, rangeEnd }: DeleteRangeRequest): Interval {
  return rangeEnd === '\0' ? { low: key, high: key } : intervalOf(key, rangeEnd);
}
