import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { start } from '../../../src/embed/index.js';
import { ArgumentError, connect, Etcd3Store, UnavailableError } from '../../../src/index.js';
import { makeCertificate } from '../../embed/process/support/certificates.js';

const newDirectory = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'etcd-recipes-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
};

describe('a socket as the endpoint', () => {
  it.each(['unix:', 'unix://'])('is reached as %s/path', async (scheme) => {
    const endpoint = `${scheme}${await newDirectory()}/etcd.sock`;
    await using server = await start({ listenClientUrls: [endpoint] });
    expect(server.endpoints).toEqual([endpoint]);
    await using coordinator = await connect({ endpoints: server.endpoints });
    const mutex = coordinator.mutex('m');
    const hold = await mutex.acquire();
    await hold.txn().put('k', 'v').commit();
    const { kvs } = await coordinator.store.read({ key: 'k' });
    expect(kvs.map(({ value }) => value.toString())).toEqual(['v']);
    expect(await hold.release()).toBe(true);
  });

  it('is connected to again when its server is', async () => {
    const endpoint = `unix:${await newDirectory()}/etcd.sock`;
    const store = new Etcd3Store({ endpoints: [endpoint] });
    onTestFinished(() => store.close());
    for (let n = 0; n < 2; n += 1) {
      await using _ = await start({ listenClientUrls: [endpoint] });
      expect((await store.read({ key: 'k' })).revision).toBe(1n);
    }
    const read = store.read({ key: 'k' }, { timeout: 300 });
    await expect(read).rejects.toThrow(UnavailableError);
    const failures = expect.arrayContaining([expect.objectContaining({ endpoint })]) as unknown;
    await expect(read).rejects.toMatchObject({ failures });
  });

  it('carries TLS if told to', async () => {
    const dir = await newDirectory();
    const endpoint = `unix:${dir}/etcd.sock`;
    const files = makeCertificate(dir);
    await using server = await start({ listenClientUrls: [endpoint], tls: files });
    const tls = { ca: server.ca ?? '' };
    const store = new Etcd3Store({ endpoints: [endpoint], tls });
    const bare = new Etcd3Store({ endpoints: [endpoint] });
    onTestFinished(() => [store, bare].forEach((each) => each.close()));
    expect((await store.read({ key: 'k' })).revision).toBe(1n);
    await expect(bare.read({ key: 'k' }, { timeout: 300 })).rejects.toThrow(UnavailableError);
    expect(await readFile(files.cert, 'utf8')).toBe(tls.ca);
  });

  it.each(['unix:', 'unix:relative', 'unix:///', 'unixs:/a', 'http://unix:/a'])(
    'is not %s',
    (endpoint) => {
      expect(() => new Etcd3Store({ endpoints: [endpoint] })).toThrow(ArgumentError);
    },
  );
});
