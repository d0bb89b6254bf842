import { ConflictError } from '../core/store/errors.js';
import { ForwardingStore } from '../core/store/forwarding-store.js';
import type { CommitOptions, Compare, Store, Txn, TxnReply } from '../core/store/store.js';

/** A store that writes for as long as a claim is there: what arrives later, of whoever lost it, changes nothing. */
export class ClaimedStore extends ForwardingStore {
  readonly #claim: Compare;

  constructor(store: Store, claim: Compare) {
    super(store);
    this.#claim = claim;
  }

  /** Runs a transaction. @throws ConflictError if the claim is gone; nothing was applied. */
  override async commit(txn: Txn, options?: CommitOptions): Promise<TxnReply> {
    const claimed = { compare: [this.#claim], success: [{ txn }] };
    const { succeeded, revision, replies } = await this.store.commit(claimed, options);
    if (!succeeded) {
      throw new ConflictError('the session was lost while a tenant was being changed: do it again');
    }
    return { ...(replies[0]?.txn as TxnReply), revision };
  }

  /** Does nothing: the store belongs to others. */
  override close(): void {}
}
