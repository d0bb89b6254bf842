import type { CommitOptions, Txn, TxnReply } from '../store/store.js';
import type { Clock } from '../time/clock.js';
import { Pending } from '../time/pending.js';
import { type Footprint, footprintOf } from './footprint.js';
import { mayWriteMarks } from './mark.js';

/** A commit that waits to be sent, or for the answer to what it was sent with. */
export class PendingCommit extends Pending<TxnReply> {
  readonly txn: Txn;
  readonly footprint: Footprint;
  readonly options: CommitOptions;
  /** Whether it cannot have a mark, and would leave those it travels with without one. */
  readonly isUnmarkable: boolean;

  /**
   * Keeps the caller's limits from here on. The signal is not aborted yet.
   *
   * @throws TypeError if it is no transaction: what is wrong with one is its caller's business alone.
   */
  constructor(txn: Txn, options: CommitOptions, timeout: number, clock: Clock) {
    // Before anything is begun that would have to be ended.
    const footprint = footprintOf(txn);
    super(options, timeout, clock);
    this.txn = txn;
    this.footprint = footprint;
    this.options = options;
    const places = options.marksIn === undefined ? [''] : ['', options.marksIn];
    this.isUnmarkable = places.some((place) => mayWriteMarks(footprint, place));
  }
}
