import type { Grant } from '../core/line/grant.js';
import { Hold } from '../core/line/hold.js';
import type { Store } from '../core/store/store.js';

/**
 * That a shard is ours, by a hold as of a lock: `signal` aborts when it is lost, and `txn` takes effect only while it is held.
 * It is given back when the handler has ended; who releases it before gets it anew, after a pause, while it is to
 * be his.
 */
export class ShardHold extends Hold {
  /** Which shard: a number from 0. */
  readonly shard: number;
  readonly #ending: AbortController;

  constructor(store: Store, grant: Grant, shard: number) {
    const ending = new AbortController();
    super(store, {
      ...grant,
      onLost: (hold) => {
        ending.abort(hold.signal.reason);
        grant.onLost(hold);
      },
      onRelease: () => {
        ending.abort(moves(shard));
        grant.onRelease();
      },
    });
    this.shard = shard;
    this.#ending = ending;
  }

  /**
   * Aborts when the handler is to come to its end: the shard moves, and stays ours until the handler has ended, or `drainWithin` has
   * passed; or it is lost, as `signal` says.
   */
  get draining(): AbortSignal {
    // Who was stopped learns of a loss by looking.
    if (this.lost) this.#ending.abort(this.signal.reason);
    return this.#ending.signal;
  }

  /** The shard is for somebody else. @internal */
  drain(): void {
    this.#ending.abort(moves(this.shard));
  }
}

function moves(shard: number): DOMException {
  return new DOMException(`shard ${shard} moves`, 'AbortError');
}
