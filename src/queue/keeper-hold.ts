import { Hold } from '../core/line/hold.js';
import type { Operation, Txn, TxnReply } from '../core/store/store.js';
import type { Clock } from '../core/time/clock.js';
import { persist } from '../core/time/persist.js';

/** That we are the keeper of a queue: what is written through it takes effect only while we are. */
export class KeeperHold extends Hold {
  /**
   * Does each of these whose conditions hold, at one revision. Goes on through outages, and so they may be sent again: their
   * conditions must not hold any more once they were done.
   *
   * @throws HoldLostError if we are not the keeper any more, nothing was done then; RefusedError; the reason of `signal`.
   */
  apply(steps: readonly Txn[], signal: AbortSignal, clock: Clock): Promise<TxnReply> {
    const operation: Operation = { txn: { success: steps.map((txn) => ({ txn })) } };
    return persist((limit) => this.guarded(operation, limit), signal, clock);
  }
}
