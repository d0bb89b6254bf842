import { contains, type Interval, isPrefix, isSingle } from '../mvcc/interval.js';
import type { Bytes } from '../wire/fields.js';

/**
 * Finds who is interested in a key, however many are interested in others. Almost all watches are of one key or
 * of a prefix, and those are found by a look-up; the rest is gone through.
 */
export class WatcherIndex<T extends { readonly interval: Interval }> {
  readonly #byKey = new Map<Bytes, Set<T>>();
  /** By the length of the prefix, then by the prefix. */
  readonly #byPrefix = new Map<number, Map<Bytes, Set<T>>>();
  readonly #others = new Set<T>();

  add(watcher: T): void {
    const { interval } = watcher;
    const { low } = interval;
    if (isSingle(interval)) addTo(this.#byKey, low, watcher);
    else if (isPrefix(interval)) {
      const group = this.#byPrefix.get(low.length) ?? new Map<Bytes, Set<T>>();
      this.#byPrefix.set(low.length, group);
      addTo(group, low, watcher);
    } else this.#others.add(watcher);
  }

  delete(watcher: T): void {
    const { interval } = watcher;
    const { low } = interval;
    if (isSingle(interval)) deleteFrom(this.#byKey, low, watcher);
    else if (isPrefix(interval)) {
      const group = this.#byPrefix.get(low.length);
      if (group) deleteFrom(group, low, watcher);
      if (group?.size === 0) this.#byPrefix.delete(low.length);
    } else this.#others.delete(watcher);
  }

  /** All whose interval has the key. The list stays as it is when watchers come or go. */
  find(key: Bytes): T[] {
    const found = [...(this.#byKey.get(key) ?? [])];
    for (const [length, group] of this.#byPrefix) {
      const watchers = length <= key.length && group.get(key.slice(0, length));
      if (watchers) found.push(...watchers);
    }
    for (const watcher of this.#others) if (contains(watcher.interval, key)) found.push(watcher);
    return found;
  }
}

function addTo<T>(groups: Map<Bytes, Set<T>>, id: Bytes, member: T): void {
  const group = groups.get(id);
  if (group) group.add(member);
  else groups.set(id, new Set([member]));
}

function deleteFrom<T>(groups: Map<Bytes, Set<T>>, id: Bytes, member: T): void {
  const group = groups.get(id);
  group?.delete(member);
  if (group?.size === 0) groups.delete(id);
}
