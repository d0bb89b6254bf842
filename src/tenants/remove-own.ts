import type { Lease } from '../core/session/lease.js';
import { UnavailableError } from '../core/store/errors.js';
import type { Data } from '../core/store/keys.js';
import type { CallOptions, Store, TxnReply } from '../core/store/store.js';
import { persist } from '../core/time/persist.js';

/**
 * Deletes a key on a lease of ours that only we put with this value, and for whose end others wait.
 *
 * @throws UnavailableError: then it is tried again in the background, until the key is gone, at the latest with its lease.
 * @throws RefusedError if etcd refuses it: then it goes with the lease.
 */
export async function removeOwn(
  store: Store,
  lease: Lease,
  { key, value }: { readonly key: string; readonly value: Data },
): Promise<void> {
  const compare = [{ key, target: 'value', to: value }] as const;
  const remove = (limit?: CallOptions): Promise<TxnReply> =>
    store.commit({ compare, success: [{ delete: { key } }] }, { ...limit, idempotent: true });
  try {
    await remove();
  } catch (error) {
    if (error instanceof UnavailableError) {
      persist(remove, lease.signal, lease.clock).catch(() => {});
    }
    throw error;
  }
}
