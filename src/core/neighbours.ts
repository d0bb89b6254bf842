import type { View } from './contender.js';
import { type KeyRange, keyId } from './keys.js';
import type { Store } from './store.js';

/**
 * What the contenders of this process know of their lines, for those who come after them: etcd need not
 * list a long line to each. An entry that is no longer kept up to date is older than the watch of whoever
 * takes it up, who then reads the line. Counts on a store telling all its listeners of an event in one turn.
 */
export class Neighbours {
  static readonly #all = new WeakMap<Store, Map<string, View>>();
  readonly #views: Map<string, View>;
  readonly #rivals: string;

  /** Those who see the same store and have the same rivals. */
  constructor(store: Store, { key, end = '' }: KeyRange) {
    this.#views = Neighbours.#all.get(store) ?? new Map();
    Neighbours.#all.set(store, this.#views);
    this.#rivals = `${keyId(key)}\n${keyId(end)}\n`;
  }

  /** Tells what the owner of `key` knows. */
  add(key: string, view: View): void {
    this.#views.set(this.#rivals + keyId(key), view);
  }

  remove(key: string): void {
    this.#views.delete(this.#rivals + keyId(key));
  }

  /** Adds to a view what the rival right before us knows, if that is one of us. */
  complete(view: View): View {
    const { nearest = '' } = view;
    if (view.complete || !view.ahead.has(nearest)) return view;
    const known = this.#views.get(this.#rivals + nearest);
    // What it knows may be older than our view, but must not be newer: it may be gone itself since.
    if (!known?.complete || known.revision > view.revision) return view;
    const revision = known.ahead.size === 0 ? view.revision : known.revision;
    return { revision, ahead: new Set(known.ahead).add(nearest), nearest, complete: true };
  }
}
