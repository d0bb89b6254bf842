import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type InProcessEtcd, start } from '../../../src/embed/index.js';
import { pathOf } from '../../../src/embed/server/grpc-method.js';
import {
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from '../../../src/embed/server/wire/kv.js';
import { LeaseId } from '../../../src/embed/server/wire/lease.js';
import { WatchRequest, WatchResponse } from '../../../src/embed/server/wire/watch.js';
import { RawClient } from '../../support/raw-client.js';

const MiB = 1024 * 1024;
const patience = { timeout: 60_000, interval: 10 };
const asIs = (bytes: Buffer): Buffer => bytes;

let etcd: InProcessEtcd;
let client: Client;
let raw: RawClient;
beforeEach(async () => {
  etcd = await start();
  const [endpoint = ''] = etcd.endpoints;
  client = new Client(new URL(endpoint).host, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
  });
  raw = new RawClient(endpoint);
});
afterEach(async () => {
  client.close();
  raw.close();
  await etcd.stop();
});

const call = (name: string, bytes: Uint8Array): Promise<ServiceError | undefined> =>
  new Promise((resolve) => {
    client.makeUnaryRequest(pathOf(name), asIs, asIs, Buffer.from(bytes), (error) =>
      resolve(error ?? undefined),
    );
  });
const open = (name: string): ClientDuplexStream<Buffer, Buffer> =>
  client.makeBidiStreamRequest(pathOf(name), asIs, asIs);
const works = async (): Promise<void> => {
  const { header } = await raw.call('KV.Put', { key: 'still', value: 'here' });
  expect(header?.revision).toBeGreaterThan(1);
};

describe('a request that is no message', () => {
  it.each([
    ['a field that ends behind the message', [0x0a, 0x7f, 0x61]],
    ['a number that never ends', Array.from({ length: 12 }, () => 0xff)],
    ['a field of another type', [0x08, 0x01]],
    ['a tag that does not exist', [0x0f]],
    ['an unfinished tag', [0x80]],
  ])('is refused: %s', async (_, bytes) => {
    for (const name of ['KV.Put', 'KV.Range', 'KV.Txn']) {
      expect(await call(name, Uint8Array.from(bytes))).toMatchObject({
        code: status.INTERNAL,
        details: expect.stringMatching(/^grpc: error unmarshalling request: /),
      });
    }
    await works();
  });

  it('is refused if it is nested deeper than anybody means', async () => {
    let bytes = Buffer.alloc(0);
    while (bytes.length < MiB) {
      // A transaction in a transaction, written by hand: our own writer would not go so deep.
      const size = Buffer.alloc(5);
      let [rest, end] = [bytes.length, 0];
      for (; rest > 0x7f; rest >>>= 7) size[end++] = (rest & 0x7f) | 0x80;
      size[end++] = rest;
      bytes = Buffer.concat([
        Buffer.from([bytes.length % 2 ? 0x12 : 0x22]),
        size.subarray(0, end),
        bytes,
      ]);
      if (bytes.length > 60_000) break;
    }
    const error = await call('KV.Txn', bytes);
    expect([status.INTERNAL, status.INVALID_ARGUMENT]).toContain(error?.code);
    await works();
  });

  it('ends a stream, and nothing else', async () => {
    for (const name of ['Watch.Watch', 'Lease.LeaseKeepAlive']) {
      const stream = open(name);
      stream.on('data', () => {});
      const failed = once(stream, 'error') as Promise<[ServiceError]>;
      stream.write(Buffer.from([0x0a, 0x7f, 0x61]));
      expect((await failed)[0]).toMatchObject({ code: status.INTERNAL });
    }
    await works();
  });

  it('is understood as far as it is known if it has fields of a later release', async () => {
    const known = PutRequest.encode({ key: 'k', value: 'v' });
    const unknown = Buffer.from([0xfa, 0x01, 0x02, 0x01, 0x02, 0xf8, 0x02, 0x05]);
    expect(await call('KV.Put', Buffer.concat([known, unknown]))).toBe(undefined);
    const { kvs } = await raw.call('KV.Range', { key: 'k' });
    expect(kvs[0]?.value).toBe('v');
  });
});

