import { intervalOf } from '../mvcc/interval.js';
import type { MvccStore } from '../mvcc/store.js';
import type { Version } from '../mvcc/version.js';
import type { Compare } from '../wire/kv.js';

/** Whether a condition holds for every key it names; where there is none, for a missing key. */
export function holds(store: MvccStore, compare: Compare): boolean {
  const found = store.read(intervalOf(compare.key, compare.rangeEnd));
  if (found.length === 0) return holdsFor(undefined, compare);
  return found.every((version) => holdsFor(version, compare));
}

function holdsFor(found: Version | undefined, compare: Compare): boolean {
  switch (compare.target) {
    case 0:
      return relates(found?.version ?? 0, compare.version, compare.result);
    case 1:
      return relates(found?.create ?? 0, compare.createRevision, compare.result);
    case 2:
      return relates(found?.mod ?? 0, compare.modRevision, compare.result);
    case 3:
      // A missing key has no value, and nothing can be said of it.
      return found !== undefined && relates(found.value, compare.value, compare.result);
    case 4:
      return relates(found?.lease ?? 0n, compare.lease, compare.result);
    default:
      // etcd takes what it does not know for equal.
      return relates(0, 0, compare.result);
  }
}

function relates<T extends number | bigint | string>(a: T, b: T, result: number): boolean {
  switch (result) {
    case 0:
      return a === b;
    case 1:
      return a > b;
    case 2:
      return a < b;
    case 3:
      return a !== b;
    default:
      return true;
  }
}
