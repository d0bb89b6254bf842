import { Codec } from './codec.js';
import { type Bytes, bytes, count, int64, uint64 } from './fields.js';

/** What every reply begins with. */
export interface ResponseHeader {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** The store's revision when the request was served. */
  readonly revision: number;
  readonly raftTerm: bigint;
}

export const ResponseHeader: Codec<ResponseHeader> = new Codec(() => ({
  clusterId: uint64(1),
  memberId: uint64(2),
  revision: count(3),
  raftTerm: uint64(4),
}));

/** A key with its value and its place in history. */
export interface KeyValue {
  readonly key: Bytes;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value: Bytes;
  readonly lease: bigint;
}

export const KeyValue: Codec<KeyValue> = new Codec(() => ({
  key: bytes(1),
  createRevision: count(2),
  modRevision: count(3),
  version: count(4),
  value: bytes(5),
  lease: int64(6),
}));

/** A message without content. */
export type Empty = Record<string, never>;

export const Empty: Codec<Empty> = new Codec(() => ({}));