describe('a request that is too large', () => {
  it('is refused in etcd’s words, by what it is', async () => {
    const put = (size: number): Promise<ServiceError | undefined> =>
      call('KV.Put', PutRequest.encode({ key: 'k', value: 'x'.repeat(size) }));
    expect(await put(1.5 * MiB - 100)).toBe(undefined);
    expect(await put(1.5 * MiB)).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: 'etcdserver: request is too large',
    });
    expect(await put(2 * MiB)).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: expect.stringMatching(
        /^grpc: received message larger than max \(\d+ vs\. 2097152\)$/,
      ),
    });
    const many = Array.from({ length: 129 }, (_, i) =>
      RequestOp.create({ put: PutRequest.create({ key: `${i}` }) }),
    );
    expect(await call('KV.Txn', TxnRequest.encode({ success: many }))).toMatchObject({
      details: 'etcdserver: too many operations in txn request',
    });
    await works();
  });

  it('is not even read if it is enormous', async () => {
    expect(await call('KV.Put', Buffer.alloc(80 * MiB))).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    });
    await works();
  });
});

it('answers what it does not do with a sentence', async () => {
  for (const name of ['Cluster.MemberAdd', 'Maintenance.Defragment', 'Maintenance.Snapshot']) {
    expect(await call(name, new Uint8Array())).toMatchObject({
      code: status.UNIMPLEMENTED,
      details: expect.stringMatching(/^etcd-recipes: the in-process etcd does not have .+/),
    });
  }
  expect(await call('KV.Nonsense', new Uint8Array())).toMatchObject({ code: status.UNIMPLEMENTED });
});

it('keeps thousands of watches of one stream apart, and forgets them with it', async () => {
  const stream = raw.open('Watch.Watch');
  const seen = new Map<bigint, string[]>();
  let created = 0;
  stream.listen(
    ({ created: isNew, watchId, events }) => {
      if (isNew) created += 1;
      const keys = events.map(({ kv }) => kv?.key ?? '');
      seen.set(watchId, [...(seen.get(watchId) ?? []), ...keys]);
    },
    () => {},
  );
  for (let i = 0; i < 5_000; i += 1) stream.send({ create: { key: `k${i}` } });
  await vi.waitFor(() => expect(created).toBe(5_000), patience);
  expect(etcd.stats.watches).toBe(5_000);
  for (const i of [0, 2_500, 4_999]) await raw.call('KV.Put', { key: `k${i}`, value: '' });
  await vi.waitFor(
    () => expect([...seen.values()].flat()).toEqual(['k0', 'k2500', 'k4999']),
    patience,
  );
  expect(seen.get(2_500n)).toEqual(['k2500']);
  stream.close();
  await vi.waitFor(() => expect(etcd.stats.watches).toBe(0), patience);
});

