import { hostname } from 'node:os';
import { expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import { useEtcd } from '../support/etcd.js';
import { cliOn, keys } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);

/** Has one hold and one wait. */
async function occupy(name: string, label: string): Promise<void> {
  const first = await etcd.connect({ session: { label } });
  await first.mutex(name).acquire();
  const second = await etcd.connect();
  second
    .mutex(name)
    .acquire()
    .catch(() => {});
  await keys(etcd, folderOf('mutex', name), 2);
}

it('inspect shows holder and waiters as a table', async () => {
  const name = etcd.name();
  await occupy(name, 'the first');
  const run = cli(['inspect', name]);
  expect(await run.ended).toBe(0);
  const [head, holder, waiter, end] = run.stdout.split('\n').map((row) => row.split(/ {2,}/));
  expect(head).toEqual(['POSITION', 'HOST', 'PID', 'LABEL', 'AGE', 'TOKEN', 'KEY']);
  const own = [hostname(), String(process.pid)];
  const folder = folderOf('mutex', name);
  expect(holder?.slice(0, 4)).toEqual(['holder', ...own, 'the first']);
  expect(waiter?.slice(0, 4)).toEqual(['1', ...own, '-']);
  for (const row of [holder, waiter]) {
    expect(row?.[4]).toMatch(/^\d+s$/);
    expect(row?.[5]).toMatch(/^\d+$/);
    expect(row?.[6]?.startsWith(folder)).toBe(true);
  }
  expect(end).toEqual(['']);
});

it('inspect gives JSON, with the token as a string', async () => {
  const name = etcd.name();
  await occupy(name, 'the first');
  const run = cli(['inspect', name, '--json']);
  expect(await run.ended).toBe(0);
  const folder = folderOf('mutex', name);
  const anybody = {
    host: hostname(),
    pid: process.pid,
    label: null,
    age: expect.any(Number),
    token: expect.stringMatching(/^\d+$/),
    lease: expect.stringMatching(/^[0-9a-f]+$/),
    key: expect.stringContaining(folder),
  };
  expect(JSON.parse(run.stdout)).toEqual({
    name,
    holder: { ...anybody, label: 'the first' },
    waiters: [anybody],
  });
});

it.each([
  ['in words', [], (name: string) => `nobody holds ${name}\n`],
  [
    'in JSON',
    ['--json'],
    (name: string) => `${JSON.stringify({ name, holder: null, waiters: [] }, undefined, 2)}\n`,
  ],
])('inspect says %s that nobody holds it, and leaves nothing in etcd', async (_, options, says) => {
  const name = etcd.name();
  const run = cli(['inspect', name, ...options]);
  expect(await run.ended).toBe(0);
  expect(run.stdout).toBe(says(name));
  expect(await etcd.count(folderOf('mutex', name))).toBe(0);
});

it('inspect shows strangers in the line of Go, of whom only key and token are known', async () => {
  const name = etcd.name();
  const key = `team/${name}/694d`;
  const { revision } = await etcd.admin.commit({ success: [{ put: { key, value: '' } }] });
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: { key } }] }));
  const run = cli(['inspect', name, '--layout', 'go', '--namespace', 'team/']);
  expect(await run.ended).toBe(0);
  const [, row] = run.stdout.split('\n');
  expect(row?.split(/ +/)).toEqual(['holder', '-', '-', '-', '-', String(revision), key]);
});

it('inspect lets no label steer the terminal', async () => {
  const name = etcd.name();
  await occupy(name, '\u001b[2Jnew\r\nline\u009b1m');
  const run = cli(['inspect', name]);
  expect(await run.ended).toBe(0);
  expect(run.stdout.split('\n')).toHaveLength(4);
  expect(run.stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
});
