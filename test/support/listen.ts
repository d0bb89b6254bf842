import type { Store, Watch, WatchOptions } from '../../src/index.js';

/** A watch of one key, and what it was told. */
export interface Listening {
  readonly watch: Watch;
  /** The values of the key, and `gap`. */
  readonly seen: string[];
  readonly closed: Error[];
}

/** Watches a key and keeps what is told. */
export function listen(store: Store, key: string, options?: WatchOptions): Listening {
  const seen: string[] = [];
  const closed: Error[] = [];
  const watch = store.watch(
    { key },
    {
      events: (events) => seen.push(...events.map(({ kv }) => kv.value.toString())),
      gap: () => seen.push('gap'),
      closed: (error) => closed.push(error),
    },
    options,
  );
  return { watch, seen, closed };
}
