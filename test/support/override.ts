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

/** Whether a transaction puts a key that has this in it, at whatever depth. */
export const putsKey = (part: string, { success = [] }: Txn): boolean =>
  success.some((step) =>
    'txn' in step ? putsKey(part, step.txn) : 'put' in step && String(step.put.key).includes(part),
  );

/** Whether a transaction has a step of this kind. */
export const has = (kind: 'put' | 'delete', { success = [] }: Txn): boolean =>
  success.some((step) => kind in step);
