import { once } from 'node:events';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { status as Status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { judge, type Verdict } from '../../../src/core/etcd3/status.js';
import { Etcd3Store } from '../../../src/index.js';
import { useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();

describe('what etcd and those on the way to it say', () => {
  it.each<[Verdict, keyof typeof Status, string]>([
    ['refused', 'NOT_FOUND', 'etcdserver: requested lease not found'],
    ['refused', 'FAILED_PRECONDITION', 'etcdserver: lease already exists'],
    ['refused', 'INVALID_ARGUMENT', 'etcdserver: key is not provided'],
    ['refused', 'INVALID_ARGUMENT', 'etcdserver: request is too large'],
    ['refused', 'INVALID_ARGUMENT', 'etcdserver: too many operations in txn request'],
    [
      'refused',
      'INVALID_ARGUMENT',
      'etcdserver: authentication failed, invalid user ID or password',
    ],
    ['refused', 'UNKNOWN', 'auth: authentication failed, password was given for no password user'],
    ['refused', 'OUT_OF_RANGE', 'etcdserver: mvcc: required revision has been compacted'],
    ['refused', 'RESOURCE_EXHAUSTED', 'etcdserver: mvcc: database space exceeded'],
    ['refused', 'RESOURCE_EXHAUSTED', 'grpc: received message larger than max (9 vs. 8)'],
    ['refused', 'PERMISSION_DENIED', 'etcdserver: permission denied'],
    ['refused', 'FAILED_PRECONDITION', 'etcdserver: authentication is not enabled'],
    ['refused', 'DATA_LOSS', 'etcdserver: corrupt cluster'],
    ['refused', 'UNIMPLEMENTED', 'unknown service etcdserverpb.KV'],
    ['refused', 'UNIMPLEMENTED', 'etcd-recipes: the in-process etcd does not have snapshots'],
    ['refused', 'RESOURCE_EXHAUSTED', 'Sent message larger than max (5 vs. 4)'],
    ['refused', 'INTERNAL', 'Request message serialization failure: illegal buffer'],
    ['unauthenticated', 'UNAUTHENTICATED', 'etcdserver: invalid auth token'],
    ['unauthenticated', 'UNKNOWN', 'etcdserver: invalid auth token'],
    ['unauthenticated', 'INVALID_ARGUMENT', 'etcdserver: user name is empty'],
    ['unauthenticated', 'INVALID_ARGUMENT', 'etcdserver: revision of auth store is old'],
    ['not-applied', 'UNAVAILABLE', 'No connection established. Last error: ECONNREFUSED'],
    ['not-applied', 'UNAVAILABLE', 'Name resolution failed for target dns:nowhere:1'],
    ['not-applied', 'UNAVAILABLE', 'etcdserver: no leader'],
    ['not-applied', 'UNAVAILABLE', 'etcdserver: rpc not supported for learner'],
    ['not-applied', 'RESOURCE_EXHAUSTED', 'etcdserver: too many requests'],
    ['unknown', 'RESOURCE_EXHAUSTED', 'grpc: trying to send message larger than max (9 vs. 8)'],
    ['unknown', 'RESOURCE_EXHAUSTED', 'Bandwidth exhausted or memory limit exceeded'],
    ['unknown', 'PERMISSION_DENIED', 'Protocol not secure enough'],
    ['unknown', 'PERMISSION_DENIED', 'Received HTTP status code 403'],
    ['unknown', 'UNIMPLEMENTED', 'Received HTTP status code 404'],
    ['unknown', 'UNAVAILABLE', 'Received HTTP status code 504'],
    ['unknown', 'UNAVAILABLE', 'etcdserver: request timed out'],
    ['unknown', 'UNAVAILABLE', 'etcdserver: leader changed'],
    ['unknown', 'UNAVAILABLE', 'Connection dropped'],
    ['unknown', 'DEADLINE_EXCEEDED', 'Deadline exceeded after 1.000s'],
    ['unknown', 'CANCELLED', 'Call cancelled'],
    ['unknown', 'INTERNAL', 'Received RST_STREAM with code 2'],
  ])('means %s: %s %s', (verdict, code, details) => {
    expect(judge({ code: Status[code], details })).toBe(verdict);
  });

  it('means nothing certain when it is no status at all', () => {
    expect(judge(new Error('socket hang up'))).toBe('unknown');
    expect(judge('etcdserver: permission denied')).toBe('unknown');
    expect(judge({ code: 99, details: 'etcdserver: permission denied' })).toBe('unknown');
  });
});

describe('a write that is cut off by what stands between us and etcd', () => {
  const endLater = (stream: ServerHttp2Stream): void => {
    setTimeout(() => stream.session?.destroy(), 20);
  };
  it.each<[string, (stream: ServerHttp2Stream) => void]>([
    ['a GOAWAY with ENHANCE_YOUR_CALM', (s) => (s.session?.goaway(11), endLater(s))],
    ['a GOAWAY with INADEQUATE_SECURITY', (s) => (s.session?.goaway(12), endLater(s))],
    ['a GOAWAY without an error', (s) => (s.session?.goaway(0), endLater(s))],
    ['a reset with ENHANCE_YOUR_CALM', (s) => s.close(11)],
    ['a reset with INADEQUATE_SECURITY', (s) => s.close(12)],
    ['a reset with CANCEL', (s) => s.close(8)],
    ['a connection that breaks', (s) => s.session?.destroy()],
    ['an HTTP 403', (s) => (s.respond({ ':status': 403 }), s.end())],
    ['an HTTP 404', (s) => (s.respond({ ':status': 404 }), s.end())],
    ['an HTTP 504', (s) => (s.respond({ ':status': 504 }), s.end())],
  ])('may have been applied: by %s', async (_, cutOff) => {
    const server = createServer();
    server.on('session', (session) => session.on('error', () => {}));
    server.on('stream', (stream) => {
      stream.on('error', () => {}).resume();
      stream.once('data', () => setImmediate(() => cutOff(stream)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    etcd.defer(() => server.close());
    const { port } = server.address() as AddressInfo;
    const store = new Etcd3Store({ endpoints: [`127.0.0.1:${port}`], timeout: 1_000 });
    etcd.defer(() => store.close());
    const commit = store.commit({ success: [{ put: { key: 'k', value: 'v' } }] });
    await expect(commit).rejects.toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'unknown' });
  });
});
