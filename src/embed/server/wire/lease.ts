import { Codec } from './codec.js';
import { ResponseHeader } from './common.js';
import { type Bytes, bool, bytes, count, int64, list, message, messages, text } from './fields.js';

/** Times are in seconds. */
export interface LeaseGrantRequest {
  readonly ttl: number;
  readonly id: bigint;
}

export const LeaseGrantRequest: Codec<LeaseGrantRequest> = new Codec(() => ({
  ttl: count(1),
  id: int64(2),
}));

export interface LeaseGrantResponse {
  readonly header: ResponseHeader | undefined;
  readonly id: bigint;
  readonly ttl: number;
  readonly error: string;
}

export const LeaseGrantResponse: Codec<LeaseGrantResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  id: int64(2),
  ttl: count(3),
  error: text(4),
}));

/** A lease by its ID: what is asked to be revoked or renewed, and an entry of the list of leases. */
export interface LeaseId {
  readonly id: bigint;
}

export const LeaseId: Codec<LeaseId> = new Codec(() => ({ id: int64(1) }));

export interface LeaseKeepAliveResponse {
  readonly header: ResponseHeader | undefined;
  readonly id: bigint;
  readonly ttl: number;
}

export const LeaseKeepAliveResponse: Codec<LeaseKeepAliveResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  id: int64(2),
  ttl: count(3),
}));

export interface LeaseTimeToLiveRequest {
  readonly id: bigint;
  readonly keys: boolean;
}

export const LeaseTimeToLiveRequest: Codec<LeaseTimeToLiveRequest> = new Codec(() => ({
  id: int64(1),
  keys: bool(2),
}));

export interface LeaseTimeToLiveResponse {
  readonly header: ResponseHeader | undefined;
  readonly id: bigint;
  readonly ttl: number;
  readonly grantedTtl: number;
  readonly keys: readonly Bytes[];
}

export const LeaseTimeToLiveResponse: Codec<LeaseTimeToLiveResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  id: int64(2),
  ttl: count(3),
  grantedTtl: count(4),
  keys: list(bytes, 5),
}));

export interface LeaseLeasesResponse {
  readonly header: ResponseHeader | undefined;
  readonly leases: readonly LeaseId[];
}

export const LeaseLeasesResponse: Codec<LeaseLeasesResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  leases: messages(2, LeaseId),
}));
