import { ExactlyOnceStore } from '../../src/core/commit/exactly-once-store.js';
import { type Coordinator, RefusedError } from '../../src/index.js';
import type { TestEtcd } from './etcd.js';
import { override } from './override.js';
import { type Unreliable, unreliable } from './unreliable-store.js';

/** Connects with commits that can be made to go wrong, below what applies them once. */
export async function connectFailing(
  etcd: TestEtcd,
): Promise<{ readonly coordinator: Coordinator; readonly below: Unreliable }> {
  let below: Unreliable | undefined;
  const coordinator = await etcd.connect({}, (store) => {
    below = unreliable(store);
    return new ExactlyOnceStore(below.store);
  });
  return { coordinator, below: below as Unreliable };
}

/** Connects with reads and watches that can be refused, as where a right is taken away and given back. */
export async function connectRefusable(etcd: TestEtcd): Promise<{
  readonly coordinator: Coordinator;
  /** Ends all watches; gives what counts what was refused since. */
  readonly refuse: () => { readonly size: number };
  readonly allow: () => void;
}> {
  const refusal = new RefusedError('PERMISSION_DENIED', 'no');
  const ends = new Set<() => void>();
  let refused: Set<object> | undefined;
  const coordinator = await etcd.connect({}, (store) =>
    override(store, {
      read: (range, options) => {
        if (!refused) return store.read(range, options);
        refused.add(range);
        return Promise.reject(refusal);
      },
      watch: (range, listener, options) => {
        const watch = store.watch(range, listener, options);
        ends.add(() => {
          watch.close();
          listener.closed(refusal);
        });
        return watch;
      },
    }),
  );
  return {
    coordinator,
    refuse() {
      refused = new Set();
      for (const end of ends) end();
      ends.clear();
      return refused;
    },
    allow() {
      refused = undefined;
    },
  };
}
