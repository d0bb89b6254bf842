import { status } from '@grpc/grpc-js';
import type { Backend } from './backend.js';
import { EtcdError } from './errors.js';
import type { RpcName } from './faults.js';
import type { CheckSize } from './kv/kv.js';
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
  /** @throws Error if the bytes are no such request. */
  decode(bytes: Uint8Array): object;
  encode(reply: object): Buffer;
  /**
   * Calls `checkSize` for a request that is in order and goes through consensus.
   *
   * @throws EtcdError where etcd refuses.
   */
  run(request: object, checkSize: CheckSize): object;
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
  const call = define(backend);
  return [
    ['KV.Range', call(kv.RangeRequest, kv.RangeResponse, (r) => service.range(r))],
    ['KV.Put', call(kv.PutRequest, kv.PutResponse, (r, checkSize) => service.put(r, checkSize))],
    [
      'KV.DeleteRange',
      call(kv.DeleteRangeRequest, kv.DeleteRangeResponse, (r, checkSize) =>
        service.deleteRange(r, checkSize),
      ),
    ],
    ['KV.Txn', call(kv.TxnRequest, kv.TxnResponse, (r, checkSize) => service.txn(r, checkSize))],
    [
      'KV.Compact',
      call(kv.CompactionRequest, kv.HeaderOnly, (r, checkSize) => service.compact(r, checkSize)),
    ],
  ];
}

function leaseRpcs(backend: Backend): Entry[] {
  const { leases } = backend;
  const call = define(backend);
  return [
    [
      'Lease.LeaseGrant',
      call(lease.LeaseGrantRequest, lease.LeaseGrantResponse, (r, checkSize) => {
        checkSize();
        const { id, ttl } = leases.grant(r.ttl, r.id);
        return { id, ttl };
      }),
    ],
    [
      'Lease.LeaseRevoke',
      call(lease.LeaseId, kv.HeaderOnly, ({ id }, checkSize) => {
        checkSize();
        leases.revoke(id);
        return {};
      }),
    ],
    [
      'Lease.LeaseTimeToLive',
      call(lease.LeaseTimeToLiveRequest, lease.LeaseTimeToLiveResponse, ({ id, keys }) => {
        const found = leases.timeToLive(id);
        if (!found) return { id, ttl: -1 };
        const attached = keys ? [...found.keys] : [];
        return { id, ttl: found.left, grantedTtl: found.ttl, keys: attached };
      }),
    ],
    [
      'Lease.LeaseLeases',
      call(Empty, lease.LeaseLeasesResponse, () => ({ leases: leases.list() })),
    ],
  ];
}

function clusterRpcs(backend: Backend, identity: Identity): Entry[] {
  const call = define(backend);
  const { memberId, store } = backend;
  return [
    [
      'Cluster.MemberList',
      call(Empty, MemberListResponse, () => ({ members: [{ id: memberId, ...identity }] })),
    ],
    [
      'Maintenance.Status',
      call(Empty, StatusResponse, () => ({
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
    ['Maintenance.Alarm', call(Empty, AlarmResponse, () => ({}))],
    ['Health.Check', rpc(HealthCheckRequest, HealthCheckResponse, checkHealth)],
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
  run: (request: Request, checkSize: CheckSize) => Init<Reply>,
): UnaryRpc {
  return {
    decode: (bytes) => request.decode(bytes),
    encode: (message) => reply.encode(message as Init<Reply>),
    run: (message, checkSize) => run(message as Request, checkSize),
  };
}

type Define = <Request extends object, Reply extends object>(
  request: Codec<Request>,
  reply: Codec<Reply>,
  run: (request: Request, checkSize: CheckSize) => Init<Reply>,
) => UnaryRpc;

/** The replies of these calls get a whole header, whatever they have of one. */
function define(backend: Backend): Define {
  return (request, reply, run) =>
    rpc(request, reply, (message, checkSize) => {
      const response = run(message, checkSize);
      const { header } = response as { readonly header?: Init<ResponseHeader> };
      return Object.assign(response, { header: backend.header(header) });
    });
}
