import { type Store, type Txn, UnavailableError } from '../../src/index.js';

/** A store that does as `store` does, but for what `changes` do instead. */
export function override(store: Store, changes: Partial<Store>): Store {
  return {
    read: (...args) => store.read(...args),
    commit: (...args) => store.commit(...args),
    watch: (...args) => store.watch(...args),
    grant: (...args) => store.grant(...args),
    keepAlive: (...args) => store.keepAlive(...args),
    revoke: (...args) => store.revoke(...args),
    health: (...args) => store.health(...args),
    close: () => store.close(),
    access: store.access,
    ...changes,
  };
}

/** What a call rejects with whose answer never came. */
export const noAnswer = (): UnavailableError =>
  new UnavailableError('unknown', [
    { endpoint: 'test', status: 'DEADLINE_EXCEEDED', message: 'no answer' },
  ]);

/** Whether a transaction has a step of this kind. */
export const has = (kind: 'put' | 'delete', { success = [] }: Txn): boolean =>
  success.some((step) => kind in step);
