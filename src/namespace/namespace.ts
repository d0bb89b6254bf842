import { isUtf8 } from 'node:buffer';
import type { AccessControl } from '../core/store/access-control.js';
import { ForwardingStore } from '../core/store/forwarding-store.js';
import { type Data, type KeyRange, keyId, prefixEnd, toBytes } from '../core/store/keys.js';
import type {
  CommitOptions,
  Compare,
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
} from '../core/store/store.js';

/**
 * A part of a store: everything below a prefix, seen without it. Keys cannot be named that lie outside;
 * "to the end of all keys" means the end of the prefix. The key that is the prefix itself lies outside, as no store
 * has an empty key. Leases are those of the whole store. One in another costs no more than one.
 */
export class Namespace extends ForwardingStore {
  readonly #prefix: Buffer;
  /** The same as text, if it is: before a key that is text too, it costs next to nothing. */
  readonly #text: string | undefined;
  /** Where marks may be of those who may write only here. */
  readonly #marksIn: string | undefined;
  /** Where it ends. */
  readonly #end: Data;

  constructor(store: Store, prefix: Data) {
    const outer = store instanceof Namespace ? store : undefined;
    super(outer ? outer.store : store);
    this.#prefix = Buffer.concat([outer ? outer.#prefix : Buffer.of(), toBytes(prefix)]);
    this.#text = isUtf8(this.#prefix) ? this.#prefix.toString() : undefined;
    this.#marksIn = outer ? outer.#marksIn : this.#text;
    this.#end = prefixEnd(this.#prefix);
  }

  /** Whether two stores have the same keys: they are the same, or begin with one prefix in the same. */
  static isSame(a: Store, b: Store): boolean {
    if (!(a instanceof Namespace && b instanceof Namespace)) return a === b;
    return a.#prefix.equals(b.#prefix) && a.store === b.store;
  }

  /** Whether keys of a store are set apart by a prefix: that it is a namespace, with one that is not empty. */
  static isPart(store: Store): boolean {
    return store instanceof Namespace && store.#prefix.length > 0;
  }

  /** None: users and roles are of the whole store. */
  override get access(): AccessControl | undefined {
    return undefined;
  }

  override async read(range: RangeRequest, options?: ReadOptions): Promise<RangeReply> {
    const reply = await this.store.read(this.#inside(range), options);
    return { ...reply, kvs: this.#allStripped(reply.kvs) };
  }

  override async commit(txn: Txn, options?: CommitOptions): Promise<TxnReply> {
    const marked = { ...options, marksIn: this.#marksIn };
    return this.#replyOf(await this.store.commit(this.#txn(txn), marked));
  }

  override watch(range: KeyRange, listener: WatchListener, options?: WatchOptions): Watch {
    const inner: WatchListener = {
      events: (events) => listener.events(events.map((event) => this.#event(event))),
      gap: (revision) => listener.gap(revision),
      closed: (error) => listener.closed(error),
    };
    // etcd takes a watch without a key for one from the first key there can be: of its own, not of ours.
    const first = range.key.length === 0 ? { ...range, key: '\0' } : range;
    return this.store.watch(this.#inside(first), inner, options);
  }

  /** Does nothing: the store belongs to whoever opened it. */
  override close(): void {}

  #inside<R extends KeyRange>(range: R): R {
    const key = this.#key(range.key);
    const { end } = range;
    if (end === undefined) return { ...range, key };
    // An end without a byte is none, to etcd. With the prefix before it, it would be one, and before all of our keys.
    if (end.length === 0) return { ...range, key, end: undefined };
    const isUnbounded = end.length === 1 && keyId(end) === '\0';
    return { ...range, key, end: isUnbounded ? this.#end : this.#key(end) };
  }

  /** A key without a byte stays one, for etcd to refuse: it would be the prefix itself. */
  #key(key: Data): Data {
    if (key.length === 0) return key;
    if (typeof key === 'string' && this.#text !== undefined) return this.#text + key;
    return Buffer.concat([this.#prefix, toBytes(key)]);
  }

  #txn({ compare = [], success = [], failure = [] }: Txn): Txn {
    return {
      compare: compare.map((each: Compare) => this.#inside(each)),
      success: success.map((operation) => this.#operation(operation)),
      failure: failure.map((operation) => this.#operation(operation)),
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
    const { kvs, count, txn } = reply;
    if (txn) return { kvs: this.#allStripped(kvs), count, txn: this.#replyOf(txn) };
    return kvs.length === 0 ? reply : { kvs: this.#allStripped(kvs), count };
  }

  #event({ type, kv, previous }: WatchEvent): WatchEvent {
    const before = previous && { previous: this.#stripped(previous) };
    return { type, kv: this.#stripped(kv), ...before };
  }

  #allStripped(kvs: readonly KeyValue[]): readonly KeyValue[] {
    return kvs.map((kv) => this.#stripped(kv));
  }

  /** A copy, as others may have been given the same pair. */
  #stripped({ key, value, createRevision, modRevision, version, lease }: KeyValue): KeyValue {
    const name = key.subarray(this.#prefix.length);
    return { key: name, value, createRevision, modRevision, version, lease };
  }
}
