import { type Presence, presenceIn } from '../core/line/ticket.js';
import { keyId } from '../core/store/keys.js';
import type { KeyValue } from '../core/store/store.js';
import {
  type Cancellation,
  decodeRecord,
  type Failure,
  type JobHeader,
  type JobRecord,
} from './job-record.js';
import { claimsOf, priorityOf, progressOf, restOf, triesOf } from './queue-keys.js';
import type { QueueParts } from './queue-parts.js';

/**
 * Where a job is: it waits, is worked on, rests in its place (it has an `orderKey`, and waits to be tried again, or until somebody
 * decides), is not to begin yet, was given up, or is done (or cancelled) and its result kept.
 */
export type JobState = 'ready' | 'claimed' | 'resting' | 'delayed' | 'dead' | 'done';

/** Who works on a job. */
export interface ClaimView extends Presence {
  /** The revision since which they do: the `token` of the job there. */
  readonly token: bigint;
}

/** A job as others see it. */
export interface JobView<T> {
  readonly id: string;
  readonly state: JobState;
  /** 0 to 9; lower ones come first. */
  readonly priority: number;
  /** What was put; `undefined` where it cannot be decoded (then `error` says why), and once the job is done. */
  readonly value: T | undefined;
  /** Why `value`, or the whole record, cannot be read. */
  readonly error?: unknown;
  /** When it was put, by the clock of who put it: to look at, not to rely on. */
  readonly putAt: Date | undefined;
  /** How many attempts at it were begun. */
  readonly attempts: number;
  /** The last of those that failed. */
  readonly history: readonly Failure[];
  /** Who works on it; is there while somebody does. */
  readonly claim?: ClaimView;
  /** What its handler said last of how far it is. */
  readonly progress?: unknown;
  /** Milliseconds for which it is delayed, until it is known when that ends. */
  readonly delay?: number;
  /** When it is to come into the queue, by the queue's own time: about that of wall clocks, which are not relied on. */
  readonly due?: Date;
  /** The `orderKey` that waits until somebody decides what becomes of it (`unblock`). */
  readonly blocks?: string;
  /** Why it was given up. */
  readonly reason?: string;
  /** What its handler gave. */
  readonly result?: unknown;
  /** Is there if it was cancelled. */
  readonly cancelled?: Cancellation;
}

/** What there is of a job: its record, and what is beside it. */
export function viewOf<T>(
  { codec }: QueueParts<T>,
  state: JobState,
  key: string,
  kvs: readonly KeyValue[],
): JobView<T> | undefined {
  const [kv, ...beside] = kvs;
  // Of a job that has just ended, something may be left.
  if (!kv || keyId(kv.key) !== key) return undefined;
  const place = key.slice(key.lastIndexOf('/') + 1);
  const found = attempt(() => decodeRecord(key, kv.value));
  const header: JobHeader = found.result?.header ?? { at: Number.NaN };
  const claim = beside.find((each) => keyId(each.key).startsWith(claimsOf(key)));
  const progress = beside.find((each) => keyId(each.key) === progressOf(key));
  const rest = beside.find((each) => keyId(each.key) === restOf(key));
  const tries = beside.find((each) => keyId(each.key) === triesOf(key));
  const { delay, reason, cancelled, blocks, due = header.notBefore } = header;
  return {
    id: header.id ?? place,
    state: state !== 'ready' ? state : claim ? 'claimed' : rest ? 'resting' : 'ready',
    priority: priorityOf(place),
    ...contentOf(state, found, (bytes) => codec.decode(bytes)),
    putAt: Number.isFinite(header.at) ? new Date(header.at) : undefined,
    attempts: (header.tried ?? 0) + Number(tries?.version ?? 0n),
    history: header.history ?? [],
    ...(claim && { claim: { ...presenceIn(claim.value), token: claim.createRevision } }),
    ...(progress && { progress: attempt(() => jsonIn(progress.value)).result }),
    ...(delay !== undefined && { delay }),
    ...(due !== undefined && { due: new Date(due) }),
    ...(blocks !== undefined && { blocks: decodeURIComponent(blocks) }),
    ...(reason !== undefined && { reason }),
    ...(cancelled && { cancelled }),
  };
}

/** What JSON there is, if any. @throws SyntaxError if it is something else */
export function jsonIn(bytes: Uint8Array): unknown {
  return bytes.length === 0 ? undefined : JSON.parse(Buffer.from(bytes).toString());
}

/** What came of reading something that others wrote. */
interface Attempt<Result> {
  readonly result?: Result;
  readonly error?: unknown;
}

function attempt<Result>(read: () => Result): Attempt<Result> {
  try {
    return { result: read() };
  } catch (error) {
    return { error };
  }
}

function contentOf<T>(
  state: JobState,
  { result: record, error }: Attempt<JobRecord>,
  decode: (bytes: Buffer) => T,
): Pick<JobView<T>, 'value' | 'error' | 'result'> {
  if (!record) return { value: undefined, error };
  if (state === 'done') {
    return { value: undefined, ...attempt(() => jsonIn(record.value)) };
  }
  const { result: value, ...failure } = attempt(() => decode(record.value));
  return { value, ...failure };
}
