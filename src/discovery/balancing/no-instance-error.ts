import { CoordinationError } from '../../core/store/errors.js';

/** How many instances there were for a pick, and why not one of them was picked. */
export interface InstanceCounts {
  /** All there are. */
  readonly total: number;
  /** Those with the weight 0, and those that the `filter` did not want. */
  readonly filtered: number;
  /** Those that failed too often. */
  readonly ejected: number;
  /** Those that the caller wanted to avoid, of the others. */
  readonly avoided: number;
}

/** There is no instance to be called. */
export class NoInstanceError extends CoordinationError {
  /** How many there are, and why none of them. */
  readonly counts: InstanceCounts;

  constructor(counts: InstanceCounts) {
    const { total, filtered, ejected, avoided } = counts;
    const why = `${filtered} filtered, ${ejected} ejected, ${avoided} avoided`;
    super('ERR_NO_INSTANCE', `no instance to call: ${total} in all, of these ${why}`);
    this.counts = counts;
  }
}
