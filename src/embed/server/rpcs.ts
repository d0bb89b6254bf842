import { status } from '@grpc/grpc-js';
import { authRpcs } from './auth-rpcs.js';
import type { Backend } from './backend.js';
import { EtcdError } from './errors.js';
import type { RpcName } from './faults.js';
import { allowReads, allowWrites } from './kv/permissions.js';
import { define, rpc, type UnaryRpc } from './unary-rpc.js';
import {
  AlarmRequest,
  AlarmResponse,
  HealthCheckRequest,
  HealthCheckResponse,
  MemberListResponse,
  StatusResponse,
} from './wire/cluster.js';
import type { Init } from './wire/codec.js';
import { Empty } from './wire/common.js';
import * as kv from './wire/kv.js';
import * as lease from './wire/lease.js';

/** The version of etcd whose behaviour this is. */
export const VERSION = '3.7.3';

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
    ...authRpcs(backend),
  ]);
}

type Entry = [name: RpcName, rpc: UnaryRpc];

function kvRpcs(backend: Backend): Entry[] {
  const { kv: service } = backend;
  const call = define(backend);
  return [
    ['KV.Range', call(kv.RangeRequest, kv.RangeResponse, (r, caller) => service.range(r, caller))],
    ['KV.Put', call(kv.PutRequest, kv.PutResponse, (r, caller) => service.put(r, caller))],
    [
      'KV.DeleteRange',
      call(kv.DeleteRangeRequest, kv.DeleteRangeResponse, (r, caller) =>
        service.deleteRange(r, caller),
      ),
    ],
    ['KV.Txn', call(kv.TxnRequest, kv.TxnResponse, (r, caller) => service.txn(r, caller))],
    [
      'KV.Compact',
      call(kv.CompactionRequest, kv.HeaderOnly, (r, caller) => service.compact(r, caller)),
    ],
  ];
}

function leaseRpcs(backend: Backend): Entry[] {
  const { leases } = backend;
  const call = define(backend);
  return [
    [
      'Lease.LeaseGrant',
      call(lease.LeaseGrantRequest, lease.LeaseGrantResponse, (r, caller) => {
        caller.requireUser();
        caller.propose();
        const { id, ttl } = leases.grant(r.ttl, r.id);
        return { id, ttl };
      }),
    ],
    [
      'Lease.LeaseRevoke',
      call(lease.LeaseId, kv.HeaderOnly, ({ id }, caller) => {
        caller.requireUser();
        caller.propose();
        allowWrites(caller, leases.keysOf(id));
        leases.revoke(id);
        return {};
      }),
    ],
    [
      'Lease.LeaseTimeToLive',
      call(lease.LeaseTimeToLiveRequest, lease.LeaseTimeToLiveResponse, ({ id, keys }, caller) => {
        caller.requireUser();
        if (keys) allowReads(caller, leases.keysOf(id));
        const found = leases.timeToLive(id);
        if (!found) return { id, ttl: -1 };
        const attached = keys ? [...found.keys] : [];
        return { id, ttl: found.left, grantedTtl: found.ttl, keys: attached };
      }),
    ],
    [
      'Lease.LeaseLeases',
      call(Empty, lease.LeaseLeasesResponse, (_, caller) => {
        caller.requireUser();
        const all = leases.list();
        for (const { keys } of all) allowReads(caller, keys);
        return { leases: all };
      }),
    ],
  ];
}

function clusterRpcs(backend: Backend, identity: Identity): Entry[] {
  const call = define(backend);
  const { memberId, store } = backend;
  return [
    [
      'Cluster.MemberList',
      call(Empty, MemberListResponse, (_, caller) => {
        caller.requireUser();
        return { members: [{ id: memberId, ...identity }] };
      }),
    ],
    [
      'Maintenance.Status',
      call(Empty, StatusResponse, (_, caller) => {
        caller.requireUser();
        return {
          version: VERSION,
          storageVersion: VERSION.replace(/\d+$/, '0'),
          dbSize: store.bytes,
          dbSizeInUse: store.bytes,
          leader: memberId,
          raftTerm: backend.header().raftTerm,
          raftIndex: store.revision,
          raftAppliedIndex: store.revision,
        };
      }),
    ],
    [
      'Maintenance.Alarm',
      call(AlarmRequest, AlarmResponse, ({ action }, caller) => {
        if (action === GET_ALARMS) caller.requireUser();
        else caller.requireAdmin();
        return {};
      }),
    ],
    ['Health.Check', rpc(HealthCheckRequest, HealthCheckResponse, checkHealth)],
  ];
}

const GET_ALARMS = 0;
const SERVING = 1;

function checkHealth({ service }: HealthCheckRequest): Init<HealthCheckResponse> {
  if (service !== '') throw new EtcdError(status.NOT_FOUND, 'unknown service');
  return { status: SERVING };
}
