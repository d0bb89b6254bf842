import { lengthOf } from '../core/store/keys.js';
import type { CallOptions, Operation } from '../core/store/store.js';
import { encodeRecord, type JobHeader, type JobRecord, type NewRecord } from './job-record.js';
import { allOf, type QueueKeys } from './queue-keys.js';
import type { JobOptions } from './queue-options.js';
import type { Unique } from './unique.js';

/** When a job is dropped that waits. */
export interface Expiry {
  /** Milliseconds that it may wait. */
  readonly ttl: number;
  /** The time of the queue at which they have passed. */
  readonly due?: number;
  /** What the job has: so many are moved when it is dropped. */
  readonly bytes?: number;
}

/** A job as it is found in the queue. */
export interface Found {
  /** Where its record is. */
  readonly key: string;
  readonly record: JobRecord;
}

/** The name of a job: that which it got when it was put, whatever its record is called now. */
export function nameOf(keys: QueueKeys, { key, record }: Found): string {
  return record.header.id ?? key.slice(keys.ready.length);
}

/** What is known of a job that is put at a time, in milliseconds since 1970. */
export function headerOf(
  options: Omit<JobOptions, keyof CallOptions>,
  at: number,
  unique?: Pick<Unique, 'name' | 'window'>,
): JobHeader {
  const { attempts, delay = 0, notBefore, ttl, onExpiry } = options;
  return {
    at,
    ...(attempts !== undefined && { attempts }),
    ...(unique && unique.window === undefined && { unique: unique.name }),
    ...(delay > 0 && { delay: Math.ceil(delay) }),
    ...(notBefore && { notBefore: notBefore.getTime() }),
    ...(ttl !== undefined && { ttl }),
    ...(onExpiry === 'delete' && { onExpiry }),
  };
}

/** It is put: into the queue, or to wait for its time. */
export function arriving(keys: QueueKeys, id: string, record: NewRecord): Operation {
  const { header, value } = record;
  if (header.delay !== undefined || header.notBefore !== undefined) {
    return { put: { key: keys.delayed + id, value: encodeRecord(header, value) } };
  }
  const success = entering(keys, id, id, record);
  return success.length === 1 && success[0] ? success[0] : { txn: { success } };
}

/** It comes into the queue, with a record called `name`: behind all that are there. */
export function entering(
  keys: QueueKeys,
  id: string,
  name: string,
  { header, value }: NewRecord,
): Operation[] {
  const { id: _, delay: _delay, due: _due, notBefore: _notBefore, ...rest } = header;
  const isRenamed = id !== name;
  const record = encodeRecord(isRenamed ? { ...rest, id } : rest, value);
  const steps: Operation[] = [{ put: { key: keys.ready + name, value: record } }];
  if (isRenamed) steps.push({ put: { key: keys.aliases + id, value: name } });
  if (rest.ttl !== undefined) {
    const expiry: Expiry = { ttl: rest.ttl, bytes: lengthOf(record) };
    steps.push({ put: { key: keys.expires + name, value: JSON.stringify(expiry) } });
  }
  return steps;
}

/** It goes out of the queue. */
export function leaving(keys: QueueKeys, { key, record: { header } }: Found): Operation[] {
  const steps: Operation[] = [{ delete: allOf(key) }];
  if (header.blocks !== undefined) steps.push({ delete: { key: keys.blocked + header.blocks } });
  if (header.id !== undefined) steps.push({ delete: { key: keys.aliases + header.id } });
  if (header.ttl !== undefined) {
    steps.push({ delete: { key: keys.expires + key.slice(keys.ready.length) } });
  }
  return steps;
}

/** It is over: another of its `id`, or its key, may come. */
export function freed(keys: QueueKeys, { unique }: JobHeader, id: string): Operation[] {
  if (unique === undefined) return [];
  const key = keys.unique + unique;
  // It may be another's by now, where this was given up before.
  const compare = [{ key, target: 'value', to: id } as const];
  return [{ txn: { compare, success: [{ delete: { key } }] } }];
}

/** It is there again: no other of its `id`, or its key, may come, unless one has. */
export function taken(keys: QueueKeys, { unique }: JobHeader, id: string): Operation[] {
  if (unique === undefined) return [];
  const key = keys.unique + unique;
  const compare = [{ key, target: 'create', to: 0n } as const];
  return [{ txn: { compare, success: [{ put: { key, value: id } }] } }];
}

/** It goes into another folder, with this header, and without the name that it has in the queue. */
export function moved(
  keys: QueueKeys,
  folder: string,
  found: Found,
  header: JobHeader,
): Operation[] {
  const { id: _, blocks: _blocks, ...rest } = header;
  const key = folder + nameOf(keys, found);
  return [...leaving(keys, found), { put: { key, value: encodeRecord(rest, found.record.value) } }];
}

/** Jobs of these names are deleted, and nothing else tells why: who waits for one is to look again. Once in a transaction. */
export function untold(
  keys: QueueKeys,
  ids: readonly string[],
  type: 'dead' | 'cancelled',
  reason: string,
): Operation {
  return { put: { key: keys.cleared, value: JSON.stringify({ ids, type, reason }) } };
}

/** It has waited for too long. */
export function expired(keys: QueueKeys, found: Found): Operation[] {
  const { header } = found.record;
  const out =
    header.onExpiry === 'delete'
      ? leaving(keys, found)
      : moved(keys, keys.dead, found, { ...header, reason: 'expired' });
  return [...out, ...freed(keys, header, nameOf(keys, found))];
}
