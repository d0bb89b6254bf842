import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { expect, it, vi } from 'vitest';
import { built } from '../../support/built.js';

vi.setConfig({ testTimeout: 60_000 });

interface Started {
  readonly endpoints: readonly string[];
  readonly dirs: readonly string[];
}

async function run(mode: 'stay' | 'leave'): Promise<{ parent: ChildProcess; started: Started }> {
  const script = built('test/embed/process/support/parent.ts');
  const parent = spawn(process.execPath, [script, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: parent.stdout as NodeJS.ReadableStream });
  const [line] = (await once(lines, 'line')) as [string];
  return { parent, started: JSON.parse(line) as Started };
}

async function listens(endpoint: string): Promise<boolean> {
  const socket = connect(Number(new URL(endpoint).port), '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

const allGone = async ({ endpoints, dirs }: Started): Promise<void> =>
  vi.waitFor(
    async () => {
      expect(await Promise.all(endpoints.map(listens))).toEqual([false, false]);
      expect(dirs.map(existsSync)).toEqual([false, false]);
    },
    { timeout: 30_000, interval: 50 },
  );

it('etcd, even a paused one, and its data are gone after its parent was killed', async () => {
  const { parent, started } = await run('stay');
  expect(await Promise.all(started.endpoints.map(listens))).toEqual([true, true]);
  parent.kill('SIGKILL');
  await allGone(started);
});

it('a parent that forgets to stop etcd still ends, and etcd with it', async () => {
  const { parent, started } = await run('leave');
  const [code] = parent.exitCode === null ? await once(parent, 'exit') : [parent.exitCode];
  expect(code).toBe(0);
  await allGone(started);
});
