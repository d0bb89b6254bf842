import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type EmbeddedEtcd,
  FaultProxy,
  type InProcessOptions,
  start,
} from '../../../src/embed/index.js';
import { pathOf } from '../../../src/embed/server/grpc-method.js';
import { HealthCheckRequest, HealthCheckResponse } from '../../../src/embed/server/wire/cluster.js';
import { ArgumentError, ClosedError, Etcd3Store, UnavailableError } from '../../../src/index.js';
import { built } from '../../support/built.js';
import { RawClient } from '../../support/raw-client.js';
import { makeCertificate } from '../process/support/certificates.js';

const patience = { timeout: 60_000, interval: 10 };
const put = { success: [{ put: { key: 'k', value: 'v' } }] };

/** Runs a script in a process of its own: its exit status, or the signal that ended it. */
const run = (script: string): Promise<unknown[]> => {
  const path = built(`test/embed/server/support/${script}`);
  return once(spawn(process.execPath, [path], { stdio: 'inherit' }), 'exit');
};

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'etcd-recipes-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

it('serves at every URL it is given, a free port and a socket of the file system among them', async () => {
  const socket = join(dir, 'etcd.sock');
  const etcd = await start({
    listenClientUrls: ['http://127.0.0.1:0', 'http://localhost:0', `unix:${socket}`],
  });
  expect(etcd.endpoints).toEqual([
    expect.stringMatching(/^http:\/\/127\.0\.0\.1:[1-9]\d+$/),
    expect.stringMatching(/^http:\/\/localhost:[1-9]\d+$/),
    `unix:${socket}`,
  ]);
  for (const endpoint of etcd.endpoints) {
    const target = endpoint.replace(/^http:\/\//, '');
    const client = new Client(target, credentials.createInsecure());
    const status = await new Promise((resolve, reject) => {
      client.makeUnaryRequest<object, { status: number }>(
        pathOf('Health.Check'),
        (request) => HealthCheckRequest.encode(request),
        (bytes) => HealthCheckResponse.decode(bytes),
        {},
        (error, reply) => (error ? reject(error) : resolve(reply?.status)),
      );
    });
    expect(status).toBe(1);
    client.close();
  }
  await etcd.stop();
  await expect(stat(socket)).rejects.toThrow('ENOENT');
});

it('serves nobody without a URL but through its own store', async () => {
  await using etcd = await start({ listenClientUrls: [] });
  expect(etcd.endpoints).toEqual([]);
  const store = etcd.store();
  await store.commit(put);
  expect(etcd.stats).toMatchObject({ revision: 2n, keys: 1, connections: 0 });
});

it('says that somebody else listens there', async () => {
  await using first = await start();
  await expect(start({ listenClientUrls: first.endpoints })).rejects.toMatchObject({
    code: 'EADDRINUSE',
  });
});

describe('over TLS', () => {
  it('shows its certificate, and asks for one', async () => {
    const { cert, key } = makeCertificate(dir);
    const pem = { cert: await readFile(cert), key: await readFile(key) };
    await using etcd = await start({ tls: { cert, key, clientCertAuth: true } });
    expect(etcd.endpoints[0]).toMatch(/^https:/);
    const ca = etcd.ca ?? '';
    const open = (tls: object): Etcd3Store =>
      new Etcd3Store({ endpoints: etcd.endpoints, tls, timeout: 2_000 });
    const [known, unknown] = [open({ ca, ...pem }), open({ ca })];
    expect((await known.commit(put)).succeeded).toBe(true);
    await expect(unknown.commit(put)).rejects.toThrow(UnavailableError);
    known.close();
    unknown.close();
  });
});

it('ends streams, calls and stores when it is stopped, and stops once', async () => {
  const etcd = await start();
  const client = new RawClient(etcd.endpoints[0] ?? '');
  const stream = client.open('Watch.Watch');
  const ended = new Promise((resolve) => {
    stream.listen(() => {}, resolve);
  });
  stream.send({ create: { key: 'k' } });
  await vi.waitFor(() => expect(etcd.stats.watches).toBe(1), patience);
  const store = etcd.store();
  const closed = new Promise((resolve) => {
    store.watch({ key: 'k' }, { events() {}, gap() {}, closed: resolve });
  });
  await Promise.all([etcd.stop(), etcd.stop()]);
  expect(await ended).toMatchObject({ code: expect.any(Number) });
  expect(await closed).toBeInstanceOf(ClosedError);
  await expect(store.read({ key: 'k' })).rejects.toThrow(ClosedError);
  await expect(client.call('KV.Range', { key: 'k' })).rejects.toThrow();
  expect(etcd.stats).toMatchObject({ watches: 0, connections: 0 });
  client.close();
});

it('does not keep its process alive, with clients or without', async () => {
  expect(await run('forgetful.ts')).toEqual([0, null]);
});

it('keeps its process alive for a call that waits, until that has lost patience', async () => {
  expect(await run('patient.ts')).toEqual([0, null]);
});

it('may be started by an engine that is chosen later', async () => {
  const engine = 'in-process' as 'in-process' | 'etcd';
  await using etcd: EmbeddedEtcd = await start({ engine });
  expect(etcd.engine).toBe('in-process');
});

it('finds out that a client is gone without a word', async () => {
  await using etcd = await start({ keepAlive: { interval: 200, timeout: 200 } });
  await using proxy = await FaultProxy.start(etcd.endpoints[0] ?? '');
  const client = new RawClient(`http://${proxy.endpoint}`);
  const stream = client.open('Watch.Watch');
  stream.listen(
    () => {},
    () => {},
  );
  stream.send({ create: { key: 'k' } });
  await vi.waitFor(() => expect(etcd.stats.watches).toBe(1), patience);
  proxy.blackhole();
  await vi.waitFor(() => expect(etcd.stats).toMatchObject({ watches: 0 }), patience);
  client.close();
});

it.each<[InProcessOptions, RegExp]>([
  [{ engine: 'memory' as 'in-process' }, /^engine must be 'in-process' or 'etcd', got 'memory'$/],
  [
    { listenClientUrls: ['localhost'] },
    /^listenClientUrls must be a list of http:.* got 'localhost'$/,
  ],
  [{ listenClientUrls: ['https://127.0.0.1:0'] }, /^listenClientUrls must be a list of http:/],
  [
    { tls: 'auto' as never },
    /^tls must be the files of a certificate; 'auto' needs engine: 'etcd'/,
  ],
  [
    { tls: { cert: '/nowhere', key: '/nowhere' } },
    /^tls.cert must be the path of an existing file/,
  ],
  [
    { listenClientUrls: [`unix:/${'x'.repeat(103)}`] },
    /^listenClientUrls must be a path of at most 103/,
  ],
  [{ listenClientUrls: ['http://127.0.0.1:99999'] }, /^listenClientUrls must be a list of http:/],
  [{ clock: {} as never }, /^clock must be a Clock, such as a VirtualClock, got \{\}$/],
  [{ name: 'a b' }, /^name must be letters/],
  [{ minLeaseTtl: 0 }, /^minLeaseTtl must be/],
  [{ maxTxnOps: 0.5 }, /^maxTxnOps must be a whole number >= 1, got 0.5$/],
  [{ maxRequestBytes: -1 }, /^maxRequestBytes must be/],
  [{ watchProgressInterval: Number.NaN }, /^watchProgressInterval must be/],
  [{ keepAlive: { interval: -1 } }, /^keepAlive.interval must be/],
  [
    { autoCompaction: { mode: 'daily' as 'periodic', retention: 1 } },
    /^autoCompaction.mode must be/,
  ],
])('refuses %o', async (options, message) => {
  const started = start(options);
  await expect(started).rejects.toThrow(ArgumentError);
  await expect(started).rejects.toThrow(message);
});
