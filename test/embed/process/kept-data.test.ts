import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { ArgumentError } from '../../../src/core/store/errors.js';
import { type EtcdMember, start } from '../../../src/embed/index.js';
import { get, put } from './support/kv.js';
import { temporaryDir } from './support/temporary.js';

vi.setConfig({ testTimeout: 60_000 });

it('a single member continues with the data directory it is given', async () => {
  const dir = join(temporaryDir(), 'data');
  const first = await start({ engine: 'etcd', dir });
  expect(first.members[0]?.dataDir).toBe(dir);
  await put(first.members[0] as EtcdMember, 'a', '1');
  await first.stop();
  await using second = await start({ engine: 'etcd', dir });
  expect(await get(second.members[0] as EtcdMember, 'a')).toBe('1');
});

it('several members find each other again in their kept directories', async () => {
  const dir = temporaryDir();
  const walDir = temporaryDir();
  const first = await start({ engine: 'etcd', dir, walDir, members: 3, name: 'm' });
  expect(first.members[2]?.dataDir).toBe(join(dir, 'm-3'));
  expect(existsSync(join(walDir, 'm-3'))).toBe(true);
  await put(first.members[0] as EtcdMember, 'a', '1');
  const peers = first.members.map((member) => member.peerUrl);
  await first.stop();
  await using second = await start({ engine: 'etcd', dir, walDir, members: 3, name: 'm' });
  expect(second.members.map((member) => member.peerUrl)).toEqual(peers);
  expect(await get(second.members[2] as EtcdMember, 'a')).toBe('1');
  await expect(start({ engine: 'etcd', dir, members: 5, name: 'm' })).rejects.toThrow(
    ArgumentError,
  );
});
