import type { AccessControl } from './access-control.js';
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

  get access(): AccessControl | undefined {
    return this.store.access;
  }

  read(range: RangeRequest, options?: ReadOptions): Promise<RangeReply> {
    return this.call((store) => store.read(range, options));
  }

  commit(txn: Txn, options?: CommitOptions): Promise<TxnReply> {
    return this.call((store) => store.commit(txn, options));
  }

  watch(range: KeyRange, listener: WatchListener, options?: WatchOptions): Watch {
    return this.store.watch(range, listener, options);
  }

  grant(lease: bigint, ttl: number, options?: CallOptions): Promise<number> {
    return this.call((store) => store.grant(lease, ttl, options));
  }

  keepAlive(lease: bigint, options?: CallOptions): Promise<number> {
    return this.call((store) => store.keepAlive(lease, options));
  }

  revoke(lease: bigint, options?: CallOptions): Promise<void> {
    return this.call((store) => store.revoke(lease, options));
  }

  health(options?: CallOptions): Promise<readonly EndpointHealth[]> {
    return this.call((store) => store.health(options));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.end(this.#store);
  }

  /** Makes a call of the other store, whichever it is. */
  protected async call<T>(make: (store: Store) => Promise<T>): Promise<T> {
    return make(this.store);
  }

  /** Ends what is under way, and closes the other store. Called once. */
  protected end(store: Store): void {
    store.close();
  }
}
