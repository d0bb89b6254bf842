import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { prefixRange } from '../../src/core/store/keys.js';
import { useEtcd } from '../support/etcd.js';
import { cliOn } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);

/** A name whose keys go after the test, with a counter, a gate and a key below `NAME/a/`. */
async function tenant(): Promise<string> {
  const name = etcd.name();
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(name) }] }));
  const coordinator = await etcd.connect();
  const place = coordinator.namespace(`${name}/a/`);
  await place.counter('visits').add(7n);
  await place.value('x').set('\u2028 caf\u00e9');
  await place.client.put('inner/k', Buffer.of(0xff));
  await coordinator.client.put(`${name}/other`, 'outside');
  return name;
}

function fileFor(text: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'etcd-recipes-test-'));
  etcd.defer(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'export.jsonl');
  writeFileSync(file, text);
  return file;
}

const from = (file: string): { readonly under: readonly string[] } => ({
  under: ['sh', '-c', 'exec "$@" < "$0"', file],
});

it('ns list shows recipes and what else there is, as text and as lines of JSON', async () => {
  const name = await tenant();
  const run = cli(['ns', 'list', `${name}/a/`]);
  expect(await run.ended).toBe(0);
  const rows = run.stdout
    .trimEnd()
    .split('\n')
    .map((row) => row.split(/ +/));
  expect(rows).toEqual([
    ['counter', '1', 'visits'],
    ['-', '1', 'inner/'],
    ['value', '1', 'x'],
  ]);
  const json = cli(['ns', 'list', '--namespace', `${name}/`, '--json']);
  expect(await json.ended).toBe(0);
  expect(
    json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { kind: null, name: 'a/', keys: 3 },
    { kind: null, name: 'other', keys: 1 },
  ]);
});

it('ns usage counts keys and bytes by kind', async () => {
  const name = await tenant();
  const run = cli(['ns', 'usage', `${name}/a/`]);
  expect(await run.ended).toBe(0);
  expect(run.stdout).toMatch(
    /^counter {2}1 keys, 21 bytes\nother {4}1 keys, 8 bytes\nvalue .*\nall {6}3 keys, \d+ bytes\n$/,
  );
  const json = cli(['ns', 'usage', `${name}/a/`, '--json']);
  expect(await json.ended).toBe(0);
  expect(JSON.parse(json.stdout)).toMatchObject({
    keys: 3,
    kinds: { counter: { keys: 1, bytes: 21 } },
  });
});

it('ns export prints what ns import takes, which refuses to replace unless told to', async () => {
  const name = await tenant();
  const exported = cli(['ns', 'export', `${name}/a/`]);
  expect(await exported.ended).toBe(0);
  const file = fileFor(exported.stdout);
  expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toHaveLength(5);
  const imported = cli(['ns', 'import', `${name}/b/`, '--json'], from(file));
  expect(await imported.ended).toBe(0);
  expect(JSON.parse(imported.stdout)).toEqual({ created: 3, replaced: 0, unchanged: 0 });
  const copy = (await etcd.connect()).namespace(`${name}/b/`);
  expect(await copy.value('x').get()).toMatchObject({ value: '\u2028 caf\u00e9' });
  await copy.counter('visits').add(1n);
  const refused = cli(['ns', 'import', `${name}/b/`], from(file));
  expect(await refused.ended).toBe(69);
  expect(refused.stderr).toMatch(/"counter\/visits\/value" is there already/);
  const replaced = cli(['ns', 'import', `${name}/b/`, '--overwrite'], from(file));
  expect(await replaced.ended).toBe(0);
  expect(replaced.stdout).toBe('created    0\nreplaced   1\nunchanged  2\n');
});

it('ns clear deletes what is inside and says how much, and needs to be told where', async () => {
  const name = await tenant();
  const run = cli(['ns', 'clear', `${name}/a/`]);
  expect(await run.ended).toBe(0);
  expect(run.stdout).toBe('cleared  3\n');
  expect(await etcd.count(name)).toBe(1);
  for (const args of [[], [''], ['mutex/']]) {
    expect(await cli(['ns', 'clear', ...args]).ended).toBe(64);
  }
});

it('ns import of what is no export is wrong usage', async () => {
  const run = cli(['ns', 'import', `${etcd.name()}/`], from(fileFor('what\n')));
  expect(await run.ended).toBe(64);
  expect(run.stderr).toMatch(/line 1 must be one of an export/);
});
