import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import { useEtcd } from '../support/etcd.js';
import { cliOn, keys, runs } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);
const loop = 'while :; do sleep 0.05; done';

describe('signals are passed on', () => {
  it('to the command, whose status counts', async () => {
    const traps = ['INT', 'HUP', 'QUIT', 'USR1', 'USR2'];
    const heard = traps.map((trap) => `trap 'echo got ${trap}.' ${trap}`).join('; ');
    const script = `${heard}; trap 'exit 5' TERM; echo ready; ${loop}`;
    const name = etcd.name();
    const run = cli(['lock', name, '--', 'sh', '-c', script]);
    await run.printed('ready');
    for (const trap of traps) {
      run.signal(`SIG${trap}` as NodeJS.Signals);
      await run.printed(`got ${trap}\\.`);
    }
    expect(await etcd.count(folderOf('mutex', name))).toBe(1);
    run.signal('SIGTERM');
    expect(await run.ended).toBe(5);
    expect(await etcd.count(folderOf('mutex', name))).toBe(0);
  });

  it('to descendants of the command too, but not the private ones', async () => {
    const traps = (who: string): string =>
      `trap 'echo ${who} HUP' HUP; trap 'echo ${who} USR1' USR1; echo ${who} ready`;
    const script = `sh -c "${traps('inner')}; ${loop}" & ${traps('outer')}; ${loop}`;
    const run = cli(['lock', etcd.name(), '--', 'sh', '-c', script]);
    await run.printed('inner ready');
    await run.printed('outer ready');
    run.signal('SIGUSR1');
    await run.printed('outer USR1');
    run.signal('SIGHUP');
    await run.printed('inner HUP');
    await run.printed('outer HUP');
    expect(run.stdout).not.toContain('inner USR1');
  });
});

it.each([
  ['in a group of its own', []],
  ['in the foreground', ['--foreground']],
])('a Ctrl-C reaches a command %s once', async (_, options) => {
  const script = `trap 'echo once' INT; trap 'exit 4' TERM; echo ready; ${loop}`;
  const args = ['lock', etcd.name(), ...options, '--', 'sh', '-c', script];
  const run = cli(args, { ownGroup: true });
  await run.printed('ready');
  // What a terminal does.
  process.kill(-(run.process.pid as number), 'SIGINT');
  await run.printed('once');
  run.signal('SIGTERM');
  expect(await run.ended).toBe(4);
  expect(run.stdout).toBe('ready\nonce\n');
});

// Only in a shell with job control can a signal from the terminal stop anything.
it.skipIf(!existsSync('/bin/bash'))('a Ctrl-Z stops neither us nor the command', async () => {
  const script = `trap 'echo on' USR1; echo ready; ${loop}`;
  const run = cli(['lock', etcd.name(), '--', 'sh', '-c', script], {
    ownGroup: true,
    under: ['/bin/bash', '-c', 'set -m; "$@" & echo "job $!."; wait', 'bash'],
  });
  const [, job] = await run.printed(/job (\d+)\./);
  etcd.defer(() => runs(Number(job)) && process.kill(Number(job), 'SIGKILL'));
  await run.printed('ready');
  process.kill(-Number(job), 'SIGTSTP');
  process.kill(Number(job), 'SIGUSR1');
  await run.printed('on');
});

it.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)('%s while waiting in line gives the place up', async (signal, status) => {
  const name = etcd.name();
  const mutex = (await etcd.connect()).mutex(name);
  await mutex.acquire();
  const run = cli(['lock', name, '--', 'echo', 'ran']);
  await keys(etcd, folderOf('mutex', name), 2);
  run.signal(signal);
  expect(await run.ended).toBe(status);
  expect(run.stdout + run.stderr).toBe('');
  const { holder, waiters } = await mutex.inspect();
  expect([holder?.owner?.pid, waiters]).toEqual([process.pid, []]);
});
