import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, inject, it } from 'vitest';
import { folderOf } from '../src/core/store/keys.js';
import { built } from './support/built.js';
import { useEtcd } from './support/etcd.js';

const etcd = useEtcd();

it('a process ends by itself when it has closed its clients, used or not', async () => {
  const name = etcd.name('queue');
  const options = JSON.stringify({ endpoints: [etcd.endpoint], transport: inject('transport') });
  const args = [built('test/support/leaving-process.ts'), options, name];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 });
  expect(Number(stdout)).toBeLessThan(10);
  expect(await etcd.count(folderOf('mutex', name))).toBe(0);
});
