import type { WatchBatch } from '../events/change-queue.js';
import { keyId } from '../store/keys.js';
import type { KeyValue } from '../store/store.js';

/** The keys of a range, kept up to date by what a watch tells of it. */
export class KeyedState {
  readonly #keys = new Map<string, KeyValue>();

  /** The keys after these changes. */
  apply({ changes }: WatchBatch): KeyValue[] {
    for (const { type, kv } of changes) {
      if (type === 'put') this.#keys.set(keyId(kv.key), kv);
      else this.#keys.delete(keyId(kv.key));
    }
    return [...this.#keys.values()];
  }
}
