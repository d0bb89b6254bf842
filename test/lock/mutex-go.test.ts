import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, inject, it, vi } from 'vitest';
import { WaitTimeoutError } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 10 };

/** Runs `etcdctl lock`, which prints its key when it holds the lock. */
function etcdctlLock(name: string): { process: ChildProcess; key: Promise<string> } {
  const child = spawn(inject('etcdctl'), ['--endpoints', etcd.endpoint, 'lock', name], {
    env: { ...process.env, ETCDCTL_API: '3' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  etcd.defer(() => child.kill('SIGKILL'));
  const key = once(child.stdout, 'data').then(([chunk]) => String(chunk).trim());
  return { process: child, key };
}

it('waits for a lock that etcdctl holds', async () => {
  const name = etcd.name();
  const coordinator = await etcd.connect();
  const mutex = coordinator.mutex(name, { layout: 'go' });
  const other = etcdctlLock(name);
  expect(await other.key).toMatch(new RegExp(`^${name}/`));
  expect(await mutex.tryAcquire()).toBe(undefined);
  await expect(mutex.acquire({ timeout: 200 })).rejects.toThrow(WaitTimeoutError);
  const { holder } = await mutex.inspect();
  expect(holder).toMatchObject({ key: await other.key, owner: undefined, age: undefined });
  const waiting = mutex.acquire();
  await vi.waitFor(async () => expect((await mutex.inspect()).waiters.length).toBe(1), patience);
  other.process.kill('SIGTERM');
  const hold = await waiting;
  expect(hold.token).toBeGreaterThan(holder?.token ?? 0n);
  expect(await hold.release()).toBe(true);
});

it('keeps etcdctl waiting while it holds the lock', async () => {
  const name = etcd.name();
  const coordinator = await etcd.connect();
  const mutex = coordinator.mutex(name, { layout: 'go' });
  const hold = await mutex.acquire();
  const other = etcdctlLock(name);
  let granted = false;
  const key = other.key.then((mine) => {
    granted = true;
    return mine;
  });
  await vi.waitFor(async () => expect((await mutex.inspect()).waiters.length).toBe(1), patience);
  await delay(100);
  expect(granted).toBe(false);
  expect(await hold.release()).toBe(true);
  expect(await key).toBe((await mutex.inspect()).holder?.key);
  other.process.kill('SIGTERM');
  await once(other.process, 'exit');
  expect(await (await mutex.acquire()).release()).toBe(true);
});
