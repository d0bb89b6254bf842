import type { LossReason } from '../core/store/errors.js';
import type { TermEvent } from './election-options.js';
import type { ElectionEntry } from './roll.js';

/** What happens to the candidates and leaders of one object. */
export interface ElectionEvents {
  /** Somebody else leads; the campaign waits. */
  waiting: (event: { readonly name: string }) => void;
  /** `waited` is in milliseconds. */
  elected: (event: TermEvent & { readonly waited: number }) => void;
  lost: (event: TermEvent & { readonly reason: LossReason }) => void;
  /** Work under `run` goes on `stopWithin` after its term was lost. */
  overrun: (event: TermEvent) => void;
}

/** Who leads from a revision on. */
export interface LeaderChange {
  /** `undefined` in a vacancy. */
  readonly leader: ElectionEntry | undefined;
  /** At which it was so. */
  readonly revision: bigint;
  /** Whether there may have been leaders before of whom nothing was told, because etcd had forgotten them. */
  readonly missed: boolean;
}
