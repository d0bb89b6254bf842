import { status } from '@grpc/grpc-js';
import type { Backend } from './backend.js';
import { EtcdError } from './errors.js';
import type { RpcName } from './faults.js';
import {
  AlarmResponse,
  HealthCheckRequest,
  HealthCheckResponse,
  MemberListResponse,
  StatusResponse,
} from './wire/cluster.js';
import type { Codec, Init } from './wire/codec.js';
import { Empty, type ResponseHeader } from './wire/common.js';
import * as kv from './wire/kv.js';
import * as lease from './wire/lease.js';

/** The version of etcd whose behaviour this is. */
export const VERSION = '3.7.3';

/** A call with one request and one reply, whose types only its own functions know. */
export interface UnaryRpc {
  /** Whether etcd limits the size of the request, because it goes through consensus. */
  readonly isWrite: boolean;
  /** @throws Error if the bytes are no such request. */
  decode(bytes: Uint8Array): object;
  encode(reply: object): Buffer;
  /** @throws EtcdError where etcd refuses. */
  run(request: object): object;
}

/** Who is served, as far as clients may know. */
export interface Identity {
  readonly name: string;
  readonly clientUrls: readonly string[];
}

/** All unary calls, by service and method: `KV.Range`. */
export function unaryRpcs(backend: Backend, identity: Identity): ReadonlyMap<RpcName, UnaryRpc> {
  return new Map<RpcName, UnaryRpc>([
    ...kvRpcs(backend),
    ...leaseRpcs(backend),
    ...clusterRpcs(backend, identity),
  ]);
}

type Entry = [name: RpcName, rpc: UnaryRpc];

function kvRpcs(backend: Backend): Entry[] {
  const { kv: service } = backend;
  const read = define(backend, false);
  const write = define(backend, true);
  return [
    ['KV.Range', read(kv.RangeRequest, kv.RangeResponse, (r) => service.range(r))],
    ['KV.Put', write(kv.PutRequest, kv.PutResponse, (r) => service.put(r))],
    [
      'KV.DeleteRange',
      write(kv.DeleteRangeRequest, kv.DeleteRangeResponse, (r) => service.deleteRange(r)),
    ],
    ['KV.Txn', write(kv.TxnRequest, kv.TxnResponse, (r) => service.txn(r))],
    ['KV.Compact', write(kv.CompactionRequest, kv.HeaderOnly, (r) => service.compact(r))],
  ];
}

function leaseRpcs(backend: Backend): Entry[] {
  const { leases } = backend;
  const read = define(backend, false);
  const write = define(backend, true);
  return [
    [
      'Lease.LeaseGrant',
      write(lease.LeaseGrantRequest, lease.LeaseGrantResponse, (r) => {
        const { id, ttl } = leases.grant(r.ttl, r.id);
        return { id, ttl };
      }),
    ],
    [
      'Lease.LeaseRevoke',
      write(lease.LeaseId, kv.HeaderOnly, ({ id }) => {
        leases.revoke(id);
        return {};
      }),
    ],
    [
      'Lease.LeaseTimeToLive',
      read(lease.LeaseTimeToLiveRequest, lease.LeaseTimeToLiveResponse, ({ id, keys }) => {
        const found = leases.timeToLive(id);
        if (!found) return { id, ttl: -1 };
        const attached = keys ? [...found.keys] : [];
        return { id, ttl: found.left, grantedTtl: found.ttl, keys: attached };
      }),
    ],
    [
      'Lease.LeaseLeases',
      read(Empty, lease.LeaseLeasesResponse, () => ({ leases: leases.list() })),
    ],
  ];
}

function clusterRpcs(backend: Backend, identity: Identity): Entry[] {
  const read = define(backend, false);
  const { memberId, store } = backend;
  return [
    [
      'Cluster.MemberList',
      read(Empty, MemberListResponse, () => ({ members: [{ id: memberId, ...identity }] })),
    ],
    [
      'Maintenance.Status',
      read(Empty, StatusResponse, () => ({
        version: VERSION,
        storageVersion: VERSION.replace(/\d+$/, '0'),
        dbSize: store.bytes,
        dbSizeInUse: store.bytes,
        leader: memberId,
        raftTerm: backend.header().raftTerm,
        raftIndex: store.revision,
        raftAppliedIndex: store.revision,
      })),
    ],
    ['Maintenance.Alarm', read(Empty, AlarmResponse, () => ({}))],
    ['Health.Check', rpc(HealthCheckRequest, HealthCheckResponse, false, checkHealth)],
  ];
}

const SERVING = 1;

function checkHealth({ service }: HealthCheckRequest): Init<HealthCheckResponse> {
  if (service !== '') throw new EtcdError(status.NOT_FOUND, 'unknown service');
  return { status: SERVING };
}

function rpc<Request extends object, Reply extends object>(
  request: Codec<Request>,
  reply: Codec<Reply>,
  isWrite: boolean,
  run: (request: Request) => Init<Reply>,
): UnaryRpc {
  return {
    isWrite,
    decode: (bytes) => request.decode(bytes),
    encode: (message) => reply.encode(message as Init<Reply>),
    run: (message) => run(message as Request),
  };
}

type Define = <Request extends object, Reply extends object>(
  request: Codec<Request>,
  reply: Codec<Reply>,
  run: (request: Request) => Init<Reply>,
) => UnaryRpc;

/** The replies of these calls get a whole header, whatever they have of one. */
function define(backend: Backend, isWrite: boolean): Define {
  return (request, reply, run) =>
    rpc(request, reply, isWrite, (message) => {
      const response = run(message);
      const { header } = response as { readonly header?: Init<ResponseHeader> };
      return Object.assign(response, { header: backend.header(header) });
    });
}
