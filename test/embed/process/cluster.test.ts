import { existsSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { ClosedError } from '../../../src/core/store/errors.js';
import { type EtcdCluster, type EtcdMember, start } from '../../../src/embed/index.js';
import { freePorts } from '../../../src/embed/process/ports.js';
import { get, put } from './support/kv.js';

vi.setConfig({ testTimeout: 60_000 });

const eventually = { timeout: 30_000, interval: 50 };
const quick = { heartbeatInterval: 20, electionTimeout: 200 };

const waitForLeader = async (cluster: EtcdCluster, not?: EtcdMember): Promise<EtcdMember> =>
  vi.waitFor(async () => {
    const leader = await cluster.leader();
    if (leader === undefined || leader === not) {
      throw new Error('no (other) leader yet');
    }
    return leader;
  }, eventually);

const firstOf = (cluster: EtcdCluster): EtcdMember => cluster.members[0] as EtcdMember;

describe('a single member', () => {
  it('serves on loopback as soon as the start resolves, and is gone after stop', async () => {
    const cluster = await start({ engine: 'etcd' });
    const member = firstOf(cluster);
    expect(cluster.version).toMatch(/^3\.\d+\.\d+/);
    expect(cluster.endpoints).toEqual([member.endpoint]);
    expect(member.endpoint).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(cluster.ca).toBeUndefined();
    expect(await cluster.leader()).toBe(member);
    await put(member, 'a', '1');
    expect(await get(member, 'a')).toBe('1');

    await cluster.stop();
    expect(member.state).toBe('stopped');
    expect(member.pid).toBeUndefined();
    expect(existsSync(member.dataDir)).toBe(false);
    await expect(get(member, 'a')).rejects.toThrow('ECONNREFUSED');
  });

  it('stops once, however often it is asked', async () => {
    const cluster = await start({ engine: 'etcd' });
    await Promise.all([cluster.stop(), cluster.stop()]);
    await cluster[Symbol.asyncDispose]();
    expect(firstOf(cluster).state).toBe('stopped');
  });

  it('cannot be started again after its cluster was stopped', async () => {
    const cluster = await start({ engine: 'etcd' });
    await cluster.stop();
    await expect(firstOf(cluster).start()).rejects.toThrow(ClosedError);
  });

  it('reports an end nobody asked for', async () => {
    await using cluster = await start({ engine: 'etcd' });
    const member = firstOf(cluster);
    const exited = member.exited;
    process.kill(member.pid as number, 'SIGKILL');
    expect(await exited).toEqual({ code: null, signal: 'SIGKILL', expected: false });
    expect(member.state).toBe('stopped');
    expect(() => member.pause()).toThrow(ClosedError);
    expect(() => member.resume()).toThrow(ClosedError);
  });

  it('keeps its data, endpoint and log over a crash and a restart', async () => {
    await using cluster = await start({ engine: 'etcd' });
    const member = firstOf(cluster);
    const { endpoint, pid } = member;
    await put(member, 'a', '1');
    await member.kill();
    expect(await member.exited).toEqual({ code: null, signal: 'SIGKILL', expected: true });
    const log = member.log();
    expect(log).toContain('127.0.0.1');
    await Promise.all([member.start(), member.start()]);
    expect(member.endpoint).toBe(endpoint);
    expect(member.pid).not.toBe(pid);
    expect(await get(member, 'a')).toBe('1');
    expect(member.log().startsWith(log)).toBe(true);
  });

  it('can be addressed by a URL that differs from the one it listens on', async () => {
    const [port] = await freePorts(1);
    await using cluster = await start({
      engine: 'etcd',
      listenClientUrls: [`http://0.0.0.0:${port}`],
      advertiseClientUrls: [`http://localhost:${port}`],
    });
    expect(cluster.endpoints).toEqual([`http://localhost:${port}`]);
    expect(await cluster.leader()).toBe(firstOf(cluster));
  });

  it('applies every tuning option it is given', async () => {
    await using cluster = await start({
      engine: 'etcd',
      ...quick,
      name: 'tuned',
      clusterToken: 'token',
      preVote: true,
      snapshotCount: 1000,
      quotaBackendBytes: 64 * 1024 * 1024,
      maxTxnOps: 1,
      maxRequestBytes: 1024 * 1024,
      autoCompaction: { mode: 'periodic', retention: 90_000 },
      watchProgressInterval: 500,
      keepAlive: { minTime: 1000, interval: 60_000, timeout: 5000 },
      authToken: 'simple',
      authTokenTtl: 60_000,
      bcryptCost: 4,
      logLevel: 'debug',
      unsafeNoFsync: true,
      flags: ['--max-wals=3'],
      env: { ETCD_MAX_SNAPSHOTS: '4' },
    });
    const member = firstOf(cluster);
    expect(member.name).toBe('tuned');
    const key = Buffer.from('a').toString('base64');
    const operation = { request_put: { key, value: key } };
    const txn = member.gateway.call('/v3/kv/txn', { success: [operation, operation] });
    await expect(txn).rejects.toThrow('too many operations');
    expect(member.log()).toContain('"level":"debug"');
    expect(member.log()).toContain('ETCD_MAX_SNAPSHOTS');
  });
});

describe('three members', () => {
  it('agree on one leader and serve the same data', async () => {
    await using cluster = await start({ engine: 'etcd', members: 3, ...quick });
    expect(cluster.members.map((member) => member.name)).toEqual(['etcd-1', 'etcd-2', 'etcd-3']);
    expect(new Set(cluster.endpoints).size).toBe(3);
    expect(cluster.members).toContain(await waitForLeader(cluster));
    const [first, second] = cluster.members as [EtcdMember, EtcdMember];
    await put(first, 'a', '1');
    expect(await get(second, 'a')).toBe('1');
  });

  it('elect another leader when theirs is killed, and take it back after a restart', async () => {
    await using cluster = await start({ engine: 'etcd', members: 3, ...quick });
    const old = await waitForLeader(cluster);
    await old.kill();
    const next = await waitForLeader(cluster, old);
    await vi.waitFor(() => put(next, 'a', '1'), eventually);
    await old.restart();
    expect(await get(old, 'a')).toBe('1');
  });

  it('elect another leader when theirs is paused, which follows after it resumes', async () => {
    await using cluster = await start({ engine: 'etcd', members: 3, ...quick });
    const old = await waitForLeader(cluster);
    old.pause();
    expect(old.state).toBe('paused');
    const next = await waitForLeader(cluster, old);
    await vi.waitFor(() => put(next, 'a', '1'), eventually);
    old.resume();
    expect(old.state).toBe('running');
    await vi.waitFor(async () => expect(await get(old, 'a')).toBe('1'), eventually);
    expect(await waitForLeader(cluster)).not.toBe(old);
  });

  it('stop while one of them is paused and another is dead', async () => {
    const cluster = await start({ engine: 'etcd', members: 3, ...quick });
    const leader = await waitForLeader(cluster);
    const other = cluster.members.find((member) => member !== leader);
    leader.pause();
    await other?.kill();
    await cluster.stop();
    expect(cluster.members.map((member) => member.state)).toEqual(Array(3).fill('stopped'));
  });

  it('take a fourth that was started on its own', async () => {
    await using cluster = await start({ engine: 'etcd', members: 3, ...quick });
    const { gateway } = await waitForLeader(cluster);
    const [port] = await freePorts(1);
    const peerUrl = `http://127.0.0.1:${port}`;
    await vi.waitFor(
      () => gateway.call('/v3/cluster/member/add', { peerURLs: [peerUrl] }),
      eventually,
    );
    const others = cluster.members.map((member) => `${member.name}=${member.peerUrl}`);
    await using fourth = await start({
      engine: 'etcd',
      ...quick,
      name: 'fourth',
      listenPeerUrls: [peerUrl],
      initialCluster: [...others, `fourth=${peerUrl}`].join(','),
      clusterState: 'existing',
    });
    await put(firstOf(cluster), 'a', '1');
    expect(await get(firstOf(fourth), 'a')).toBe('1');
  });
});
