import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import { built } from '../support/built.js';
import { useEtcd } from '../support/etcd.js';

vi.setConfig({ testTimeout: 120_000 });

const MAIN = 'examples/demo/main.ts';
const etcd = useEtcd();

const node = async (script: string, ...args: string[]): Promise<string> => {
  const { stdout } = await promisify(execFile)(process.execPath, [built(script), ...args]);
  return stdout;
};

interface Process {
  readonly pid: number;
  readonly parent: number;
}

const processes = async (): Promise<Process[]> => {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,stat=']);
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  return rows
    .filter(([, , state]) => !state?.startsWith('Z'))
    .map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }));
};

describe('the demo', () => {
  it.each([
    ['in its own process', [], 'the in-process etcd at http://127.0.0.1:'],
    ['it starts', ['--engine', 'etcd'], 'etcd 3.'],
  ])(
    'loses no guarded update while holders are killed and stopped, on an etcd %s',
    async (_, options, etcdName) => {
      const said = await node(MAIN, '--seconds', '4', ...options);
      expect(said).toContain(`1 lock, ${etcdName}`);
      expect(said).toMatch(/^lost updates +0 +[1-9]/m);
      expect(said).toMatch(/SIGKILL w\d while it holds the lock/);
      expect(said).toMatch(/its late guarded write is refused/);
      expect(said).toMatch(/its late plain write is acknowledged/);
      expect(said.match(/^✔/gm)).toHaveLength(7);
    },
  );

  it('does the same on a cluster that is given, and leaves no key there', async () => {
    const said = await node(MAIN, '--seconds', '4', '--endpoints', etcd.endpoint);
    expect(said).toMatch(/^lost updates +0 +[1-9]/m);
    expect(said.match(/^✔/gm)).toHaveLength(7);
    expect(await etcd.count('demo-')).toBe(0);
  });

  it.for([
    // Four workers, and who wakes the one that is stopped; a real etcd, and who cleans up after it.
    ['SIGTERM', 'in-process', 5],
    ['SIGKILL', 'in-process', 5],
    ['SIGTERM', 'etcd', 7],
    ['SIGKILL', 'etcd', 7],
  ] as const)(
    'leaves no process behind when it gets a %s while a worker is stopped, on the engine %s',
    async ([signal, engine, count]) => {
      const args = [built(MAIN), '--seconds', '1', '--engine', engine];
      const demo = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
      const ended = once(demo, 'exit');
      for await (const line of createInterface(demo.stdout)) {
        if (line.includes('SIGSTOP')) break;
      }
      const started = (await processes()).filter(({ parent }) => parent === demo.pid);
      expect(started.length).toBeGreaterThanOrEqual(count);
      demo.kill(signal);
      await ended;
      const left = async (): Promise<Process[]> =>
        (await processes()).filter(({ pid }) => started.some((one) => one.pid === pid));
      await vi.waitFor(async () => expect(await left()).toEqual([]), 60_000);
    },
  );

  it('is not told to start an etcd and to use another', async () => {
    const both = node(MAIN, '--engine', 'etcd', '--endpoints', etcd.endpoint);
    await expect(both).rejects.toThrow("cannot be used with option '--engine <engine>'");
  });
});

describe('the examples', () => {
  it('take a lock in three ways', async () => {
    const said = await node('examples/mutex.ts', etcd.endpoint);
    expect(said).toMatch(/^ran with token \d+\nheld: true, second: not granted\nreleased: true\n$/);
  });

  it('elect leaders', async () => {
    const said = await node('examples/election.ts', etcd.endpoint);
    expect(said).toBe(
      'leads: nobody\nleads: a\nleads: a, busy\nnext: b, c\ntransferred: true\nleads: c\nleads: b\nleads: nobody\nleads: d\n',
    );
  });

  it('give up waiting', async () => {
    const said = await node('examples/with-timeout.ts', etcd.endpoint);
    expect(said).toBe(
      'gave up: mutex examples/with-timeout: not granted within 200 ms\ngave up: the program ends\nstill held by us: true\n',
    );
  });

  it('inject a session', async () => {
    expect(await node('examples/inject.ts', etcd.endpoint)).toMatch(
      /^open: written under token \d+\n$/,
    );
  });
});
