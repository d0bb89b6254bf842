import { Codec } from './codec.js';
import { ResponseHeader } from './common.js';
import { bool, count, enumeration, list, message, messages, text, uint64 } from './fields.js';

interface Member {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

const Member: Codec<Member> = new Codec(() => ({
  id: uint64(1),
  name: text(2),
  peerUrls: list(text, 3),
  clientUrls: list(text, 4),
  isLearner: bool(5),
}));

export interface MemberListResponse {
  readonly header: ResponseHeader | undefined;
  readonly members: readonly Member[];
}

export const MemberListResponse: Codec<MemberListResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  members: messages(2, Member),
}));

export interface StatusResponse {
  readonly header: ResponseHeader | undefined;
  readonly version: string;
  readonly dbSize: number;
  readonly leader: bigint;
  readonly raftIndex: number;
  readonly raftTerm: bigint;
  readonly raftAppliedIndex: number;
  readonly dbSizeInUse: number;
  readonly storageVersion: string;
}

export const StatusResponse: Codec<StatusResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  version: text(2),
  dbSize: count(3),
  leader: uint64(4),
  raftIndex: count(5),
  raftTerm: uint64(6),
  raftAppliedIndex: count(7),
  dbSizeInUse: count(9),
  storageVersion: text(11),
}));

/** The standard health check of gRPC. */
export interface HealthCheckRequest {
  readonly service: string;
}

export const HealthCheckRequest: Codec<HealthCheckRequest> = new Codec(() => ({
  service: text(1),
}));

export interface HealthCheckResponse {
  /** 1 serving. */
  readonly status: number;
}

export const HealthCheckResponse: Codec<HealthCheckResponse> = new Codec(() => ({
  status: enumeration(1),
}));

export interface AlarmRequest {
  /** 0 get, 1 set off, 2 end. */
  readonly action: number;
}

export const AlarmRequest: Codec<AlarmRequest> = new Codec(() => ({ action: enumeration(1) }));

/** What is wrong with members. */
export interface AlarmResponse {
  readonly header: ResponseHeader | undefined;
}

export const AlarmResponse: Codec<AlarmResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
}));
