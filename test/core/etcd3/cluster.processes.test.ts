import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type EtcdCluster, start } from '../../../src/embed/index.js';
import { Etcd3Store, UnavailableError } from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { makeCertificate } from '../../embed/process/support/certificates.js';
import { useEtcd } from '../../support/etcd.js';
import { listen } from '../../support/listen.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 20 };

describe('with three members', () => {
  let cluster: EtcdCluster;

  beforeAll(async () => {
    cluster = await start({ engine: 'etcd', members: 3, unsafeNoFsync: true });
  });
  afterAll(() => cluster.stop());

  it('tells how each of them is', { timeout: 180_000 }, async () => {
    const endpoints = [...cluster.endpoints, '127.0.0.1:1'];
    const store = etcd.open({ endpoints });
    const health = await store.health();
    expect(health.map(({ endpoint }) => endpoint)).toEqual(endpoints);
    expect(health.map(({ healthy }) => healthy)).toEqual([true, true, true, false]);
    const [first, second, third, none] = health;
    const leaders = new Set([first, second, third].map((each) => each?.status?.leader));
    expect(leaders.size).toBe(1);
    expect([first, second, third].map((each) => each?.status?.memberId)).toContain([...leaders][0]);
    expect(first?.status?.version).toBe(cluster.version);
    expect(first?.status?.dbSize).toBeGreaterThan(0);
    expect(first?.status?.alarms).toEqual([]);
    expect(none?.status).toBe(undefined);
    expect(none?.error).toMatchObject({
      failures: [{ endpoint: '127.0.0.1:1', phase: 'connect' }],
    });
  });

  it.each([0, 1, 2])(
    'does without member %i when that is stopped in its tracks',
    {
      timeout: 180_000,
    },
    async (i) => {
      const endpoints = [...cluster.endpoints.slice(i), ...cluster.endpoints.slice(0, i)];
      const store = etcd.open({ endpoints });
      const key = etcd.name();
      const results: Promise<unknown>[] = [];
      const work = setInterval(() => {
        const write = { success: [{ put: { key, value: 'x' } }] };
        results.push(store.read({ key }), store.commit(write, { idempotent: true }));
      }, 5);
      try {
        await Promise.all(results);
        await vi.waitFor(() => expect(results.length).toBeGreaterThan(100), patience);
        cluster.members[i]?.pause();
        const before = results.length;
        await vi.waitFor(() => expect(results.length).toBeGreaterThan(before + 600), patience);
      } finally {
        clearInterval(work);
        cluster.members[i]?.resume();
      }
      const failed = (await Promise.allSettled(results)).filter(
        ({ status }) => status === 'rejected',
      );
      expect(failed).toEqual([]);
    },
  );

  it.each(['http2', 'grpc'] as const)(
    'answers from what one member has where the others are stopped, and only if told to: %s',
    { timeout: 180_000 },
    async (transport) => {
      // Who was stopped before may have been their leader.
      const store = etcd.open({ endpoints: cluster.endpoints, transport, timeout: 60_000 });
      const key = etcd.name();
      const write = { success: [{ put: { key, value: 'x' } }] };
      const { revision } = await store.commit(write, { idempotent: true });
      const health = await store.health();
      const leads = health.findIndex(({ status }) => status?.memberId === status?.leader);
      const stopped = [0, 1, 2].filter((i) => i !== (leads + 1) % 3);
      for (const i of stopped) cluster.members[i]?.pause();
      try {
        const near = await store.read({ key }, { serializable: true, timeout: 20_000 });
        expect(near.kvs[0]?.value.toString()).toBe('x');
        expect(near.revision).toBeGreaterThanOrEqual(revision);
        expect(await rejection(store.read({ key }, { timeout: 2_000 }))).toBeInstanceOf(
          UnavailableError,
        );
      } finally {
        for (const i of stopped) cluster.members[i]?.resume();
      }
      await vi.waitFor(() => store.read({ key }), patience);
    },
  );

  it('takes a member that was stopped back only when it answers again', {
    timeout: 180_000,
  }, async () => {
    const [a = '', b = ''] = cluster.endpoints;
    const store = etcd.open({ endpoints: [a, b] });
    await store.read({ key: 'x' });
    cluster.members[0]?.pause();
    await store.read({ key: 'x' });
    const aside = async (): Promise<unknown> =>
      (await store.health({ timeout: 2_000 })).map((e) => e.healthy);
    expect(await aside()).toEqual([false, true]);
    cluster.members[0]?.resume();
    await vi.waitFor(async () => expect(await aside()).toEqual([true, true]), patience);
    await store.read({ key: 'x' });
  });

  it('finds the others through one member, and goes on without that one', {
    timeout: 180_000,
  }, async () => {
    const [first = ''] = cluster.endpoints;
    const store = etcd.open({ endpoints: [first], syncInterval: 50 });
    const { watch, seen } = listen(store, 'synced');
    await watch.ready;
    await vi.waitFor(async () => expect((await store.health()).length).toBe(3), patience);
    cluster.members[0]?.pause();
    try {
      const write = { success: [{ put: { key: 'synced', value: 'without' } }] };
      await store.commit(write, { idempotent: true, timeout: 20_000 });
      // It may be applied twice.
      await vi.waitFor(() => expect(new Set(seen)).toEqual(new Set(['without'])), patience);
    } finally {
      cluster.members[0]?.resume();
    }
  });
});

