import type { CallOptions, Store, TxnReply } from '../store/store.js';
import { persist } from '../time/persist.js';
import type { HeldPlace } from './place.js';

/** What became of keys that were to be deleted. */
export interface Removed {
  /** Whether they were ours, and we deleted them. */
  readonly deleted: boolean;
  /** Whether we may have: an answer was lost, and then they were not there. */
  readonly mayHave: boolean;
}

/**
 * Deletes the keys of a place if they are ours. Goes on through outages until etcd has answered.
 *
 * @throws the reason of the lease's signal: they go with the lease.
 * @throws RefusedError if etcd refuses it; it is tried again in the background.
 */
export async function remove(place: HeldPlace, store: Store): Promise<Removed> {
  const { lease, removal } = place;
  const { signal, clock, limitOf } = lease;
  let mayHave = false;
  const onUnanswered = (): void => {
    mayHave = true;
  };
  // Not sent twice by the store: whether an earlier try may have been applied decides what "gone" means.
  const compareAndDelete = (limit: CallOptions): Promise<TxnReply> =>
    lease.commit(store, removal, limit, onUnanswered);
  try {
    const { succeeded } = await persist(compareAndDelete, signal, clock, limitOf);
    place.removed(succeeded);
    return { deleted: succeeded, mayHave };
  } catch (error) {
    if (!signal.aborted) place.withdraw();
    throw error;
  }
}
