import { ArgumentError, LimitError } from '../store/errors.js';
import { covers, type Span, spanOf } from '../store/key-span.js';
import { type Data, type KeyRange, keyId } from '../store/keys.js';
import type { Compare, Operation, PutRequest, RangeRequest, Txn } from '../store/store.js';
import { checkNumber, wholeFrom } from '../validate.js';

/** How many steps and comparisons etcd takes in one transaction, unless it was started with another `--max-txn-ops`. */
export const maxTxnOps = 128;

const targets = new Set(['create', 'mod', 'version', 'lease', 'value']);
const operators = new Set([undefined, '=', '!=', '<', '>']);
const sortings = new Set([undefined, 'key', 'create', 'mod', 'version', 'value']);
const orders = new Set([undefined, 'ascending', 'descending']);
const revisions = [
  'revision',
  'minCreateRevision',
  'maxCreateRevision',
  'minModRevision',
  'maxModRevision',
] as const;

/**
 * Refuses a transaction that etcd would refuse, and those that are surely a mistake: a range that ends before
 * it begins where something is written or compared, and a key that may be written twice.
 *
 * @param maxOps - how many comparisons, and how many steps of one branch, there may be; transactions inside
 * another share what it leaves
 * @throws ArgumentError that names what is wrong.
 * @throws LimitError if there are more than `maxOps`.
 */
export function checkTxn(txn: Txn, maxOps: number = maxTxnOps): void {
  checkLevel(txn, maxOps, maxOps);
}

/** Refuses a read that etcd would refuse. @throws ArgumentError that names what is wrong. */
export function checkRead(range: RangeRequest): void {
  checkKeys(range);
  const { limit, sortBy, order } = range;
  if (limit !== undefined) wholeFrom(0, 'limit', limit);
  if (!sortings.has(sortBy)) {
    throw new ArgumentError('sortBy', "'key', 'create', 'mod', 'version' or 'value'", sortBy);
  }
  if (!orders.has(order)) throw new ArgumentError('order', "'ascending' or 'descending'", order);
  for (const name of revisions) checkNumber(name, range[name] ?? 0n);
}

/** What may be written, whichever way the transactions inside take. */
interface Writes {
  readonly puts: string[];
  readonly deletes: Span[];
}

function checkLevel(txn: Txn, left: number, maxOps: number): Writes {
  const { compare = [], success = [], failure = [] } = txn;
  const size = Math.max(compare.length, success.length, failure.length);
  if (size > left) throw new LimitError('transaction', 'maxTxnOps', maxOps - left + size, maxOps);
  for (const each of compare) checkCompare(each);
  const writes = writesOf(success, left - size, maxOps);
  if (failure.length === 0) return writes;
  // Only one of the two runs.
  const others = writesOf(failure, left - size, maxOps);
  return {
    puts: [...writes.puts, ...others.puts],
    deletes: [...writes.deletes, ...others.deletes],
  };
}

/** Checks a branch step by step: what each writes must be apart from what those before it write. */
function writesOf(branch: readonly Operation[], left: number, maxOps: number): Writes {
  const puts = new Set<string>();
  const deletes: Span[] = [];
  for (const operation of branch) {
    const step = checkStep(operation, left, maxOps);
    if (!step) continue;
    for (const id of step.puts) {
      if (puts.has(id) || deletes.some((span) => covers(span, id))) throw writtenTwice(id);
    }
    for (const span of step.deletes) {
      for (const id of puts) if (covers(span, id)) throw writtenTwice(id);
    }
    for (const id of step.puts) puts.add(id);
    deletes.push(...step.deletes);
  }
  return { puts: [...puts], deletes };
}

function checkStep(operation: Operation, left: number, maxOps: number): Writes | undefined {
  if ('put' in operation) {
    checkPut(operation.put);
    return { puts: [keyId(operation.put.key)], deletes: [] };
  }
  if ('delete' in operation) {
    const span = checkWhole(operation.delete);
    return { puts: [], deletes: [span] };
  }
  if ('txn' in operation) return checkLevel(operation.txn, left, maxOps);
  if (!('range' in operation)) {
    throw new ArgumentError('step', 'a put, delete, range or txn', operation);
  }
  checkRead(operation.range);
  return undefined;
}

function checkPut({ key, value, lease = 0n, keepLease }: PutRequest): void {
  checkKey('key', key);
  checkData('value', value);
  checkNumber('lease', lease);
  if (keepLease && lease !== 0n) {
    throw new ArgumentError('lease', 'left out together with keepLease', lease);
  }
}

function checkCompare(compare: Compare): void {
  const { target, is, to } = compare;
  if (compare.end === undefined) checkKey('key', compare.key);
  else checkWhole(compare);
  if (!targets.has(target)) {
    throw new ArgumentError('target', "'create', 'mod', 'version', 'lease' or 'value'", target);
  }
  if (!operators.has(is)) throw new ArgumentError('is', "'=', '!=', '<' or '>'", is);
  if (target === 'value') checkData('to', to as Data);
  else checkNumber('to', to as bigint);
}

/** The keys of a range that must not end before it begins. */
function checkWhole(range: KeyRange): Span {
  checkKeys(range);
  const span = spanOf(range);
  if (!covers(span, span.low)) throw new ArgumentError('end', 'greater than key', range);
  return span;
}

function checkKeys({ key, end }: KeyRange): void {
  checkKey('key', key);
  if (end !== undefined) checkKey('end', end);
}

function checkKey(option: string, key: Data): void {
  if (typeof key === 'string' ? key === '' : !(key instanceof Uint8Array && key.length > 0)) {
    throw new ArgumentError(option, 'a non-empty string or Uint8Array', key);
  }
}

function checkData(option: string, data: Data): void {
  if (!(typeof data === 'string' || data instanceof Uint8Array)) {
    throw new ArgumentError(option, 'a string or Uint8Array', data);
  }
}

function writtenTwice(id: string): ArgumentError {
  const key = Buffer.from(id, 'latin1').toString();
  return new ArgumentError('key', 'written at most once in a transaction', key);
}
