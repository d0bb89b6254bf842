import { refusal } from '../errors.js';
import type { Leases } from '../lease/leases.js';
import { intervalOf } from '../mvcc/interval.js';
import type { MvccStore } from '../mvcc/store.js';
import { NO_LEASE } from '../mvcc/version.js';
import type { Writer } from '../mvcc/writer.js';
import type { Init } from '../wire/codec.js';
import type {
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  ResponseOp,
  TxnRequest,
  TxnResponse,
} from '../wire/kv.js';
import { holds } from './compare.js';
import { toKeyValue } from './key-value.js';
import { checkRevisionInTxn, readRange } from './range.js';

/** A transaction of which it is known which branches run, in it and in those nested in it. */
export interface Plan {
  readonly succeeded: boolean;
  readonly steps: readonly Step[];
}

interface Step {
  readonly operation: RequestOp;
  /** What becomes of a nested transaction. */
  readonly plan?: Plan;
}

/** Decides all branches on the state as it is. Nothing is changed. */
export function planTxn(store: MvccStore, txn: TxnRequest): Plan {
  const succeeded = txn.compare.every((compare) => holds(store, compare));
  const branch = succeeded ? txn.success : txn.failure;
  const steps = branch.map((operation) =>
    operation.txn ? { operation, plan: planTxn(store, operation.txn) } : { operation },
  );
  return { succeeded, steps };
}

/** @throws EtcdError if a step of the plan cannot be done on the state as it is. */
export function checkPlan(store: MvccStore, plan: Plan, leases: Leases): void {
  for (const { operation, plan: nested } of plan.steps) {
    const { range, put } = operation;
    if (range) checkRevisionInTxn(store, range.revision);
    if (put) checkTarget(store, put, leases);
    if (nested) checkPlan(store, nested, leases);
  }
}

/** @throws EtcdError if the lease does not exist, or something is to be kept of a key that does not. */
export function checkTarget(store: MvccStore, put: PutRequest, leases: Leases): void {
  if (put.lease !== NO_LEASE && !leases.has(put.lease)) throw refusal('leaseNotFound');
  if ((put.ignoreValue || put.ignoreLease) && !store.get(put.key)) throw refusal('keyNotFound');
}

/** Runs a plan; each step sees what the steps before it did. */
export function runPlan(store: MvccStore, writer: Writer, plan: Plan): Init<TxnResponse> {
  const responses = plan.steps.map((step) => runStep(store, writer, step));
  // etcd leaves the revision out here: only the reply as a whole has it.
  return { header: {}, succeeded: plan.succeeded, responses };
}

function runStep(store: MvccStore, writer: Writer, { operation, plan }: Step): Init<ResponseOp> {
  const { range, put, deleteRange } = operation;
  if (range) return { range: runRange(store, range, writer) };
  if (put) return { put: runPut(store, writer, put) };
  if (deleteRange) return { deleteRange: runDelete(writer, deleteRange) };
  return { txn: runPlan(store, writer, plan as Plan) };
}

/** Reads what the request asks for. */
export function runRange(
  store: MvccStore,
  request: RangeRequest,
  { revision }: { readonly revision: number },
): Init<RangeResponse> {
  return { header: { revision }, ...readRange(store, request, revision) };
}

/** Writes a key. @throws EtcdError if something is to be kept of a key that is gone */
export function runPut(store: MvccStore, writer: Writer, put: PutRequest): Init<PutResponse> {
  const { key, prevKv, ignoreValue, ignoreLease } = put;
  const previous = store.get(key);
  // A transaction may have deleted it in a step before; the etcd of today crashes there.
  if (!previous && (ignoreValue || ignoreLease)) throw refusal('keyNotFound');
  const value = ignoreValue && previous ? previous.value : put.value;
  const lease = ignoreLease && previous ? previous.lease : put.lease;
  writer.put(key, value, lease);
  const header = { revision: writer.revision };
  return prevKv && previous ? { header, prevKv: toKeyValue(previous) } : { header };
}

/** Deletes keys. */
export function runDelete(writer: Writer, request: DeleteRangeRequest): Init<DeleteRangeResponse> {
  const gone = writer.delete(intervalOf(request.key, request.rangeEnd));
  const prevKvs = request.prevKv ? gone.map((version) => toKeyValue(version)) : [];
  return { header: { revision: writer.revision }, deleted: gone.length, prevKvs };
}
