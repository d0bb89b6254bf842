import type { AccessControl } from '../../../src/core/store/access-control.js';
import type { CommitOptions, Store, Txn } from '../../../src/index.js';
import { noAnswer, override } from '../../support/override.js';

/** The store of a process that dies at the request with this number: `before` etcd gets it, or `after` it was applied. */
export function dying(
  store: Store,
  at: number,
  when: 'before' | 'after',
): { store: Store; calls: () => number } {
  let calls = 0;
  const mortal =
    <Args extends unknown[], T>(call: (...args: Args) => Promise<T>) =>
    async (...args: Args): Promise<T> => {
      calls += 1;
      if (calls > at || (calls === at && when === 'before')) throw noAnswer();
      const reply = await call(...args);
      if (calls >= at) throw noAnswer();
      return reply;
    };
  const access = new Proxy((store.access ?? {}) as AccessControl, {
    get: (target, method: keyof AccessControl) => {
      const real = target[method] as ((...args: unknown[]) => Promise<unknown>) | undefined;
      return real && mortal(real.bind(target));
    },
  });
  const commit = mortal((txn: Txn, options?: CommitOptions) => store.commit(txn, options));
  return { store: override(store, { access, commit }), calls: () => calls };
}
