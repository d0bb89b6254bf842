import { ExactlyOnceStore } from '../../src/core/commit/exactly-once-store.js';
import type { Coordinator, Store } from '../../src/index.js';
import type { TestEtcd } from './etcd.js';
import { override } from './override.js';
import { unreliable } from './unreliable-store.js';

/** How probable it is that a commit goes wrong. */
export interface Losses {
  /** It is applied, and its reply is lost. @defaultValue 0 */
  readonly replies?: number;
  /** It is lost itself. @defaultValue 0 */
  readonly requests?: number;
}

/** Connects with commits that go wrong at random, below what applies them once. */
export function connectLossy(
  etcd: TestEtcd,
  random: () => number,
  { replies = 0, requests = 0 }: Losses,
): Promise<Coordinator> {
  // Who stands still does not lose what it has: other tests are about that.
  return etcd.connect({ session: { ttl: 60_000 } }, (store) => {
    const below = unreliable(store);
    const commit: Store['commit'] = (txn, options) => {
      const draw = random();
      if (draw < replies) below.plan('loses its reply');
      else if (draw < replies + requests) below.plan('is lost');
      return below.store.commit(txn, options);
    };
    return new ExactlyOnceStore(override(below.store, { commit }));
  });
}
