import { HoldLostError, type LossReason } from '../store/errors.js';
import type { WatchEvent } from '../store/store.js';

/** Finds out why the keys of a hold were deleted, where whoever does that may say so. */
export interface Inquest {
  /** What is known: the `cause` of the loss. */
  readonly cause: unknown;
  /** Is told of all that happens where the keys are watched, before it counts; otherwise only deletions are asked for. */
  heard(events: readonly WatchEvent[]): void;
  /** Asks etcd, where the keys were found gone. */
  look(): Promise<void>;
}

/** What `key` was lost by. */
export function lossOf(key: string, reason: LossReason, inquest?: Inquest): HoldLostError {
  const cause = reason === 'deleted' ? inquest?.cause : undefined;
  return new HoldLostError(key, reason, cause === undefined ? {} : { cause });
}
