import { type KeyRange, toBytes } from '../../store/keys.js';
import type { WatchEvent } from '../../store/store.js';
import { FieldReader } from './field-reader.js';
import { readHeader, readPair } from './replies.js';

/** What etcd says of one watch, or of its refusal. */
export interface WatchReply {
  /** Of the watch, as it was asked for; -1 where etcd has none. */
  readonly id: string;
  /** That of the store. */
  readonly revision: bigint;
  readonly isCreated: boolean;
  readonly isCanceled: boolean;
  readonly cancelReason: string;
  /** The revision up to which history is gone that was asked for; 0 if it is not. */
  readonly compacted: bigint;
  /** Whether other parts of the same are to come. */
  readonly isPart: boolean;
  readonly events: readonly WatchEvent[];
}

const types = ['put', 'delete'] as const;

/** A key range in etcd's terms. */
export function rangeToWire({ key, end }: KeyRange): { key: Buffer; range_end?: Buffer } {
  return end === undefined ? { key: toBytes(key) } : { key: toBytes(key), range_end: toBytes(end) };
}

/** The message in our terms. @throws Error if it is none */
export function readWatchReply(bytes: Buffer): WatchReply {
  const from = new FieldReader(bytes);
  let [id, revision, compacted] = [0n, 0n, 0n];
  let [isCreated, isCanceled, isPart] = [false, false, false];
  let cancelReason = '';
  const events: WatchEvent[] = [];
  while (from.next()) {
    if (from.field === 11) events.push(from.nested(readEvent));
    else if (from.field === 1) revision = from.nested(readHeader);
    else if (from.field === 2) id = from.bigint();
    else if (from.field === 3) isCreated = from.bool();
    else if (from.field === 4) isCanceled = from.bool();
    else if (from.field === 5) compacted = from.bigint();
    else if (from.field === 6) cancelReason = from.bytes().toString();
    else if (from.field === 7) isPart = from.bool();
    else from.skip();
  }
  if (revision === 0n && !isCanceled) throw new Error('a reply has no revision');
  const what = { isCreated, isCanceled, cancelReason, compacted, isPart };
  return { id: String(id), revision, ...what, events };
}

function readEvent(from: FieldReader): WatchEvent {
  let type: WatchEvent['type'] | undefined = 'put';
  let kv: WatchEvent['kv'] | undefined;
  let previous: WatchEvent['previous'];
  while (from.next()) {
    if (from.field === 1) type = types[from.number()];
    else if (from.field === 2) kv = from.nested(readPair);
    else if (from.field === 3) previous = from.nested(readPair);
    else from.skip();
  }
  if (!type || !kv) throw new Error('no event');
  return previous ? { type, kv, previous } : { type, kv };
}
