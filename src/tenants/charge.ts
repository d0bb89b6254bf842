import { type Data, keyId, toBytes } from '../core/store/keys.js';
import type { KeyValue, Operation, OperationReply, Txn, TxnReply } from '../core/store/store.js';
import type { Amount } from '../namespace/contents.js';

/** Nothing of either. */
export const none: Amount = { keys: 0, bytes: 0 };

/** So much more, or with -1 less. */
export function plus(a: Amount, b: Amount, times = 1): Amount {
  return { keys: a.keys + times * b.keys, bytes: a.bytes + times * b.bytes };
}

/** Whether there is enough of both. */
export function covers(a: Amount, b: Amount): boolean {
  return a.keys >= b.keys && a.bytes >= b.bytes;
}

/** What a pair counts for. */
export type SizeOf = (pair: Pick<KeyValue, 'key' | 'value'>) => Amount;

/**
 * What a transaction comes to at most: as if it deleted nothing, and all it puts were new but for what `before` says was there, by
 * `keyId`.
 */
export function chargeOf(
  { success = [], failure = [] }: Txn,
  sizeOf: SizeOf,
  before?: ReadonlyMap<string, Amount>,
): Amount {
  const [yes, no] = [success, failure].map((steps) =>
    steps.reduce((sum, step) => plus(sum, chargeOfStep(step, sizeOf, before)), none),
  ) as [Amount, Amount];
  return { keys: Math.max(yes.keys, no.keys, 0), bytes: Math.max(yes.bytes, no.bytes, 0) };
}

function chargeOfStep(
  step: Operation,
  sizeOf: SizeOf,
  before?: ReadonlyMap<string, Amount>,
): Amount {
  if ('txn' in step) return chargeOf(step.txn, sizeOf, before);
  if (!('put' in step)) return none;
  const size = sizeOf({ key: toBytes(step.put.key), value: toBytes(step.put.value) });
  return plus(size, before?.get(keyId(step.put.key)) ?? none, -1);
}

/** All that a transaction may put. */
export function keysPut({ success = [], failure = [] }: Txn): Data[] {
  return [...success, ...failure].flatMap((step) => {
    if ('txn' in step) return keysPut(step.txn);
    return 'put' in step ? [step.put.key] : [];
  });
}

/** The same transaction, where etcd tells of every write what was there before. */
export function withPrevious({ compare = [], success = [], failure = [] }: Txn): Txn {
  const told = (step: Operation): Operation => {
    if ('txn' in step) return { txn: withPrevious(step.txn) };
    if ('put' in step) return { put: { ...step.put, previous: true } };
    return 'delete' in step ? { delete: { ...step.delete, previous: true } } : step;
  };
  return { compare, success: success.map(told), failure: failure.map(told) };
}

/** What a transaction came to, by its reply. */
export function changeOf(
  { success = [], failure = [] }: Txn,
  { succeeded, replies }: Pick<TxnReply, 'succeeded' | 'replies'>,
  sizeOf: SizeOf,
): Amount {
  const steps = succeeded ? success : failure;
  return steps.reduce<Amount>((sum, step, i) => {
    const { txn, kvs = [] } = replies[i] ?? {};
    if ('txn' in step) return txn ? plus(sum, changeOf(step.txn, txn, sizeOf)) : sum;
    if ('range' in step) return sum;
    const before = kvs.reduce((all, kv) => plus(all, sizeOf(kv), -1), sum);
    if (!('put' in step)) return before;
    const { key, value } = step.put;
    return plus(before, sizeOf({ key: toBytes(key), value: toBytes(value) }));
  }, none);
}

/** The reply without what was asked for by us only. */
export function asAsked(
  { success = [], failure = [] }: Txn,
  reply: Omit<TxnReply, 'revision'>,
  revision: bigint,
): TxnReply {
  const { succeeded, replies } = reply;
  const steps = succeeded ? success : failure;
  return { succeeded, revision, replies: replies.map((each, i) => stepAsAsked(steps[i], each)) };
}

function stepAsAsked(step: Operation | undefined, reply: OperationReply): OperationReply {
  const { kvs, count, txn } = reply;
  if (!step || 'range' in step) return reply;
  if ('txn' in step) return txn ? { kvs, count, txn: asAsked(step.txn, txn, txn.revision) } : reply;
  const { previous } = 'put' in step ? step.put : step.delete;
  return previous ? reply : { kvs: [], count };
}
