import { ArgumentError } from '../store/errors.js';
import type { Keys } from '../store/key-span.js';
import type { WaitOptions } from '../time/signals.js';

/**
 * How far a transaction is kept apart from others; each level has what those after it have:
 * - `serializable-snapshot`: nobody wrote what it writes since its first read, even if it did not read that;
 * - `serializable`: all reads are of one moment, and nothing it read has changed, ranges included;
 * - `repeatable-reads`: no key that it read has changed, but others may have come into a range that it read;
 *   reads are of different moments, and may come from a member that is behind;
 * - `read-committed`: nothing is checked, so updates can be lost; reads as before.
 */
export type Isolation =
  | 'serializable-snapshot'
  | 'serializable'
  | 'repeatable-reads'
  | 'read-committed';

/** How to run a transaction of reads and writes. */
export interface StmOptions extends WaitOptions {
  /** @defaultValue `'serializable-snapshot'` */
  readonly isolation?: Isolation;
  /** How often the function may run before it ends with a `ConflictError`. @defaultValue 100 */
  readonly attempts?: number;
  /** Keys and ranges to read at once before the function runs; only what it then asks for counts as read. */
  readonly prefetch?: readonly Keys[];
}

/** What a level of isolation means. */
export interface Level {
  /** Reads are all of one moment, and ranges are kept from changing. */
  readonly oneMoment: boolean;
  /** Keys read must not have changed. */
  readonly guardsReads: boolean;
  /** Keys written must not have been written by others. */
  readonly guardsWrites: boolean;
}

const levels: Record<Isolation, Level> = {
  'serializable-snapshot': { oneMoment: true, guardsReads: true, guardsWrites: true },
  serializable: { oneMoment: true, guardsReads: true, guardsWrites: false },
  'repeatable-reads': { oneMoment: false, guardsReads: true, guardsWrites: false },
  'read-committed': { oneMoment: false, guardsReads: false, guardsWrites: false },
};

/** What a level of isolation means. @throws ArgumentError if there is none of that name. */
export function levelOf(isolation: Isolation = 'serializable-snapshot'): Level {
  if (!Object.hasOwn(levels, isolation)) {
    throw new ArgumentError('isolation', `one of ${Object.keys(levels).join(', ')}`, isolation);
  }
  return levels[isolation];
}

/** Refuses what is no number of attempts. @throws ArgumentError unless it is a whole number above 0, or `Infinity`. */
export function checkAttempts(attempts: number): void {
  const isUsable = Number.isSafeInteger(attempts) || attempts === Number.POSITIVE_INFINITY;
  if (!(isUsable && attempts > 0)) {
    throw new ArgumentError('attempts', 'a whole number above 0, or Infinity', attempts);
  }
}
