import { refusal } from '../errors.js';
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
import { checkRevision } from './range.js';
import {
  checkPlan,
  checkTarget,
  type LeaseExists,
  planTxn,
  runDelete,
  runPlan,
  runPut,
  runRange,
} from './transaction.js';

/** Objects to a request that is in order but too large for consensus. */
export type CheckSize = () => void;

const anySize: CheckSize = () => {};

/** etcd's KV service over a store: checks a request in etcd's order, then does it. All throw `EtcdError`. */
export class Kv {
  readonly #store: MvccStore;
  readonly #leaseExists: LeaseExists;
  readonly #maxTxnOps: number;

  constructor(store: MvccStore, leaseExists: LeaseExists, maxTxnOps: number) {
    this.#store = store;
    this.#leaseExists = leaseExists;
    this.#maxTxnOps = maxTxnOps;
  }

  range(request: RangeRequest): Init<RangeResponse> {
    checkRange(request);
    checkRevision(this.#store, request.revision);
    return runRange(this.#store, request, this.#store);
  }

  put(request: PutRequest, checkSize: CheckSize = anySize): Init<PutResponse> {
    checkPut(request);
    checkSize();
    checkTarget(this.#store, request, this.#leaseExists);
    return this.#write((writer) => runPut(this.#store, writer, request));
  }

  deleteRange(
    request: DeleteRangeRequest,
    checkSize: CheckSize = anySize,
  ): Init<DeleteRangeResponse> {
    checkDelete(request);
    checkSize();
    return this.#write((writer) => runDelete(writer, request));
  }

  txn(request: TxnRequest, checkSize: CheckSize = anySize): Init<TxnResponse> {
    checkTxn(request, this.#maxTxnOps);
    if (!isReadOnly(request)) checkSize();
    const plan = planTxn(this.#store, request);
    checkPlan(this.#store, plan, this.#leaseExists);
    return this.#write((writer) => runPlan(this.#store, writer, plan));
  }

  compact({ revision }: CompactionRequest, checkSize: CheckSize = anySize): Init<HeaderOnly> {
    checkSize();
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
