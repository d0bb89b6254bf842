import type { Data } from '../core/store/keys.js';
import type { Operation } from '../core/store/store.js';
import type { ClaimHold, JobKeys } from './claim-hold.js';
import { afterFailure, encodeRecord, type JobHeader, type JobRecord } from './job-record.js';
import { type Found, freed, leaving, moved, nameOf } from './passage.js';
import { besides, orderOf, type QueueKeys, restOf, triesOf } from './queue-keys.js';

/** A job that was claimed. */
export interface Taken {
  readonly hold: ClaimHold;
  readonly record: JobRecord;
  /** Which attempt at it this is, from 1. */
  readonly attempt: number;
  /** For how many milliseconds it was known here to wait, at least. */
  readonly waited: number;
  /** To be called where we have deleted its record. */
  readonly ended: () => void;
  /** To be called where it is not to be ours any more: these are its keys then, if that is known. */
  readonly returned: (keys: JobKeys | undefined) => void;
}

/** For how long a job rests in its place. */
export interface Rest {
  /** Milliseconds, from when that is first seen. */
  readonly delay: number;
  /** The time of the queue until which it rests. */
  readonly due?: number;
}

/** A job that others wait for until somebody decides. */
export interface Blocked {
  readonly id: string;
  /** What its record is called. */
  readonly name: string;
  readonly reason: string;
  readonly at: number;
}

/** What is done with a job whose attempt failed. */
export interface Retry {
  readonly reason: string;
  /** Milliseconds until it may be claimed again. */
  readonly delay: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** It is done: nothing of it is left but `result`, where that is to be kept. */
export function done(taken: Taken, keys: QueueKeys, result?: Data): Operation[] {
  const found = foundOf(taken);
  const steps = [...leaving(keys, found), ...freed(keys, found.record.header, nameOf(keys, found))];
  if (result === undefined) return steps;
  const header = { at: taken.record.header.at, tried: taken.attempt };
  const put = { key: keys.done + nameOf(keys, found), value: encodeRecord(header, result) };
  return [...steps, { put }];
}

/**
 * It is to be tried again: after a delay, or at once, in the place that it has. It keeps that during a delay too if others are
 * to wait for it.
 */
export function again(taken: Taken, keys: QueueKeys, { delay, ...failure }: Retry): Operation[] {
  const { hold, record, attempt } = taken;
  const header = afterFailure(record.header, { attempt, ...failure });
  if (delay === 0) return written(hold.record, header, record);
  const rounded = Math.ceil(delay);
  const name = hold.record.slice(keys.ready.length);
  if (orderOf(name) === undefined) {
    return moved(keys, keys.delayed, foundOf(taken), { ...header, delay: rounded });
  }
  const rest: Rest = { delay: rounded };
  const step = { put: { key: keys.rests + name, value: JSON.stringify(rest) } };
  return [...kept(hold.record, header, record), step];
}

/** It is given up. */
export function buried(taken: Taken, keys: QueueKeys, failure: Omit<Retry, 'delay'>): Operation[] {
  const { record, attempt } = taken;
  const header = afterFailure(record.header, { attempt, ...failure });
  const found = foundOf(taken);
  const dead = { ...header, reason: failure.reason };
  return [
    ...moved(keys, keys.dead, found, dead),
    ...freed(keys, found.record.header, nameOf(keys, found)),
  ];
}

/** It is given up, and what is in order with it waits until somebody decides. */
export function blocking(
  taken: Taken,
  keys: QueueKeys,
  failure: Omit<Retry, 'delay'>,
): Operation[] {
  const { hold, record, attempt } = taken;
  const name = hold.record.slice(keys.ready.length);
  const blocks = orderOf(name) ?? '';
  const header = { ...afterFailure(record.header, { attempt, ...failure }), blocks };
  const blocked: Blocked = { id: nameOf(keys, foundOf(taken)), name, ...failure };
  return [
    ...kept(hold.record, header, record),
    { put: { key: keys.blocked + blocks, value: JSON.stringify(blocked) } },
  ];
}

/** Gives it back as if it had not been taken: the attempt does not count. @throws as `ClaimHold.giveBack` */
export async function giveBack(taken: Taken): Promise<void> {
  const { hold, record, attempt } = taken;
  const { header, value } = record;
  const isFirst = attempt - 1 === (header.tried ?? 0);
  const steps: Operation[] = [{ delete: { key: triesOf(hold.record) } }];
  if (!isFirst) {
    const before = encodeRecord({ ...header, tried: attempt - 1 }, value);
    steps.push({ put: { key: hold.record, value: before } });
  }
  let left: JobKeys | undefined;
  try {
    left = await hold.giveBack(steps);
  } finally {
    taken.returned(left);
  }
}

/** The same of several. In vain, they go with their lease. */
export function giveAllBack(all: readonly Taken[]): Promise<unknown> {
  return Promise.allSettled(all.map(giveBack));
}

function written(key: string, header: JobHeader, { value }: JobRecord): Operation[] {
  return [{ delete: besides(key) }, { put: { key, value: encodeRecord(header, value) } }];
}

/** It is written, and is not to be claimed for now. */
function kept(key: string, header: JobHeader, { value }: JobRecord): Operation[] {
  const rest = restOf(key);
  const { key: first, end } = besides(key) as { key: string; end: string };
  return [
    { delete: { key: first, end: rest } },
    { delete: { key: `${rest}\0`, end } },
    { put: { key, value: encodeRecord(header, value) } },
    { put: { key: rest, value: '' } },
  ];
}

/** As the passages of a job want it. */
export function foundOf({ hold, record }: Taken): Found {
  return { key: hold.record, record };
}
