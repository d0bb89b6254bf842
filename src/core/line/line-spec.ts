import type { Data, KeyRange } from '../store/keys.js';
import type { KeyValue, Store } from '../store/store.js';
import type { Traces } from '../trace.js';
import type { Grant } from './grant.js';
import type { Hold } from './hold.js';

/** One line as data. */
export interface Lane {
  /** Where contenders put their keys; ends with a slash. */
  readonly folder: string;
  /** Where they put another each, at the same time; ends with a slash. @defaultValue nowhere */
  readonly also?: string;
  /** Whose keys count as being ahead, when older. */
  readonly rivals: KeyRange;
  /** Keys that are ahead of some who are older, too. @defaultValue none */
  readonly barring?: Barring;
  /** When a key in here is deleted, more may have changed than who is ahead. @defaultValue nothing */
  readonly terms?: KeyRange;
  /** What is watched: all that is named here. @defaultValue `rivals` */
  readonly watched?: KeyRange;
  /** How much is let in at once. @defaultValue always 1 */
  readonly capacity?: Capacity;
  /** How much of that a rival takes, by the `keyId` of its key. @defaultValue 1 */
  readonly weigh?: (id: string) => number;
}

/** Keys that come ahead of whoever was not let in when they were put. */
interface Barring {
  readonly range: KeyRange;
  /** Of whom a key is ahead: of those whose keys were created at this revision or later. */
  readonly from: (kv: KeyValue) => bigint;
}

/** How much a line lets in at once, where that may change. */
export interface Capacity {
  /** Where the one key is whose value tells. */
  readonly range: KeyRange;
  /** As last heard. */
  now: number;
}

/** What is joined, and what it is for: a wait in vain names it, and so do traces. */
export type LineSpec = Traces['wait'] & {
  /** Most often one; several are joined at once, and let in is who is let in by all. */
  readonly lanes: readonly [Lane, ...Lane[]];
  /** How much our own key takes of the capacity. @defaultValue 1 */
  readonly weight?: number;
  /** What our own keys have. @defaultValue who we are, and since when */
  readonly value?: Data;
  /** What is won. @defaultValue a `Hold` */
  readonly holdOf?: (store: Store, grant: Grant) => Hold;
};
