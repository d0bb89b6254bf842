import type { KeyRange } from '../store/keys.js';
import type { Hold } from './hold.js';
import type { Inquest } from './inquest.js';
import type { HeldPlace } from './place.js';

/** How a hold came to be. */
export interface Grant {
  /** The keys whose existence is the hold. */
  readonly place: HeldPlace;
  /** The revision at which they were seen to be ours. */
  readonly revision: bigint;
  /** Ranges around the keys that are watched for departures anyway. */
  readonly watched: readonly KeyRange[];
  /** Milliseconds without that watch: most such holds end sooner. @defaultValue 20 */
  readonly watchAfter?: number;
  /** Whether the keys were last seen by a linearizable read so long ago that another is due. */
  readonly verify: boolean;
  /** Finds out why the keys were deleted. @defaultValue nobody asks */
  readonly inquest?: Inquest;
  /** Called when the hold is lost. */
  onLost(hold: Hold): void;
  /** Ends with that one, and counts only while it does. @defaultValue none */
  readonly within?: Hold;
  /** Whether the keys are those of `within`, which end with that alone. @defaultValue `false` */
  readonly isShared?: boolean;
  /** Called when it is given back, unless it was lost before. */
  onRelease(): void;
  /** Called when the keys are gone for good after a release, or will be. */
  onGone(): void;
}
