import { Codec } from './codec.js';
import { KeyValue, ResponseHeader } from './common.js';
import { type Bytes, bool, bytes, count, enumeration, int64, message, messages } from './fields.js';

/** Order of the results of a read: 0 none, 1 ascending, 2 descending. */
type SortOrder = number;
/** What results are ordered by: 0 key, 1 version, 2 create revision, 3 mod revision, 4 value. */
type SortTarget = number;

export interface RangeRequest {
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
  readonly limit: number;
  readonly revision: number;
  readonly sortOrder: SortOrder;
  readonly sortTarget: SortTarget;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

export const RangeRequest: Codec<RangeRequest> = new Codec(() => ({
  key: bytes(1),
  rangeEnd: bytes(2),
  limit: count(3),
  revision: count(4),
  sortOrder: enumeration(5),
  sortTarget: enumeration(6),
  serializable: bool(7),
  keysOnly: bool(8),
  countOnly: bool(9),
  minModRevision: count(10),
  maxModRevision: count(11),
  minCreateRevision: count(12),
  maxCreateRevision: count(13),
}));

export interface RangeResponse {
  readonly header: ResponseHeader | undefined;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: number;
}

export const RangeResponse: Codec<RangeResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  kvs: messages(2, KeyValue),
  more: bool(3),
  count: count(4),
}));

/** A part of the result of a read. */
export interface RangeStreamResponse {
  readonly rangeResponse: RangeResponse | undefined;
}

export const RangeStreamResponse: Codec<RangeStreamResponse> = new Codec(() => ({
  rangeResponse: message(1, RangeResponse),
}));

export interface PutRequest {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly lease: bigint;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export const PutRequest: Codec<PutRequest> = new Codec(() => ({
  key: bytes(1),
  value: bytes(2),
  lease: int64(3),
  prevKv: bool(4),
  ignoreValue: bool(5),
  ignoreLease: bool(6),
}));

export interface PutResponse {
  readonly header: ResponseHeader | undefined;
  readonly prevKv: KeyValue | undefined;
}

export const PutResponse: Codec<PutResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  prevKv: message(2, KeyValue),
}));

export interface DeleteRangeRequest {
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
  readonly prevKv: boolean;
}

export const DeleteRangeRequest: Codec<DeleteRangeRequest> = new Codec(() => ({
  key: bytes(1),
  rangeEnd: bytes(2),
  prevKv: bool(3),
}));

export interface DeleteRangeResponse {
  readonly header: ResponseHeader | undefined;
  readonly deleted: number;
  readonly prevKvs: readonly KeyValue[];
}

export const DeleteRangeResponse: Codec<DeleteRangeResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  deleted: count(2),
  prevKvs: messages(3, KeyValue),
}));

/** One step of a transaction; exactly one of the fields is there. */
export interface RequestOp {
  readonly range: RangeRequest | undefined;
  readonly put: PutRequest | undefined;
  readonly deleteRange: DeleteRangeRequest | undefined;
  readonly txn: TxnRequest | undefined;
}

export const RequestOp: Codec<RequestOp> = new Codec(
  () => ({
    range: message(1, RangeRequest),
    put: message(2, PutRequest),
    deleteRange: message(3, DeleteRangeRequest),
    txn: message(4, TxnRequest),
  }),
  ['range', 'put', 'deleteRange', 'txn'],
);

/** What a step gave; the field of the step is there. */
export interface ResponseOp {
  readonly range: RangeResponse | undefined;
  readonly put: PutResponse | undefined;
  readonly deleteRange: DeleteRangeResponse | undefined;
  readonly txn: TxnResponse | undefined;
}

export const ResponseOp: Codec<ResponseOp> = new Codec(() => ({
  range: message(1, RangeResponse),
  put: message(2, PutResponse),
  deleteRange: message(3, DeleteRangeResponse),
  txn: message(4, TxnResponse),
}));

/** A condition; the field that `target` names is compared. */
export interface Compare {
  /** 0 equal, 1 greater, 2 less, 3 not equal. */
  readonly result: number;
  /** 0 version, 1 create revision, 2 mod revision, 3 value, 4 lease. */
  readonly target: number;
  readonly key: Bytes;
  readonly version: number;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly value: Bytes;
  readonly lease: bigint;
  readonly rangeEnd: Bytes;
}

export const Compare: Codec<Compare> = new Codec(
  () => ({
    result: enumeration(1),
    target: enumeration(2),
    key: bytes(3),
    version: count(4),
    createRevision: count(5),
    modRevision: count(6),
    value: bytes(7),
    lease: int64(8),
    rangeEnd: bytes(64),
  }),
  ['version', 'createRevision', 'modRevision', 'value', 'lease'],
);

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export const TxnRequest: Codec<TxnRequest> = new Codec(() => ({
  compare: messages(1, Compare),
  success: messages(2, RequestOp),
  failure: messages(3, RequestOp),
}));

export interface TxnResponse {
  readonly header: ResponseHeader | undefined;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

export const TxnResponse: Codec<TxnResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  succeeded: bool(2),
  responses: messages(3, ResponseOp),
}));

export interface CompactionRequest {
  readonly revision: number;
  readonly physical: boolean;
}

export const CompactionRequest: Codec<CompactionRequest> = new Codec(() => ({
  revision: count(1),
  physical: bool(2),
}));

/** A reply that has nothing but its header. */
export interface HeaderOnly {
  readonly header: ResponseHeader | undefined;
}

export const HeaderOnly: Codec<HeaderOnly> = new Codec(() => ({
  header: message(1, ResponseHeader),
}));
