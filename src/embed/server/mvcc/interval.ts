import type { Bytes } from '../wire/fields.js';

/** Behind every key: no byte is as large. */
const BEHIND_ALL = '\uffff';

/** The keys from `low` up to but not including `high`. */
export interface Interval {
  readonly low: Bytes;
  readonly high: Bytes;
}

/** The keys that a request names: without `rangeEnd` one, with a single zero byte all from `key` on. */
export function intervalOf(key: Bytes, rangeEnd: Bytes): Interval {
  if (rangeEnd === '') return { low: key, high: `${key}\0` };
  return { low: key, high: rangeEnd === '\0' ? BEHIND_ALL : rangeEnd };
}

/** Whether it has no key. */
export function isEmpty({ low, high }: Interval): boolean {
  return low >= high;
}

/** Whether it is one key and nothing else. */
export function isSingle({ low, high }: Interval): boolean {
  return high.length === low.length + 1 && high === `${low}\0`;
}

export function contains({ low, high }: Interval, key: Bytes): boolean {
  return low <= key && key < high;
}

/** Whether it is all keys that begin with `low`. */
export function isPrefix({ low, high }: Interval): boolean {
  const end = low.replace(/\xff+$/, '');
  const last = end.length - 1;
  return last >= 0 && high === end.slice(0, last) + String.fromCharCode(end.charCodeAt(last) + 1);
}