describe('certificates in files', () => {
  let dir: string;
  const at = (name: string): string => join(dir, name);

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'etcd-recipes-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('may be replaced on both sides while they are in use', { timeout: 180_000 }, async () => {
    const old = makeCertificate(await mkdtemp(join(dir, 'old-')));
    const fresh = makeCertificate(await mkdtemp(join(dir, 'new-')));
    const served = { cert: at('cert.pem'), key: at('key.pem') };
    const install = async ({ cert, key }: { cert: string; key: string }): Promise<void> => {
      await Promise.all([copyFile(cert, served.cert), copyFile(key, served.key)]);
    };
    await install(old);
    await copyFile(old.cert, at('ca.pem'));
    const cluster = await start({ engine: 'etcd', unsafeNoFsync: true, tls: served });
    etcd.defer(() => cluster.stop());
    const proxy = await etcd.startProxy(cluster.endpoints[0]);
    const endpoints = [proxy.endpoint.replace('http:', 'https:')];
    const store = etcd.open({ endpoints, tls: { caFile: at('ca.pem') } });
    const { watch, seen } = listen(store, 'rotated');
    await watch.ready;
    const write = (value: string) =>
      store.commit(
        { success: [{ put: { key: 'rotated', value } }] },
        { idempotent: true, timeout: 20_000 },
      );
    await write('before');
    await install(fresh);
    // Half a file is not taken.
    await writeFile(at('ca.pem'), '-----BEGIN CERTIFICATE-----\nMIIB');
    proxy.cut();
    proxy.heal();
    const error = await rejection(store.read({ key: 'rotated' }, { timeout: 500 }));
    expect(error).toMatchObject({ code: 'ERR_UNAVAILABLE', failures: [{ phase: 'connect' }] });
    await copyFile(fresh.cert, at('ca.pem'));
    await write('after');
    // It may be applied twice.
    await vi.waitFor(() => expect(new Set(seen)).toEqual(new Set(['before', 'after'])), patience);
  });

  it('of the client are presented as they are now', { timeout: 180_000 }, async () => {
    const trusted = makeCertificate(await mkdtemp(join(dir, 'trusted-')));
    const foreign = makeCertificate(await mkdtemp(join(dir, 'foreign-')));
    const cluster = await start({
      engine: 'etcd',
      unsafeNoFsync: true,
      tls: { ...trusted, ca: trusted.cert, clientCertAuth: true },
    });
    etcd.defer(() => cluster.stop());
    const [certFile, keyFile] = [at('client.pem'), at('client-key.pem')];
    await Promise.all([copyFile(foreign.cert, certFile), copyFile(foreign.key, keyFile)]);
    const store = etcd.open({
      endpoints: cluster.endpoints,
      tls: { caFile: trusted.cert, certFile, keyFile },
    });
    await expect(store.read({ key: 'x' }, { timeout: 300 })).rejects.toThrow(/unavailable/);
    await Promise.all([copyFile(trusted.cert, certFile), copyFile(trusted.key, keyFile)]);
    expect((await store.read({ key: 'x' }, { timeout: 20_000 })).count).toBe(0);
  });

  it('are for the name that is asked for', { timeout: 180_000 }, async () => {
    const { cert, key } = makeCertificate(await mkdtemp(join(dir, 'named-')));
    const cluster = await start({ engine: 'etcd', unsafeNoFsync: true, tls: { cert, key } });
    etcd.defer(() => cluster.stop());
    const { endpoints } = cluster;
    for (const transport of ['http2', 'grpc'] as const) {
      const open = (serverName: string) =>
        etcd.open({ endpoints, transport, timeout: 2_000, tls: { caFile: cert, serverName } });
      expect((await open('localhost').read({ key: 'x' })).count).toBe(0);
      const { watch } = listen(open('localhost'), 'x');
      await watch.ready;
      await expect(open('etcd.test').read({ key: 'x' })).rejects.toThrow(/altname|certificate/i);
    }
  });

  it('that are of no use are told at once', async () => {
    const { cert, key } = makeCertificate(await mkdtemp(join(dir, 'good-')));
    const other = makeCertificate(await mkdtemp(join(dir, 'other-')));
    const open = (tls: object) => () => new Etcd3Store({ endpoints: ['127.0.0.1:1'], tls });
    expect(open({ caFile: at('missing.pem') })).toThrow(/tls.caFile.*ENOENT/);
    expect(open({ caFile: cert, ca: 'x' })).toThrow(/ca or caFile/);
    expect(open({ certFile: cert })).toThrow(/both cert and key/);
    expect(open({ certFile: cert, keyFile: other.key })).toThrow(/a key that fits/);
    expect(open({ certFile: cert, keyFile: key, serverName: '' })).toThrow(/tls.serverName/);
    expect(open({ ca: 'no certificate' })).toThrow(/PEM/);
  });
});
