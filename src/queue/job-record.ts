import type { Owner } from '../core/session/session.js';
import { ConflictError } from '../core/store/errors.js';
import type { Data } from '../core/store/keys.js';

/** An attempt at a job that failed. */
export interface Failure {
  /** Which attempt it was, from 1. */
  readonly attempt: number;
  /** What its handler said. */
  readonly reason: string;
  /** When, in milliseconds since 1970 by the clock of who tried: to look at, not to rely on. */
  readonly at: number;
}

/** Why a job was cancelled. */
export interface Cancellation {
  readonly reason: string;
  /** Who did it; `undefined` if it is not said. */
  readonly by: Owner | undefined;
}

/** What is known of a job besides its value. */
export interface JobHeader {
  /** When it was put, in milliseconds since 1970 by the clock of who did: to look at, not to rely on. */
  readonly at: number;
  /** How many attempts it gets, where that is its own matter. */
  readonly attempts?: number;
  /** Of what there is to be no other until it is done: where that is kept. */
  readonly unique?: string;
  /** Attempts before the record was written. */
  readonly tried?: number;
  /** The last of those that failed. */
  readonly history?: readonly Failure[];
  /** Its name, where its record has another. */
  readonly id?: string;
  /** Milliseconds that it is to wait, from when that is first seen. */
  readonly delay?: number;
  /** The time of the queue until which it is to wait. */
  readonly due?: number;
  /** Until when it is to wait, in milliseconds since 1970 by the keeper's clock. */
  readonly notBefore?: number;
  /** Milliseconds that it may wait to be taken. */
  readonly ttl?: number;
  /** What becomes of it then, if it is not to be a dead letter. */
  readonly onExpiry?: 'delete';
  /** Which of the repeated ones it is, and for which time, in milliseconds since 1970. */
  readonly repeat?: { readonly key: string; readonly tick: number };
  /** What is in order with it, and waits until somebody decides. */
  readonly blocks?: string;
  /** Why it was given up. */
  readonly reason?: string;
  /** Who cancelled it, and why. */
  readonly cancelled?: Cancellation;
}

/** A job as it is written: its header as a line of JSON, then its value as the codec made it. */
export interface JobRecord {
  readonly header: JobHeader;
  readonly value: Buffer;
}

/** One that is to be written. */
export interface NewRecord {
  readonly header: JobHeader;
  readonly value: Data;
}

const lineEnd = 0x0a;

/** How many failures a record remembers. */
const remembered = 10;

/** Writes one. */
export function encodeRecord(header: object, value: Data): Data {
  const line = `${JSON.stringify(header)}\n`;
  // Text becomes bytes where it is sent.
  return typeof value === 'string' ? line + value : Buffer.concat([Buffer.from(line), value]);
}

/** Reads one. @throws ConflictError if it is none. */
export function decodeRecord(key: string, bytes: Buffer): JobRecord {
  const end = bytes.indexOf(lineEnd);
  try {
    const header: unknown = JSON.parse(bytes.toString('utf8', 0, end));
    if (typeof header === 'object' && header !== null) {
      return { header: header as JobHeader, value: bytes.subarray(end + 1) };
    }
  } catch {
    // Said below.
  }
  throw new ConflictError(`${key} has no job: somebody else writes there`);
}

/** Reads one that was claimed. What is none is a job that is to be begun not even once. */
export function decodeClaimed(key: string, bytes: Buffer): JobRecord {
  try {
    return decodeRecord(key, bytes);
  } catch {
    return { header: { at: 0, attempts: 0 }, value: bytes };
  }
}

/** A header after another attempt has failed. */
export function afterFailure(header: JobHeader, failure: Failure): JobHeader {
  const { delay: _, ...rest } = header;
  const history = [...(header.history ?? []), failure].slice(-remembered);
  return { ...rest, tried: failure.attempt, history };
}
