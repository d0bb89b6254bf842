import { ClosedError } from './errors.js';
import type { KeyRange } from './keys.js';
import type {
  CallOptions,
  CommitOptions,
  EndpointHealth,
  RangeReply,
  RangeRequest,
  ReadOptions,
  Store,
  Txn,
  TxnReply,
  Watch,
  WatchListener,
  WatchOptions,
} from './store.js';

/** A store that leaves everything to another, for those that do one thing otherwise. Closing it closes the other. */
export class ForwardingStore implements Store {
  readonly #store: Store;
  #closed = false;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The other store. @throws ClosedError after `close`. */
  protected get store(): Store {
    if (this.#closed) throw new ClosedError('store');
    return this.#store;
  }

  async read(range: RangeRequest, options?: ReadOptions): Promise<RangeReply> {
    return this.store.read(range, options);
  }

  async commit(txn: Txn, options?: CommitOptions): Promise<TxnReply> {
    return this.store.commit(txn, options);
  }

  watch(range: KeyRange, listener: WatchListener, options?: WatchOptions): Watch {
    return this.store.watch(range, listener, options);
  }

  async grant(lease: bigint, ttl: number, options?: CallOptions): Promise<number> {
    return this.store.grant(lease, ttl, options);
  }

  async keepAlive(lease: bigint, options?: CallOptions): Promise<number> {
    return this.store.keepAlive(lease, options);
  }

  async revoke(lease: bigint, options?: CallOptions): Promise<void> {
    return this.store.revoke(lease, options);
  }

  async health(options?: CallOptions): Promise<readonly EndpointHealth[]> {
    return this.store.health(options);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.end(this.#store);
  }

  /** Ends what is under way, and closes the other store. Called once. */
  protected end(store: Store): void {
    store.close();
  }
}
