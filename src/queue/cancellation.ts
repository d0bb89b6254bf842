import { keyId } from '../core/store/keys.js';
import { leaseIsGone } from '../core/store/refusals.js';
import type { CallOptions, Compare, KeyValue, Operation } from '../core/store/store.js';
import { flag, nonEmpty } from '../core/validate.js';
import {
  type Cancellation,
  decodeRecord,
  encodeRecord,
  type JobHeader,
  type JobRecord,
} from './job-record.js';
import type { JobState } from './job-view.js';
import { freed, leaving, untold } from './passage.js';
import {
  allOf,
  cancelOf,
  claimsOf,
  nobodyAt,
  orderOf,
  type QueueKeys,
  restOf,
} from './queue-keys.js';
import type { QueueParts } from './queue-parts.js';

/** How a job is cancelled. */
export interface CancelOptions extends CallOptions {
  /** Why: who works on it is told, and who waits for it. @defaultValue `'cancelled'` */
  readonly reason?: string;
  /** Keeps it among the dead letters. @defaultValue `false`: it is deleted */
  readonly keep?: boolean;
}

/** Where a job is that is not finished. */
export type UnfinishedState = Exclude<JobState, 'dead' | 'done'>;

/** What there is of a job that is not finished. */
interface Unfinished {
  readonly record: KeyValue;
  readonly claim: KeyValue | undefined;
  readonly isResting: boolean;
}

/**
 * Cancels a job, in one step: it is gone from the queue, and whoever works on it has lost it.
 *
 * @returns where it was; `undefined` if it was not to be found, or finished
 */
export async function cancel<T>(
  parts: QueueParts<T>,
  id: string,
  { reason = 'cancelled', keep = false, ...options }: CancelOptions,
): Promise<UnfinishedState | undefined> {
  nonEmpty('id', id);
  nonEmpty('reason', reason);
  flag('keep', keep);
  const { session, keys } = parts;
  const why = { reason, by: session.owner };
  for (;;) {
    const found = await find(parts, id, options);
    if (!found) return undefined;
    const { record, claim, isResting } = found;
    const key = keyId(record.key);
    const asSeen: Compare[] = [
      { key, target: 'mod', to: record.modRevision },
      sameClaim(key, claim),
    ];
    const success = removal(parts, id, found, why, keep);
    try {
      const txn = { compare: asSeen, success };
      const { succeeded } = await session.store.commit(txn, { ...options, exactlyOnce: true });
      if (!succeeded) continue;
    } catch (error) {
      // Who worked on it has ended meanwhile.
      if (claim && leaseIsGone(error)) continue;
      throw error;
    }
    if (key.startsWith(keys.delayed)) return 'delayed';
    return claim ? 'claimed' : isResting ? 'resting' : 'ready';
  }
}

async function find<T>(
  { keys, session }: QueueParts<T>,
  id: string,
  options: CallOptions,
): Promise<Unfinished | undefined> {
  let ready = keys.ready + id;
  for (;;) {
    const ranges = [allOf(ready), { key: keys.delayed + id }, { key: keys.aliases + id }];
    const success = ranges.map((range) => ({ range }));
    const { replies } = await session.store.commit({ success }, options);
    const [here, delayed, moved] = replies.map(({ kvs }) => kvs);
    const record = [...(here ?? []), ...(delayed ?? [])].find(({ key }) =>
      [ready, keys.delayed + id].includes(keyId(key)),
    );
    const claim = here?.find(({ key }) => keyId(key).startsWith(claimsOf(ready)));
    const isResting = here?.some(({ key }) => keyId(key) === restOf(ready)) ?? false;
    if (record) return { record, claim, isResting };
    const place = moved?.[0] && keys.ready + moved[0].value.toString();
    if (!place || place === ready) return undefined;
    ready = place;
  }
}

function sameClaim(key: string, claim: KeyValue | undefined): Compare {
  if (claim) return { key: claim.key, target: 'create', to: claim.createRevision };
  return nobodyAt(key);
}

function removal<T>(
  { keys, options: { keepResults } }: QueueParts<T>,
  id: string,
  { record, claim }: Unfinished,
  why: Cancellation,
  keep: boolean,
): Operation[] {
  const key = keyId(record.key);
  const found = { key, record: recordIn(key, record.value) };
  const { id: _, blocks: _blocks, ...header } = found.record.header;
  const ended: JobHeader = { ...header, reason: why.reason, cancelled: why };
  // Of a job that waits for its time, there is no more.
  const isDelayed = key.startsWith(keys.delayed);
  const steps: Operation[] = isDelayed
    ? [{ delete: allOf(key) }]
    : marked([...leaving(keys, found), ...unrested(keys, key)], key, claim, { ...why, id });
  steps.push(...freed(keys, found.record.header, id));
  const { value } = found.record;
  // Each of these tells who waits for it.
  if (keep) steps.push({ put: { key: keys.dead + id, value: encodeRecord(ended, value) } });
  else if (keepResults)
    steps.push({ put: { key: keys.done + id, value: encodeRecord(ended, '') } });
  else steps.push(untold(keys, [id], 'cancelled', why.reason));
  return steps;
}

/** If it rested in its place, it does no more. */
function unrested(keys: QueueKeys, key: string): Operation[] {
  const place = key.slice(keys.ready.length);
  return orderOf(place) === undefined ? [] : [{ delete: { key: keys.rests + place } }];
}

/** Has who works on it told why it goes: by a key that stays no longer than who is to hear of it. */
function marked(
  steps: readonly Operation[],
  record: string,
  claim: KeyValue | undefined,
  why: Cancellation & { readonly id: string },
): Operation[] {
  if (!claim) return [...steps];
  const key = cancelOf(record);
  const put = { key, value: JSON.stringify(why), lease: claim.lease };
  // What is put cannot be deleted in the same transaction.
  return [{ delete: { key: record, end: key } }, ...steps.slice(1), { put }];
}

/** What is no job can be cancelled, too. */
function recordIn(key: string, bytes: Buffer): JobRecord {
  try {
    return decodeRecord(key, bytes);
  } catch {
    return { header: { at: 0 }, value: bytes };
  }
}
