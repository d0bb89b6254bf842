import { inParts } from '../core/in-parts.js';
import { fieldsIn } from '../core/line/ticket.js';
import { keyAfter } from '../core/store/key-span.js';
import { keyId, prefixRange } from '../core/store/keys.js';
import type {
  CallOptions,
  Compare,
  KeyValue,
  Operation,
  OperationReply,
  Txn,
} from '../core/store/store.js';
import { flag } from '../core/validate.js';
import { cancel } from './cancellation.js';
import { deleteAll } from './dead-letters.js';
import { viewOf } from './job-view.js';
import { sketchesIn } from './listing.js';
import { allOf, nobodyAt } from './queue-keys.js';
import type { QueueParts } from './queue-parts.js';

/** What is cleared besides jobs that wait, and jobs that are delayed. */
export interface ClearOptions extends CallOptions {
  /** Dead letters, too. @defaultValue `false` */
  readonly dead?: boolean;
  /** Jobs that are worked on, too: they are cancelled. @defaultValue `false` */
  readonly claimed?: boolean;
  /** Kept results, too. @defaultValue `false` */
  readonly done?: boolean;
}

/** How many jobs were cleared. */
export interface Cleared {
  readonly ready: number;
  readonly claimed: number;
  readonly delayed: number;
  readonly dead: number;
  readonly done: number;
}

/** So many keys are looked at, and so many records deleted, at once. */
const together = 1_000;
/** So many where each is asked whether it is worked on. */
const oneByOne = 100;

/** Deletes what was in a queue when this was called, except for what somebody works on; what comes meanwhile may be left. */
export async function clear<T>(
  parts: QueueParts<T>,
  { dead = false, claimed = false, done = false, ...options }: ClearOptions,
): Promise<Cleared> {
  for (const [name, value] of Object.entries({ dead, claimed, done })) flag(name, value);
  const { keys, session } = parts;
  const { ready, taken } = await clearReady(parts, options);
  const cleared = {
    ready,
    delayed: await deleteAll(parts, keys.delayed, options),
    dead: dead ? await deleteAll(parts, keys.dead, options) : 0,
    done: done ? await deleteAll(parts, keys.done, options) : 0,
    // Last: that they were cancelled stays, for who waits for them.
    claimed: claimed ? await cancelAll(parts, taken, options) : 0,
  };
  const { ready: here, delayed, aliases, unique, blocked, expires, rests } = keys;
  await forget(parts, aliases, [here], options);
  await forget(parts, unique, [here, delayed, aliases], options);
  await forget(parts, blocked, [here], options, ({ value }) => String(fieldsIn(value)['name']));
  for (const folder of [expires, rests]) {
    await forget(parts, folder, [here], options, ({ key }) => keyId(key).slice(folder.length));
  }
  const put = { key: keys.cleared, value: JSON.stringify(session.owner) };
  await session.store.commit({ success: [{ put }] }, { ...options, exactlyOnce: true });
  return cleared;
}

/** Gives how many were deleted, and the records that were not. */
async function clearReady<T>(
  { keys, session }: QueueParts<T>,
  options: CallOptions,
): Promise<{ ready: number; taken: readonly string[] }> {
  const { store } = session;
  const all = prefixRange(keys.ready);
  const taken: string[] = [];
  let ready = 0;
  for (let { key } = all; ; ) {
    const request = { ...all, key, limit: together, keysOnly: true };
    const { kvs, count, revision } = await store.read(request, options);
    const records = sketchesIn(keys.ready, kvs).map((each) => each.key);
    const { deleted, left } = await sweep({ keys, session }, records, revision, options);
    ready += deleted;
    taken.push(...left);
    const last = kvs.at(-1);
    if (!last || kvs.length === count) return { ready, taken };
    // What is beside the last may not have been read.
    key = allOf(records.at(-1) ?? keyId(last.key)).end as string;
  }
}

/** Deletes these records, which come one after the other, except for those that are worked on, or gone: these are `left`. */
async function sweep(
  { keys: { ready: folder }, session: { store } }: Pick<QueueParts<unknown>, 'keys' | 'session'>,
  records: readonly string[],
  revision: bigint,
  options: CallOptions,
): Promise<{ readonly deleted: number; readonly left: readonly string[] }> {
  const [first, last] = [records[0], records.at(-1)];
  if (first === undefined || last === undefined) return { deleted: 0, left: [] };
  const run = async (steps: readonly Txn[]): Promise<readonly OperationReply['txn'][]> => {
    const success = steps.map((txn) => ({ txn }));
    const { replies } = await store.commit({ success }, { ...options, exactlyOnce: true });
    return replies.map(({ txn }) => (txn?.succeeded ? txn : undefined));
  };
  // Most often nobody works on any of them, and nothing has changed.
  const range = { key: first, end: allOf(last).end as string };
  const isFree: Compare = { ...range, target: 'lease', to: 0n };
  const isAsSeen: Compare = { ...range, target: 'mod', is: '<', to: revision + 1n };
  const look = { range: { ...range, keysOnly: true } };
  const [swept] = await run([{ compare: [isFree, isAsSeen], success: [look, { delete: range }] }]);
  if (swept) return { deleted: sketchesIn(folder, swept.replies[0]?.kvs ?? []).length, left: [] };
  const left: string[] = [];
  for (const some of inParts(records, oneByOne)) {
    const gone = await run(some.map(ifFree));
    left.push(...some.filter((_, at) => !gone[at]));
  }
  return { deleted: records.length - left.length, left };
}

/** Deletes a job if it is there, and nobody works on it. */
function ifFree(record: string): Txn {
  const isThere: Compare = { key: record, target: 'create', is: '>', to: 0n };
  return { compare: [isThere, nobodyAt(record)], success: [{ delete: allOf(record) }] };
}

async function cancelAll<T>(
  parts: QueueParts<T>,
  records: readonly string[],
  options: CallOptions,
): Promise<number> {
  const { session } = parts;
  let cancelled = 0;
  for (const key of records) {
    const { kvs } = await session.store.read({ key }, options);
    const id = kvs[0] && viewOf(parts, 'ready', key, kvs)?.id;
    if (id !== undefined && (await cancel(parts, id, { ...options, reason: 'cleared' }))) {
      cancelled += 1;
    }
  }
  return cancelled;
}

/** Forgets what stands in a folder for jobs that are gone, in all of those where they may be. */
async function forget<T>(
  { session }: QueueParts<T>,
  folder: string,
  places: readonly string[],
  options: CallOptions,
  jobIn: (kv: KeyValue) => string = ({ value }) => value.toString(),
): Promise<void> {
  const { store } = session;
  const all = prefixRange(folder);
  for (let { key } = all; ; ) {
    const { kvs, count } = await store.read({ ...all, key, limit: oneByOne }, options);
    const success = kvs.map((kv): Operation => {
      const id = jobIn(kv);
      const isGone = places.map(
        (place): Compare => ({ key: place + id, target: 'create', to: 0n }),
      );
      // What hangs on a lease lasts as long as that.
      const isOurs: Compare = { key: kv.key, target: 'lease', to: 0n };
      return { txn: { compare: [isOurs, ...isGone], success: [{ delete: { key: kv.key } }] } };
    });
    if (success.length > 0) await store.commit({ success }, { ...options, exactlyOnce: true });
    const last = kvs.at(-1);
    if (!last || kvs.length === count) return;
    key = keyAfter(last.key);
  }
}