it('does not pile up events for a client that does not read, and tells them when it does', async () => {
  const stream = open('Watch.Watch');
  stream.on('error', () => {});
  stream.write(WatchRequest.encode({ create: { key: 'k', rangeEnd: 'l' } }));
  const [first] = (await once(stream, 'data')) as [Buffer];
  expect(WatchResponse.decode(first).created).toBe(true);
  stream.pause();
  const before = process.memoryUsage();
  // One value that all versions share: only copies of it made for the client would count.
  const value = 'x'.repeat(100_000);
  const writer = etcd.store();
  const n = 3_000;
  for (let i = 0; i < n; i += 1) {
    await writer.commit({ success: [{ put: { key: `k${i % 10}`, value } }] });
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const { external, arrayBuffers } = process.memoryUsage();
  const grown = external + arrayBuffers - before.external - before.arrayBuffers;
  expect(grown / MiB).toBeLessThan(150);
  const revisions: number[] = [];
  stream.on('data', (bytes: Buffer) => {
    for (const { kv } of WatchResponse.decode(bytes).events) revisions.push(kv?.modRevision ?? 0);
  });
  stream.resume();
  await vi.waitFor(() => expect(revisions.length).toBe(n), patience);
  expect(revisions).toEqual(Array.from({ length: n }, (_, i) => i + 2));
  stream.cancel();
});

it('ends the watch of a client that fell behind what is compacted', async () => {
  const stream = open('Watch.Watch');
  stream.on('error', () => {});
  stream.write(WatchRequest.encode({ create: { key: 'k' } }));
  await once(stream, 'data');
  stream.pause();
  const writer = etcd.store();
  for (let i = 0; i < 500; i += 1) {
    await writer.commit({ success: [{ put: { key: 'k', value: 'x'.repeat(100_000) } }] });
    await new Promise((resolve) => setImmediate(resolve));
  }
  await raw.call('KV.Compact', { revision: 501 });
  const ends: [boolean, number][] = [];
  stream.on('data', (bytes: Buffer) => {
    const { canceled, compactRevision } = WatchResponse.decode(bytes);
    if (canceled) ends.push([canceled, compactRevision]);
  });
  stream.resume();
  await vi.waitFor(() => expect(ends).toEqual([[true, 501]]), patience);
  stream.cancel();
});

describe('a fault', () => {
  it('on a read in pieces ends the read and nothing else', async () => {
    await raw.call('KV.Put', { key: 'k', value: 'v' });
    for (const kind of ['drop-request', 'drop-reply', 'error'] as const) {
      etcd.faults.add({ rpc: 'KV.RangeStream', kind, times: 1 });
      const stream = client.makeServerStreamRequest(
        pathOf('KV.RangeStream'),
        asIs,
        asIs,
        RangeRequest.encode({ key: 'k' }),
      );
      stream.on('data', () => {});
      const [error] = (await once(stream, 'error')) as [ServiceError];
      expect(error.code).toBe(status.UNAVAILABLE);
    }
    await works();
  });

  it('that breaks a stream keeps back what was sent after', async () => {
    await etcd.store().grant(1n, 60_000);
    const fault = etcd.faults.add({ rpc: 'Lease.LeaseKeepAlive', kind: 'hang', times: 1 });
    const stream = open('Lease.LeaseKeepAlive');
    stream.on('data', () => {});
    for (let i = 0; i < 5; i += 1) stream.write(LeaseId.encode({ id: 1n }));
    await vi.waitFor(() => expect(fault.hits).toBe(1), patience);
    await vi.waitFor(async () => {
      const { ttl } = await raw.call('Lease.LeaseTimeToLive', { id: 1n });
      expect(ttl).toBeLessThan(59);
    }, patience);
    fault.remove();
    await once(stream, 'error');
    await works();
    const { ttl } = await raw.call('Lease.LeaseTimeToLive', { id: 1n });
    expect(ttl).toBeLessThan(59);
  });
});

describe('a connection', () => {
  const address = (): { host: string; port: number } => {
    const { hostname, port } = new URL(etcd.endpoints[0] ?? '');
    return { host: hostname, port: Number(port) };
  };

  it('that speaks another protocol is closed', async () => {
    const socket = connectTcp(address());
    socket.on('error', () => {});
    socket.resume();
    socket.write('GET / HTTP/1.1\r\nHost: etcd\r\n\r\n'.repeat(10));
    await once(socket, 'close');
    await works();
  });

  it('that is dropped in the middle of a request leaves nothing behind', async () => {
    const session = connectHttp2(etcd.endpoints[0] ?? '');
    session.on('error', () => {});
    const request = session.request({
      ':method': 'POST',
      ':path': pathOf('KV.Put'),
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    request.on('error', () => {});
    request.write(Buffer.from([0, 0, 0, 1, 0, 0x0a, 0x03]));
    await new Promise((resolve) => request.once('ready', resolve));
    session.destroy();
    await works();
    const { count } = await raw.call('KV.Range', { key: '\0', rangeEnd: '\0' });
    expect(count).toBe(1);
  });

  it('that is gone takes its watches and streams with it', async () => {
    const other = new RawClient(etcd.endpoints[0] ?? '');
    const stream = other.open('Watch.Watch');
    stream.listen(
      () => {},
      () => {},
    );
    stream.send({ create: { key: 'k' } });
    await vi.waitFor(() => expect(etcd.stats.watches).toBe(1), patience);
    other.close();
    stream.close();
    await vi.waitFor(() => expect(etcd.stats.watches).toBe(0), patience);
  });
});
