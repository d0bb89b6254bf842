import { CompareResult, CompareTarget, SortOrder, SortTarget } from 'etcd3';
import type { Data, KeyRange } from '../../store/keys.js';
import type {
  Compare,
  DeleteRequest,
  Operation,
  PutRequest,
  RangeRequest,
  Txn,
} from '../../store/store.js';
import type { FieldWriter } from './field-writer.js';

const targets = {
  version: CompareTarget.Version,
  create: CompareTarget.Create,
  mod: CompareTarget.Mod,
  value: CompareTarget.Value,
  lease: CompareTarget.Lease,
} as const;
/** The fields of what is compared with. */
const fields = { version: 4, create: 5, mod: 6, value: 7, lease: 8 } as const;
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

/** The field that a step has among requests, and its reply among replies. */
export const stepFields = { range: 1, put: 2, delete: 3, txn: 4 } as const;

/** What a step does. */
export type StepKind = keyof typeof stepFields;

/** What a step does that is no transaction of its own. */
export type SingleStep = Exclude<StepKind, 'txn'>;

/** A read in etcd's terms; `serializable` as in `ReadOptions`. */
export function writeRange(to: FieldWriter, range: RangeRequest, serializable = false): void {
  const { limit, revision, sortBy, order } = range;
  writeNumber(to, 13, range.maxCreateRevision);
  writeNumber(to, 12, range.minCreateRevision);
  writeNumber(to, 11, range.maxModRevision);
  writeNumber(to, 10, range.minModRevision);
  writeFlag(to, 9, range.countOnly);
  writeFlag(to, 8, range.keysOnly);
  writeFlag(to, 7, serializable);
  if (sortBy !== undefined) {
    to.number(6, sortTargets[sortBy]);
    to.number(5, order === 'descending' ? SortOrder.Descend : SortOrder.Ascend);
  }
  writeNumber(to, 4, revision);
  writeNumber(to, 3, limit);
  writeKeys(to, range);
}

/** A put in etcd's terms. */
export function writePut(to: FieldWriter, put: PutRequest): void {
  writeFlag(to, 6, put.keepLease);
  writeFlag(to, 4, put.previous);
  writeNumber(to, 3, put.lease);
  to.bytes(2, put.value);
  to.bytes(1, put.key);
}

/** A deletion in etcd's terms. */
export function writeDelete(to: FieldWriter, range: DeleteRequest): void {
  writeFlag(to, 3, range.previous);
  writeKeys(to, range);
}

/** A transaction in etcd's terms. */
export function writeTxn(to: FieldWriter, { compare, success, failure }: Txn): void {
  if (failure) writeAll(to, 3, failure, writeStep);
  if (success) writeAll(to, 2, success, writeStep);
  if (compare) writeAll(to, 1, compare, writeCompare);
}

function writeStep(to: FieldWriter, step: Operation): void {
  const before = to.length;
  if ('range' in step) {
    writeRange(to, step.range);
    to.nest(stepFields.range, before);
  } else if ('delete' in step) {
    writeDelete(to, step.delete);
    to.nest(stepFields.delete, before);
  } else if ('txn' in step) {
    writeTxn(to, step.txn);
    to.nest(stepFields.txn, before);
  } else {
    writePut(to, step.put);
    to.nest(stepFields.put, before);
  }
}

function writeCompare(to: FieldWriter, { key, end, target, is = '=', to: what }: Compare): void {
  if (end?.length) to.bytes(64, end);
  if (target === 'value') to.bytes(fields.value, what as Data);
  else to.number(fields[target], what as bigint);
  to.bytes(3, key);
  to.number(2, targets[target]);
  to.number(1, results[is]);
}

function writeAll<T>(
  to: FieldWriter,
  field: number,
  all: readonly T[],
  write: (to: FieldWriter, one: T) => void,
): void {
  for (let index = all.length - 1; index >= 0; index -= 1) {
    const before = to.length;
    write(to, all[index] as T);
    to.nest(field, before);
  }
}

function writeKeys(to: FieldWriter, { key, end }: KeyRange): void {
  // etcd 3.4 takes one that is there, without a byte, for no upper bound.
  if (end?.length) to.bytes(2, end);
  to.bytes(1, key);
}

function writeNumber(to: FieldWriter, field: number, value: bigint | number = 0): void {
  if (value) to.number(field, value);
}

function writeFlag(to: FieldWriter, field: number, flag = false): void {
  if (flag) to.number(field, 1);
}
