import { describe, expect, it } from 'vitest';
import { start } from '../../../src/embed/index.js';
import {
  ArgumentError,
  Etcd3Store,
  RefusedError,
  type Txn,
  UnavailableError,
} from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();
const denied = {
  kind: 'error',
  code: 'PERMISSION_DENIED',
  message: 'etcdserver: permission denied',
} as const;
const writing = ['KV.Txn', 'KV.Put'] as const;
const put: Txn = { success: [{ put: { key: 'k', value: '' } }] };

describe('a call that is refused after an attempt without an answer', () => {
  it('may have been applied, if it writes', async () => {
    await using server = await start();
    const store = new Etcd3Store({ endpoints: server.endpoints });
    etcd.defer(() => store.close());
    server.faults.add({ rpc: writing, kind: 'drop-reply', times: 1 });
    server.faults.add({ rpc: writing, ...denied });
    const error = await rejection(store.commit(put, { idempotent: true }));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error).toMatchObject({ outcome: 'unknown', cause: { status: 'PERMISSION_DENIED' } });
    expect((await store.read({ key: 'k' })).count).toBe(1);
  });

  it('is refused, if nothing can have been applied', async () => {
    await using server = await start();
    const store = new Etcd3Store({ endpoints: server.endpoints });
    etcd.defer(() => store.close());
    server.faults.add({ rpc: writing, ...denied });
    const options = { idempotent: true };
    expect(await rejection(store.commit(put, options))).toBeInstanceOf(RefusedError);
    server.faults.add({ rpc: 'KV.Range', kind: 'drop-reply', times: 1 });
    server.faults.add({ rpc: 'KV.Range', ...denied });
    expect(await rejection(store.read({ key: 'k' }))).toBeInstanceOf(RefusedError);
  });

  it('has its answer, if it makes or ends a lease', async () => {
    await using server = await start();
    const store = new Etcd3Store({ endpoints: server.endpoints });
    etcd.defer(() => store.close());
    server.faults.add({ rpc: 'Lease.LeaseGrant', kind: 'drop-reply', times: 1 });
    expect(await store.grant(77n, 60_000)).toBe(60_000);
    server.faults.add({ rpc: 'Lease.LeaseRevoke', kind: 'drop-reply', times: 1 });
    await store.revoke(77n);
    expect(server.stats.leases).toBe(0);
  });
});

it('a limit of an attempt that is none is refused before anything is sent', async () => {
  for (const attemptTimeout of [0, -1, Number.NaN, '5' as never]) {
    const error = await rejection(etcd.admin.read({ key: 'k' }, { attemptTimeout }));
    expect(error).toBeInstanceOf(ArgumentError);
    expect(String(error)).toContain('attemptTimeout must be');
  }
});

it('limits that are none are refused before they harm a renewal of others, or a look at all endpoints', async () => {
  const store = etcd.open({});
  for (const limits of [{ signal: {} }, { timeout: Number.NaN }, { timeout: -1 }] as never[]) {
    expect(await rejection(store.keepAlive(77n, limits))).toBeInstanceOf(ArgumentError);
    expect(await rejection(store.health(limits))).toBeInstanceOf(ArgumentError);
  }
});
