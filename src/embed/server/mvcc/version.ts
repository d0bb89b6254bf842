import type { Bytes } from '../wire/fields.js';

/** No lease. */
export const NO_LEASE = 0n;

/** What one change made of a key. It never changes, but compaction lets go of what was before. */
export interface Version {
  readonly key: Bytes;
  readonly value: Bytes;
  /** The revision at which the key came into being; 0 for a deletion. */
  readonly create: number;
  /** The revision of this change. */
  readonly mod: number;
  /** How often the key was written since it came into being; 0 for a deletion. */
  readonly version: number;
  readonly lease: bigint;
  /** The change of the same key before this one, while it is remembered. */
  previous: Version | undefined;
}

/** Whether this change removed the key. */
export function isDeletion({ version }: Version): boolean {
  return version === 0;
}

/** What the key was at `revision`, going back from this version; `undefined` if it did not exist. */
export function asOf(newest: Version | undefined, revision: number): Version | undefined {
  let found = newest;
  while (found !== undefined && found.mod > revision) found = found.previous;
  return found === undefined || isDeletion(found) ? undefined : found;
}
