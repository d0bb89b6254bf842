import type { IndexOf, MirrorEntry } from './mirror-options.js';
import { Table } from './table.js';

/** Entries by what a function says of them. */
export class ValueIndex<T> {
  readonly #indexOf: IndexOf<T>;
  readonly #tables = new Map<string, Table<T>>();
  /** Under what each is found: asked again, a function might say something else. */
  readonly #places = new Map<string, readonly string[]>();
  /** By ID, what the function threw. */
  readonly faults: Map<string, unknown> = new Map();

  constructor(indexOf: IndexOf<T>) {
    this.#indexOf = indexOf;
  }

  /** In the order of keys. What is given stays as it is. */
  find(place: string): readonly MirrorEntry<T>[] {
    return this.#tables.get(place)?.list() ?? [];
  }

  /** Puts an entry in place of the last one of its ID; `undefined` if there is none any more. What is thrown is a fault. */
  place(id: string, entry: MirrorEntry<T> | undefined): void {
    for (const place of this.#places.get(id) ?? []) this.#leave(place, id);
    this.#places.delete(id);
    this.faults.delete(id);
    if (!entry) return;
    try {
      const places = [this.#indexOf(entry.value, entry.key)].flat();
      if (places.length > 0) this.#places.set(id, places);
      for (const place of places) this.#enter(place, id, entry);
    } catch (error) {
      this.faults.set(id, error);
    }
  }

  #enter(place: string, id: string, entry: MirrorEntry<T>): void {
    const table = this.#tables.get(place) ?? new Table<T>();
    this.#tables.set(place, table);
    table.set(id, entry);
  }

  #leave(place: string, id: string): void {
    const table = this.#tables.get(place);
    table?.delete(id);
    if (table?.size === 0) this.#tables.delete(place);
  }
}
