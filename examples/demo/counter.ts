import type { Hold, Store } from '../../src/index.js';
import type { Kind } from './messages.js';

/** The key of the counter that is written in this way. */
export function counterKey(kind: Kind): string {
  return `counter-${kind}`;
}

/** The value of a counter; 0 before the first increment. */
export async function readCounter(store: Store, kind: Kind): Promise<number> {
  const { kvs } = await store.read({ key: counterKey(kind) });
  return Number(kvs[0]?.value.toString() ?? 0);
}

/** Writes a counter as its kind says. `plain` is what most code under a lock does: it hopes. */
export async function writeCounter(
  store: Store,
  hold: Hold,
  kind: Kind,
  value: number,
): Promise<void> {
  const key = counterKey(kind);
  if (kind === 'guarded') {
    await hold.txn().put(key, String(value)).commit();
  } else {
    await store.commit({ success: [{ put: { key, value: String(value) } }] });
  }
}
