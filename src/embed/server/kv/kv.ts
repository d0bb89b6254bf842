import { type Access, unrestricted } from '../auth/access.js';
import { refusal } from '../errors.js';
import type { Leases } from '../lease/leases.js';
import type { MvccStore } from '../mvcc/store.js';
import type { Writer } from '../mvcc/writer.js';
import type { Init } from '../wire/codec.js';
import type {
  CompactionRequest,
  DeleteRangeRequest,
  DeleteRangeResponse,
  HeaderOnly,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '../wire/kv.js';
import { checkDelete, checkPut, checkRange, checkTxn } from './checks.js';
import { allowDelete, allowPut, allowTxn } from './permissions.js';
import { checkRevision } from './range.js';
import {
  checkPlan,
  checkTarget,
  planTxn,
  runDelete,
  runPlan,
  runPut,
  runRange,
} from './transaction.js';

/** etcd's KV service over a store: checks a request in etcd's order, then does it. All throw `EtcdError`. */
export class Kv {
  readonly #store: MvccStore;
  readonly #leases: Leases;
  readonly #maxTxnOps: number;

  constructor(store: MvccStore, leases: Leases, maxTxnOps: number) {
    this.#store = store;
    this.#leases = leases;
    this.#maxTxnOps = maxTxnOps;
  }

  range(request: RangeRequest, access: Access = unrestricted): Init<RangeResponse> {
    checkRange(request);
    access.read(request.key, request.rangeEnd);
    checkRevision(this.#store, request.revision);
    return runRange(this.#store, request, this.#store);
  }

  put(request: PutRequest, access: Access = unrestricted): Init<PutResponse> {
    checkPut(request);
    access.propose();
    allowPut(access, request, this.#leases);
    checkTarget(this.#store, request, this.#leases);
    return this.#write((writer) => runPut(this.#store, writer, request));
  }

  deleteRange(
    request: DeleteRangeRequest,
    access: Access = unrestricted,
  ): Init<DeleteRangeResponse> {
    checkDelete(request);
    access.propose();
    allowDelete(access, request);
    return this.#write((writer) => runDelete(writer, request));
  }

  txn(request: TxnRequest, access: Access = unrestricted): Init<TxnResponse> {
    checkTxn(request, this.#maxTxnOps);
    if (isReadOnly(request)) access.identify();
    else access.propose();
    allowTxn(access, request, this.#leases);
    const plan = planTxn(this.#store, request);
    checkPlan(this.#store, plan, this.#leases);
    return this.#write((writer) => runPlan(this.#store, writer, plan));
  }

  compact({ revision }: CompactionRequest, access: Access = unrestricted): Init<HeaderOnly> {
    access.requireAdmin();
    access.propose();
    if (revision > this.#store.revision) throw refusal('futureRevision');
    if (revision <= this.#store.compacted) throw refusal('compacted');
    this.#store.compact(revision);
    return { header: { revision: this.#store.revision } };
  }

  #write<R extends { readonly header?: unknown }>(run: (writer: Writer) => R): R {
    const response = this.#store.write(run);
    return { ...response, header: { revision: this.#store.revision } };
  }
}

/** Nested transactions count as changes, whatever they do. */
function isReadOnly({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every(({ range }) => range !== undefined);
}
