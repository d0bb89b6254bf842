import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, inject, it, vi } from 'vitest';
import { WaitTimeoutError } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 10 };
const layout = 'go';

/** Runs `etcdctl elect`, which prints the key and the value of the leader: its own, or with `-l` of all. */
function etcdctlElect(...args: string[]): {
  process: ChildProcess;
  lines: string[];
  out: Interface;
} {
  const child = spawn(inject('etcdctl'), ['--endpoints', etcd.endpoint, 'elect', ...args], {
    env: { ...process.env, ETCDCTL_API: '3' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  etcd.defer(() => child.kill('SIGKILL'));
  const lines: string[] = [];
  const out = createInterface(child.stdout).on('line', (line) => lines.push(line));
  return { process: child, lines, out };
}

it('waits while etcdctl leads, and sees what it says', async () => {
  const name = etcd.name();
  const election = (await etcd.connect()).election(name, { layout });
  const other = etcdctlElect(name, 'from etcdctl');
  await vi.waitFor(() => expect(other.lines.length).toBe(2), patience);
  const leader = await election.leader();
  expect(leader).toMatchObject({ key: other.lines[0], value: 'from etcdctl', owner: undefined });
  expect(await election.tryCampaign('no')).toBe(undefined);
  await expect(election.campaign('no', { timeout: 200 })).rejects.toThrow(WaitTimeoutError);
  const wait = election.campaign('ours');
  await vi.waitFor(async () => {
    expect((await election.inspect()).candidates.length).toBe(1);
  }, patience);
  other.process.kill('SIGTERM');
  const term = await wait;
  expect(term.token).toBeGreaterThan(leader?.token ?? 0n);
  expect(await term.resign()).toBe(true);
});

it('keeps etcdctl waiting while it leads, and is seen by it', async () => {
  const name = etcd.name();
  const election = (await etcd.connect()).election(name, { layout });
  const term = await election.campaign('ours');
  const observer = etcdctlElect('-l', name);
  await vi.waitFor(() => expect(observer.lines).toEqual([term.key, 'ours']), patience);
  await term.proclaim('ours, changed');
  await vi.waitFor(() => expect(observer.lines.at(-1)).toBe('ours, changed'), patience);
  const other = etcdctlElect(name, 'from etcdctl');
  await vi.waitFor(async () => {
    expect((await election.inspect()).candidates.length).toBe(1);
  }, patience);
  await delay(100);
  expect(other.lines).toEqual([]);
  expect(await term.resign()).toBe(true);
  await vi.waitFor(() => expect(other.lines[1]).toBe('from etcdctl'), patience);
  await vi.waitFor(() => expect(observer.lines.at(-1)).toBe('from etcdctl'), patience);
  other.process.kill('SIGTERM');
  await once(other.process, 'exit');
  const next = await election.campaign('again');
  expect(await next.resign()).toBe(true);
});
