import { spanOf } from '../core/store/key-span.js';
import { prefixRange } from '../core/store/keys.js';
import type { MirrorEntry } from './mirror-options.js';

/** Entries by the `keyId` of their keys. Their order is looked up when somebody asks, and kept while it stays. */
export class Table<T> {
  readonly #entries = new Map<string, MirrorEntry<T>>();
  /** All IDs, in order. */
  #order: readonly string[] | undefined;
  /** All entries, in that order. */
  #list: readonly MirrorEntry<T>[] | undefined;

  get size(): number {
    return this.#entries.size;
  }

  /** All IDs, in no order. */
  ids(): Iterable<string> {
    return this.#entries.keys();
  }

  get(id: string): MirrorEntry<T> | undefined {
    return this.#entries.get(id);
  }

  set(id: string, entry: MirrorEntry<T>): void {
    const before = this.#entries.size;
    this.#entries.set(id, entry);
    this.#list = undefined;
    if (this.#entries.size !== before) this.#order = undefined;
  }

  delete(id: string): void {
    if (!this.#entries.delete(id)) return;
    this.#list = undefined;
    this.#order = undefined;
  }

  /** Those whose keys begin with `prefix`, in the order of keys. What is given stays as it is. */
  list(prefix = ''): readonly MirrorEntry<T>[] {
    const order = this.#inOrder();
    this.#list ??= order.map((id) => this.#entries.get(id) as MirrorEntry<T>);
    if (prefix === '') return this.#list;
    const { low, high } = spanOf(prefixRange(prefix));
    return this.#list.slice(
      rankOf(order, low),
      high === undefined ? undefined : rankOf(order, high),
    );
  }

  #inOrder(): readonly string[] {
    // Texts with a character for each byte: their order is that of the bytes.
    this.#order ??= [...this.#entries.keys()].toSorted((a, b) => (a < b ? -1 : 1));
    return this.#order;
  }
}

/** How many come before `id`. */
function rankOf(order: readonly string[], id: string): number {
  let [low, high] = [0, order.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((order[middle] as string) < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
