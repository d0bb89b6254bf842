import type { Store, Txn, TxnReply } from '../../src/index.js';
import { noAnswer, override } from './override.js';

/** What becomes of one commit that is sent; a function does it itself. */
type Fate =
  | 'arrives'
  | 'loses its reply'
  | 'is lost'
  | 'comes late'
  | ((txn: Txn) => Promise<TxnReply>);

/** A store with a plan for its commits. */
export interface Unreliable {
  readonly store: Store;
  /** Every transaction that was sent, in order. */
  readonly sent: Txn[];
  /** Has what comes late arrive now, and gives what became of it. */
  readonly arrive: (() => Promise<TxnReply>)[];
  /** What becomes of the next commits, but for those that only read; all others arrive. */
  readonly plan: (...fates: Fate[]) => void;
}

/** Makes commits go wrong, one by one. */
export function unreliable(store: Store): Unreliable {
  const fates: Fate[] = [];
  const sent: Txn[] = [];
  const arrive: (() => Promise<TxnReply>)[] = [];
  const commit: Store['commit'] = async (txn, options) => {
    const onlyReads = [...(txn.success ?? []), ...(txn.failure ?? [])].every(
      (step) => 'range' in step,
    );
    if (onlyReads) return store.commit(txn, options);
    sent.push(txn);
    const fate = fates.shift() ?? 'arrives';
    if (typeof fate === 'function') return fate(txn);
    if (fate === 'comes late') arrive.push(() => store.commit(txn));
    if (fate === 'arrives') return store.commit(txn, options);
    if (fate === 'loses its reply') await store.commit(txn, options);
    throw noAnswer();
  };
  return {
    store: override(store, { commit }),
    sent,
    arrive,
    plan: (...next) => {
      fates.splice(0, fates.length, ...next);
    },
  };
}
