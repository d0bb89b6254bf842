import { Codec } from './codec.js';
import { Empty, KeyValue, ResponseHeader } from './common.js';
import {
  type Bytes,
  bool,
  bytes,
  count,
  enumeration,
  enumerations,
  int64,
  message,
  messages,
  text,
} from './fields.js';

export interface WatchCreateRequest {
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
  readonly startRevision: number;
  readonly progressNotify: boolean;
  /** What to leave out: 0 puts, 1 deletions. */
  readonly filters: readonly number[];
  readonly prevKv: boolean;
  readonly watchId: bigint;
  readonly fragment: boolean;
}

export const WatchCreateRequest: Codec<WatchCreateRequest> = new Codec(() => ({
  key: bytes(1),
  rangeEnd: bytes(2),
  startRevision: count(3),
  progressNotify: bool(4),
  filters: enumerations(5),
  prevKv: bool(6),
  watchId: int64(7),
  fragment: bool(8),
}));

interface WatchCancelRequest {
  readonly watchId: bigint;
}

const WatchCancelRequest: Codec<WatchCancelRequest> = new Codec(() => ({
  watchId: int64(1),
}));

/** One of the three. */
export interface WatchRequest {
  readonly create: WatchCreateRequest | undefined;
  readonly cancel: WatchCancelRequest | undefined;
  readonly progress: Empty | undefined;
}

export const WatchRequest: Codec<WatchRequest> = new Codec(
  () => ({
    create: message(1, WatchCreateRequest),
    cancel: message(2, WatchCancelRequest),
    progress: message(3, Empty),
  }),
  ['create', 'cancel', 'progress'],
);

export interface Event {
  /** 0 put, 1 deletion. */
  readonly type: number;
  readonly kv: KeyValue | undefined;
  readonly prevKv: KeyValue | undefined;
}

export const Event: Codec<Event> = new Codec(() => ({
  type: enumeration(1),
  kv: message(2, KeyValue),
  prevKv: message(3, KeyValue),
}));

export interface WatchResponse {
  readonly header: ResponseHeader | undefined;
  readonly watchId: bigint;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly Event[];
}

export const WatchResponse: Codec<WatchResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  watchId: int64(2),
  created: bool(3),
  canceled: bool(4),
  compactRevision: count(5),
  cancelReason: text(6),
  fragment: bool(7),
  events: messages(11, Event),
}));
