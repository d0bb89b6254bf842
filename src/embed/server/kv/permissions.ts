import type { Access } from '../auth/access.js';
import type { Leases } from '../lease/leases.js';
import type { DeleteRangeRequest, PutRequest, RequestOp, TxnRequest } from '../wire/kv.js';

// What a caller must be allowed to do for a request. All throw `EtcdError`.

/** A put under a lease takes what it takes to end that lease: its end would delete the key. */
export function allowPut(access: Access, { key, lease, prevKv }: PutRequest, leases: Leases): void {
  access.write(key, '');
  allowWrites(access, leases.keysOf(lease));
  if (prevKv) access.read(key, '');
}

export function allowDelete(access: Access, { key, rangeEnd, prevKv }: DeleteRangeRequest): void {
  access.write(key, rangeEnd);
  if (prevKv) access.read(key, rangeEnd);
}

/** All that a transaction could do, whichever branches run. */
export function allowTxn(access: Access, txn: TxnRequest, leases: Leases): void {
  for (const { key, rangeEnd } of txn.compare) access.read(key, rangeEnd);
  for (const step of [...txn.success, ...txn.failure]) allowStep(access, step, leases);
}

/** To write each of these keys, such as those that go with a lease. */
export function allowWrites(access: Access, keys: Iterable<string>): void {
  for (const key of keys) access.write(key, '');
}

/** To read each of these keys. */
export function allowReads(access: Access, keys: Iterable<string>): void {
  for (const key of keys) access.read(key, '');
}

function allowStep(
  access: Access,
  { range, put, deleteRange, txn }: RequestOp,
  leases: Leases,
): void {
  if (range) access.read(range.key, range.rangeEnd);
  else if (put) allowPut(access, put, leases);
  else if (deleteRange) allowDelete(access, deleteRange);
  else if (txn) allowTxn(access, txn, leases);
}
