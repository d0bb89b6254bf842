import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { describe, expect, it, vi } from 'vitest';
import { ArgumentError } from '../../../src/core/store/errors.js';
import {
  EtcdGatewayError,
  type EtcdMember,
  EtcdStartError,
  start,
} from '../../../src/embed/index.js';
import { makeCertificate } from './support/certificates.js';
import { get, put } from './support/kv.js';
import { temporaryDir } from './support/temporary.js';

vi.setConfig({ testTimeout: 60_000 });

async function health(endpoint: string, credentials: object): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(`${endpoint}/health`, { agent: false, ...credentials }, (response) => {
      resolve(response.resume().statusCode);
    })
      .once('error', reject)
      .end();
  });
}

describe('TLS', () => {
  it('with certificates that etcd makes is trusted through the authority of the cluster', async () => {
    await using cluster = await start({ engine: 'etcd', members: 2, tls: 'auto', peerTls: 'auto' });
    const [first, second] = cluster.members as [EtcdMember, EtcdMember];
    await put(first, 'a', '1');
    expect(await get(second, 'a')).toBe('1');
    expect(first.endpoint).toMatch(/^https:/);
    expect(first.peerUrl).toMatch(/^https:/);
    for (const endpoint of cluster.endpoints) {
      expect(await health(endpoint, { ca: cluster.ca })).toBe(200);
      await expect(health(endpoint, {})).rejects.toThrow('self-signed certificate');
    }
    expect(cluster.ca).toContain(readFileSync(second.caFile as string, 'utf8'));
  });

  it('with given files can demand certificates of clients and members', async () => {
    const { cert, key } = makeCertificate(temporaryDir());
    const tls = { cert, key, clientCertAuth: true };
    await using cluster = await start({ engine: 'etcd', members: 2, tls, peerTls: tls });
    const [first, second] = cluster.members as [EtcdMember, EtcdMember];
    await put(first, 'a', '1');
    expect(await get(second, 'a')).toBe('1');
    expect(first.caFile).toBe(cert);
    const files = { ca: cluster.ca, cert: readFileSync(cert), key: readFileSync(key) };
    expect(await health(first.endpoint, files)).toBe(200);
    await expect(health(first.endpoint, { ca: cluster.ca })).rejects.toThrow();
    await using open = await start({ engine: 'etcd', tls: { cert, key } });
    expect(await health(open.endpoints[0] as string, { ca: open.ca })).toBe(200);
  });
});

describe('authentication', () => {
  it('is on after the start, and after a later start with the kept data', async () => {
    const dir = temporaryDir();
    const auth = { password: 'secret' };
    const bcryptCost = 4;
    for (const value of ['first', 'second']) {
      await using cluster = await start({ engine: 'etcd', dir, auth, bcryptCost });
      const member = cluster.members[0] as EtcdMember;
      await put(member, 'a', value);
      expect(await get(member, 'a')).toBe(value);
      expect(await cluster.leader()).toBe(member);
      const stranger = await fetch(`${member.endpoint}/v3/kv/range`, {
        method: 'POST',
        body: '{"key":"YQ=="}',
      });
      expect(stranger.status).not.toBe(200);
      await member.restart();
      expect(await get(member, 'a')).toBe(value);
    }
    const starting = start({ engine: 'etcd', dir, auth: { password: 'wrong' }, bcryptCost });
    await expect(starting).rejects.toThrow(EtcdStartError);
    await using unknown = await start({ engine: 'etcd', dir });
    await expect(get(unknown.members[0] as EtcdMember, 'a')).rejects.toThrow(EtcdGatewayError);
  });

  it('completes a setup that was interrupted', async () => {
    const dir = temporaryDir();
    const first = await start({ engine: 'etcd', dir, bcryptCost: 4 });
    const { gateway } = first.members[0] as EtcdMember;
    await gateway.call('/v3/auth/user/add', { name: 'root', password: 'other' });
    await gateway.call('/v3/auth/role/add', { name: 'root' });
    await first.stop();
    await using second = await start({
      engine: 'etcd',
      dir,
      auth: { password: 'secret' },
      bcryptCost: 4,
    });
    await put(second.members[0] as EtcdMember, 'a', '1');
  });

  it('needs a password', async () => {
    await expect(start({ engine: 'etcd', auth: { password: '' } })).rejects.toThrow(ArgumentError);
  });
});
