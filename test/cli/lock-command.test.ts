import { describe, expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import { useEtcd } from '../support/etcd.js';
import { cliOn, keys } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);

describe('a command that runs under a lock', () => {
  it('gives its exit status, and the lock is free again', async () => {
    const name = etcd.name();
    expect(await cli(['lock', name, '--', 'sh', '-c', 'exit 7']).ended).toBe(7);
    expect(await etcd.count(folderOf('mutex', name))).toBe(0);
  });

  it('that a signal ended gives 128 and the number of the signal', async () => {
    expect(await cli(['lock', etcd.name(), '--', 'sh', '-c', 'kill -9 $$']).ended).toBe(137);
  });

  it('gets its arguments as they are, options of our own among them', async () => {
    const args = ['--try', '--', '-x', '', 'two words', '$HOME'];
    const run = cli(['lock', etcd.name(), '--', 'printf', '<%s>', ...args]);
    expect(await run.ended).toBe(0);
    expect(run.stdout).toBe('<--try><--><-x><><two words><$HOME>');
  });

  it.each([
    ['a folder of its own', [], (name: string) => folderOf('mutex', name)],
    ['the line of Go', ['--layout', 'go'], (name: string) => `${name}/`],
    ['a namespace', ['--namespace', 'ns/'], (name: string) => `ns/${folderOf('mutex', name)}`],
  ])('knows its key in etcd, in %s, and its token', async (_, options, folder) => {
    const name = etcd.name();
    const script = 'echo "key=$ETCD_RECIPES_LOCK_KEY token=$ETCD_RECIPES_TOKEN."; sleep 1000';
    const run = cli(['lock', name, ...options, '--', 'sh', '-c', script]);
    const [, key = '', token] = await run.printed(/key=(\S+) token=(\d+)\./);
    expect(key.startsWith(folder(name))).toBe(true);
    const { kvs } = await etcd.admin.read({ key });
    expect(kvs.map(({ createRevision }) => String(createRevision))).toEqual([token]);
  });

  it('waits for its turn', async () => {
    const name = etcd.name();
    const hold = await (await etcd.connect()).mutex(name).acquire();
    const run = cli(['lock', name, '--', 'echo', 'my turn']);
    await keys(etcd, folderOf('mutex', name), 2);
    expect(run.stdout).toBe('');
    await hold.release();
    expect(await run.ended).toBe(0);
    expect(run.stdout).toBe('my turn\n');
  });

  it.each([
    ['is not there', 'no-such-command', 127, 'no-such-command: not found'],
    ['cannot be executed', '/dev/null', 126, '/dev/null: cannot be executed (EACCES)'],
  ])('but %s is told of, and the lock is free again', async (_, command, status, message) => {
    const name = etcd.name();
    const run = cli(['lock', name, '--', command]);
    expect(await run.ended).toBe(status);
    expect(run.stderr).toBe(`etcd-recipes: ${message}\n`);
    expect(await etcd.count(folderOf('mutex', name))).toBe(0);
  });
});

describe('a lock that somebody else holds', () => {
  it.each([
    ['at once with --try', ['--try'], /^etcd-recipes: test-\S+ is not free\n$/],
    [
      'in the end with --wait',
      ['--wait', '50'],
      /^etcd-recipes: mutex .*: not granted within 50 ms\n$/,
    ],
  ])('is given up %s, without running the command or leaving a key', async (_, options, says) => {
    const name = etcd.name();
    await (await etcd.connect()).mutex(name).acquire();
    const run = cli(['lock', name, ...options, '--', 'echo', 'ran']);
    expect(await run.ended).toBe(75);
    expect(run.stdout).toBe('');
    expect(run.stderr).toMatch(says);
    expect(await etcd.count(folderOf('mutex', name))).toBe(1);
  });

  it('is not waited for any longer when our place in the line is deleted', async () => {
    const name = etcd.name();
    const mutex = (await etcd.connect()).mutex(name);
    await mutex.acquire();
    const run = cli(['lock', name, '--', 'echo', 'ran']);
    await keys(etcd, folderOf('mutex', name), 2);
    const [place] = (await mutex.inspect()).waiters;
    await etcd.admin.commit({ success: [{ delete: { key: place?.key ?? '' } }] });
    expect(await run.ended).toBe(69);
    expect(run.stdout).toBe('');
    expect(run.stderr).toMatch(/^etcd-recipes: place in line \S+ is lost \(deleted\)\n$/);
  });
});

describe('a lock without a command', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('is held until %s and then released', async (signal) => {
    const name = etcd.name();
    const run = cli(['lock', name]);
    const [, key = '', token] = await run.printed(/^key +(\S+)\ntoken +(\d+)\n/);
    const [kv] = (await etcd.admin.read({ key })).kvs;
    expect(String(kv?.createRevision)).toBe(token);
    run.signal(signal);
    expect(await run.ended).toBe(0);
    expect(await etcd.count(folderOf('mutex', name))).toBe(0);
  });

  it('is told of as JSON, and its loss by the exit status', async () => {
    const run = cli(['lock', etcd.name(), '--json']);
    const [line] = await run.printed(/.*\n/);
    const { key, token } = JSON.parse(line) as { key: string; token: string };
    expect(token).toMatch(/^\d+$/);
    await etcd.admin.commit({ success: [{ delete: { key } }] });
    expect(await run.ended).toBe(79);
    expect(run.stderr).toBe(`etcd-recipes: ${key} is lost (deleted)\n`);
  });
});
