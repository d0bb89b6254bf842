import { fieldsIn, type Presence, presenceIn, ticketOf } from '../core/line/ticket.js';
import type { CallOptions, Compare } from '../core/store/store.js';
import { nonEmpty } from '../core/validate.js';
import type { QueueParts } from './queue-parts.js';

/** Why a queue is paused, by whom, and for how long it has been. */
export interface Pause extends Presence {
  readonly reason: string | undefined;
}

/** Has nobody take jobs from now on; says whether somebody was to, until now. */
export async function pause<T>(
  { session, keys }: QueueParts<T>,
  reason: string,
  options: CallOptions,
): Promise<boolean> {
  nonEmpty('reason', reason);
  const value = ticketOf(session.owner, { reason });
  const isNot: Compare = { key: keys.paused, target: 'create', to: 0n };
  const txn = { compare: [isNot], success: [{ put: { key: keys.paused, value } }] };
  return (await session.store.commit(txn, { ...options, exactlyOnce: true })).succeeded;
}

/** Has jobs taken again; says whether they were not. */
export async function resume<T>(
  { session, keys }: QueueParts<T>,
  options: CallOptions,
): Promise<boolean> {
  const success = [{ delete: { key: keys.paused } }];
  const { replies } = await session.store.commit({ success }, { ...options, exactlyOnce: true });
  return replies[0]?.count === 1;
}

/** Gives `undefined` if it is not paused. */
export async function pauseOf<T>(
  { session, keys }: QueueParts<T>,
  options: CallOptions,
): Promise<Pause | undefined> {
  const [kv] = (await session.store.read({ key: keys.paused }, options)).kvs;
  if (!kv) return undefined;
  const { reason } = fieldsIn(kv.value);
  return { reason: typeof reason === 'string' ? reason : undefined, ...presenceIn(kv.value) };
}
