import { keyId, prefixRange } from '../core/store/keys.js';
import type { CallOptions, Store } from '../core/store/store.js';
import { sketchesOf } from './listing.js';
import { orderOf, type QueueKeys } from './queue-keys.js';

/** Whether jobs wait whose turn comes by itself: not only such as are behind one of which somebody has to decide what becomes. */
export async function isLeft(
  store: Store,
  keys: QueueKeys,
  options: CallOptions,
): Promise<boolean> {
  const { kvs } = await store.read({ ...prefixRange(keys.blocked), keysOnly: true }, options);
  const blocked = new Set<string | undefined>(
    kvs.map(({ key }) => keyId(key).slice(keys.blocked.length)),
  );
  for await (const sketches of sketchesOf(store, keys.ready, keys.ready, options)) {
    const waiting = sketches.filter(({ state }) => state === 'ready');
    if (waiting.some(({ key }) => !blocked.has(orderOf(key.slice(keys.ready.length))))) return true;
  }
  return false;
}
