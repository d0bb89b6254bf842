import type { Hold } from '../../../src/index.js';
import { now } from '../history.js';
import type { Call } from '../operations.js';
import { CALL_LIMIT, type Context, lossOf } from './context.js';

/**
 * Writes under a hold that it is held, and as what: so that etcd's own history has who held something at which
 * revision. `guarded` is for the mistake not to be.
 */
export async function mark(
  context: Context,
  hold: Hold,
  { lock, mode, permits }: Call & { readonly lock: string },
  guarded = true,
): Promise<void> {
  const { operations, setup, store } = context;
  const { i, value } = operations.fresh();
  const key = `mark/${lock}/${setup.slot}`;
  const token = Number(hold.token);
  const put = { key, value: `${token}:${permits ?? mode ?? ''}|${value}` };
  // What the hold says is not older than the time that is written down.
  const t = now();
  const call = { i, lock, key, value, token, lost: lossOf(context, hold), limit: 2 * CALL_LIMIT };
  await operations.run(
    'mark',
    { ...call, ...(mode && { mode }) },
    () =>
      guarded ? hold.txn().put(put.key, put.value).commit() : store.commit({ success: [{ put }] }),
    ({ revision }) => ({ rev: Number(revision) }),
    t,
  );
}
