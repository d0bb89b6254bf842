import { ArgumentError } from '../core/store/errors.js';
import { keyId, prefixRange } from '../core/store/keys.js';
import type { CallOptions, KeyValue, Operation, Store } from '../core/store/store.js';
import { decodeRecord, encodeRecord } from './job-record.js';
import { freed, leaving, moved, nameOf, untold } from './passage.js';
import { escaped, type QueueKeys, restOf } from './queue-keys.js';
import type { Blocked } from './steps.js';

/** An order that waits for a job that was given up. */
export interface BlockedKey {
  readonly orderKey: string;
  /** The job. */
  readonly id: string;
  /** Why its last attempt failed. */
  readonly reason: string;
  /** When, in milliseconds since 1970 by the clock of who tried: to look at, not to rely on. */
  readonly at: number;
}

/** What becomes of the job that others wait for. */
export type Unblock = 'retry' | 'dead-letter' | 'skip';

const ways: ReadonlySet<unknown> = new Set<Unblock>(['retry', 'dead-letter', 'skip']);

/** All of them. */
export async function listBlocked(
  store: Store,
  keys: QueueKeys,
  options: CallOptions,
): Promise<BlockedKey[]> {
  const { kvs } = await store.read(prefixRange(keys.blocked), options);
  return kvs.map(({ key, value }) => {
    const orderKey = decodeURIComponent(keyId(key).slice(keys.blocked.length));
    const { id, reason, at } = JSON.parse(value.toString()) as Blocked;
    return { orderKey, id, reason, at };
  });
}

/** Has one go on. Gives `false` if it is not there, or somebody else was faster. */
export async function unblock(
  store: Store,
  keys: QueueKeys,
  orderKey: string,
  how: Unblock,
  options: CallOptions,
): Promise<boolean> {
  if (!ways.has(how)) throw new ArgumentError('how', "'retry', 'dead-letter' or 'skip'", how);
  const key = keys.blocked + escaped('orderKey', orderKey);
  const [mark] = (await store.read({ key }, options)).kvs;
  if (!mark) return false;
  const { name } = JSON.parse(mark.value.toString()) as Blocked;
  const record = keys.ready + name;
  const [job] = (await store.read({ key: record }, options)).kvs;
  const compare = [
    { key, target: 'mod', to: mark.modRevision } as const,
    { key: record, target: 'mod', to: job?.modRevision ?? 0n } as const,
  ];
  const success = job ? stepsOf(record, job, keys, how) : [{ delete: { key } }];
  return (await store.commit({ compare, success }, { ...options, exactlyOnce: true })).succeeded;
}

function stepsOf(key: string, job: KeyValue, keys: QueueKeys, how: Unblock): Operation[] {
  const record = decodeRecord(key, job.value);
  const { header, value } = record;
  if (how === 'retry') {
    const { blocks, ...rest } = header;
    const put = { key, value: encodeRecord({ ...rest, tried: 0 }, value) };
    return [
      { put },
      ...[restOf(key), keys.blocked + blocks].map((each) => ({ delete: { key: each } })),
    ];
  }
  const found = { key, record };
  const reason = header.history?.at(-1)?.reason ?? 'unknown';
  const id = nameOf(keys, found);
  const out =
    how === 'skip'
      ? [...leaving(keys, found), untold(keys, [id], 'dead', reason)]
      : moved(keys, keys.dead, found, { ...header, reason });
  return [...out, ...freed(keys, header, id)];
}
