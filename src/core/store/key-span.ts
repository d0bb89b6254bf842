import { type Data, type KeyRange, keyId, toBytes } from './keys.js';

/** One key, or a range of keys. */
export type Keys = Data | KeyRange;

/** The same as a range; what is neither key nor range as a key, which the checks of keys refuse. */
export function rangeOf(keys: Keys): KeyRange {
  const isRange = typeof keys === 'object' && keys !== null && !(keys instanceof Uint8Array);
  return isRange ? keys : { key: keys };
}

/** A range by the `keyId` of its bounds, whose order is that of the keys' bytes. */
export interface Span {
  readonly low: string;
  /** The first key after it; `undefined` where there is no upper bound. */
  readonly high: string | undefined;
}

/** The keys that a range holds. */
export function spanOf({ key, end }: KeyRange): Span {
  const low = keyId(key);
  if (!end?.length) return { low, high: `${low}\0` };
  const high = keyId(end);
  return { low, high: high === '\0' ? undefined : high };
}

/** Whether the key with this `keyId` lies in the span. */
export function covers({ low, high }: Span, id: string): boolean {
  return id >= low && (high === undefined || id < high);
}

/** The key that comes right after this one, in the order of all keys there can be. */
export function keyAfter(key: Data): Buffer {
  return Buffer.concat([toBytes(key), Buffer.of(0)]);
}
