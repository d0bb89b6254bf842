import { describe, expect, it, vi } from 'vitest';
import { useEtcd } from '../support/etcd.js';
import { cliOn } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);

describe('semaphore', () => {
  it('runs a command while it holds permits, of which there are so many', async () => {
    const name = etcd.name('semaphore');
    const first = cli(['semaphore', name, '--limit', '3', '--permits', '2']);
    await first.printed(/token {2}\d+/);
    const second = cli(['semaphore', name, '--', 'sh', '-c', 'echo "token $ETCD_RECIPES_TOKEN"']);
    expect(await second.ended).toBe(0);
    expect(second.stdout).toMatch(/^token \d+\n$/);
    expect(await cli(['semaphore', name, '--permits', '2', '--try']).ended).toBe(75);
    const other = cli(['semaphore', name, '--limit', '4', '--try']);
    expect(await other.ended).toBe(69);
    expect(other.stderr).toContain(`semaphore ${name} has 3 permits, not 4`);
    const shown = cli(['inspect', name, '--kind', 'semaphore']);
    expect(await shown.ended).toBe(0);
    expect(shown.stdout).toMatch(/^limit {2}3\nPOSITION {2}AS .*\nholder +2 /);
    first.signal('SIGINT');
    expect(await first.ended).toBe(0);
  });

  it('refuses numbers that are none', async () => {
    for (const option of ['--permits', '--limit']) {
      const run = cli(['semaphore', 'x', option, '0']);
      expect(await run.ended).toBe(64);
      expect(run.stderr).toContain(`${option} must be a whole number from 1`);
    }
  });
});

describe('lock', () => {
  it('has readers beside one another, and a writer alone', async () => {
    const name = etcd.name('read-write-lock');
    const readers = [cli(['lock', name, '--read']), cli(['lock', name, '--read'])];
    for (const reader of readers) await reader.printed(/token {2}\d+/);
    expect(await cli(['lock', name, '--write', '--try']).ended).toBe(75);
    const shown = cli(['inspect', name, '--kind', 'read-write-lock', '--json']);
    expect(await shown.ended).toBe(0);
    const { holders, waiters } = JSON.parse(shown.stdout) as Record<string, { as: string }[]>;
    expect(holders?.map(({ as }) => as)).toEqual(['read', 'read']);
    expect(waiters).toEqual([]);
    for (const reader of readers) reader.signal('SIGINT');
    expect(await Promise.all(readers.map(({ ended }) => ended))).toEqual([0, 0]);
    expect(await cli(['lock', name, '--write', '--', 'true']).ended).toBe(0);
    const both = cli(['lock', name, '--write', '--read']);
    expect(await both.ended).toBe(64);
  });
});

describe('revoke', () => {
  it('asks who holds a lock to give it back', async () => {
    const name = etcd.name('mutex');
    const hold = await (await etcd.connect()).mutex(name).acquire();
    const heard: unknown[] = [];
    hold.onRevokeRequest(({ reason }) => heard.push(reason));
    const run = cli(['revoke', name, '--reason', 'update at 3', '--json']);
    expect(await run.ended).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({ asked: [{ token: String(hold.token) }] });
    await vi.waitFor(() => expect(heard).toEqual(['update at 3']), { timeout: 15_000 });
    expect(hold.lost).toBe(undefined);
  });

  it('takes it with --force, which is written down', async () => {
    const name = etcd.name('mutex');
    const mutex = (await etcd.connect()).mutex(name);
    const hold = await mutex.acquire();
    const run = cli(['revoke', name, '--force']);
    expect(await run.ended).toBe(0);
    expect(run.stdout).toMatch(/\nholder /);
    await vi.waitFor(() => expect(hold.lost).toBe('deleted'), { timeout: 15_000 });
    expect(await mutex.audit()).toMatchObject([{ token: hold.token, reason: 'by hand' }]);
    const none = cli(['revoke', name]);
    expect(await none.ended).toBe(0);
    expect(none.stdout).toBe(`nobody holds ${name}\n`);
  });
});
