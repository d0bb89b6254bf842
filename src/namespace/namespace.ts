import { type Data, type KeyRange, keyId, prefixEnd, toBytes } from '../core/keys.js';
import type {
  CallOptions,
  CommitOptions,
  Compare,
  EndpointHealth,
  KeyValue,
  Operation,
  OperationReply,
  RangeReply,
  RangeRequest,
  ReadOptions,
  Store,
  Txn,
  TxnReply,
  Watch,
  WatchEvent,
  WatchListener,
  WatchOptions,
} from '../core/store.js';

/**
 * A part of a store: everything below a prefix, seen without it. Keys cannot be named that lie outside;
 * "to the end of all keys" means the end of the prefix. Leases are those of the whole store.
 */
export class Namespace implements Store {
  readonly #store: Store;
  readonly #prefix: Buffer;

  constructor(store: Store, prefix: Data) {
    this.#store = store;
    this.#prefix = Buffer.from(toBytes(prefix));
  }

  async read(range: RangeRequest, options?: ReadOptions): Promise<RangeReply> {
    const reply = await this.#store.read(this.#inside(range), options);
    return { ...reply, kvs: reply.kvs.map((kv) => this.#stripped(kv)) };
  }

  async commit(txn: Txn, options?: CommitOptions): Promise<TxnReply> {
    return this.#replyOf(await this.#store.commit(this.#txn(txn), options));
  }

  watch(range: KeyRange, listener: WatchListener, options?: WatchOptions): Watch {
    const inner: WatchListener = {
      events: (events) => listener.events(events.map((event) => this.#event(event))),
      gap: (revision) => listener.gap(revision),
      closed: (error) => listener.closed(error),
    };
    // etcd takes a watch without a key for one of the first key there can be.
    const { end } = range;
    const first = end === undefined && toBytes(range.key).length === 0 ? { key: '\0' } : range;
    return this.#store.watch(this.#inside(first), inner, options);
  }

  grant(lease: bigint, ttl: number, options?: CallOptions): Promise<number> {
    return this.#store.grant(lease, ttl, options);
  }

  keepAlive(lease: bigint, options?: CallOptions): Promise<number> {
    return this.#store.keepAlive(lease, options);
  }

  revoke(lease: bigint, options?: CallOptions): Promise<void> {
    return this.#store.revoke(lease, options);
  }

  health(options?: CallOptions): Promise<readonly EndpointHealth[]> {
    return this.#store.health(options);
  }

  /** Does nothing: the store belongs to whoever opened it. */
  close(): void {}

  #inside<R extends KeyRange>(range: R): R {
    const { key, end } = range;
    if (end === undefined) return { ...range, key: this.#key(key) };
    const unbounded = keyId(end) === '\0';
    return {
      ...range,
      key: this.#key(key),
      end: unbounded ? prefixEnd(this.#prefix) : this.#prefixed(end),
    };
  }

  /** A key without a byte stays one, for etcd to refuse: it would be the prefix itself. */
  #key(key: Data): Buffer {
    const bytes = toBytes(key);
    return bytes.length === 0 ? bytes : this.#prefixed(bytes);
  }

  #prefixed(key: Data): Buffer {
    return Buffer.concat([this.#prefix, toBytes(key)]);
  }

  #txn(txn: Txn): Txn {
    return {
      compare: txn.compare?.map((compare: Compare) => this.#inside(compare)) ?? [],
      success: txn.success?.map((operation) => this.#operation(operation)) ?? [],
      failure: txn.failure?.map((operation) => this.#operation(operation)) ?? [],
    };
  }

  #operation(operation: Operation): Operation {
    if ('range' in operation) return { range: this.#inside(operation.range) };
    if ('delete' in operation) return { delete: this.#inside(operation.delete) };
    if ('txn' in operation) return { txn: this.#txn(operation.txn) };
    return { put: { ...operation.put, key: this.#key(operation.put.key) } };
  }

  #replyOf(reply: TxnReply): TxnReply {
    return { ...reply, replies: reply.replies.map((each) => this.#stepReply(each)) };
  }

  #stepReply(reply: OperationReply): OperationReply {
    const { txn } = reply;
    const kvs = reply.kvs.map((kv) => this.#stripped(kv));
    return { ...reply, kvs, ...(txn && { txn: this.#replyOf(txn) }) };
  }

  #event({ type, kv, previous }: WatchEvent): WatchEvent {
    const before = previous && { previous: this.#stripped(previous) };
    return { type, kv: this.#stripped(kv), ...before };
  }

  #stripped(kv: KeyValue): KeyValue {
    return { ...kv, key: kv.key.subarray(this.#prefix.length) };
  }
}
