import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { EtcdStartError, start } from '../../../src/embed/index.js';
import { findEtcd } from '../../../src/embed/process/binary.js';
import { temporaryDir } from './support/temporary.js';

vi.setConfig({ testTimeout: 60_000 });

function script(text: string): string {
  const path = join(temporaryDir(), 'etcd');
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

const failure = async (starting: Promise<unknown>): Promise<EtcdStartError> => {
  const error = await starting.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(EtcdStartError);
  return error as EtcdStartError;
};

it('a start that etcd refuses rejects with the end of its log', async () => {
  const dir = join(temporaryDir(), 'data');
  const error = await failure(start({ engine: 'etcd', dir, flags: ['--no-such-flag'] }));
  expect(error.code).toBe('ERR_ETCD_START');
  expect(error.log).toContain('no-such-flag');
  expect(error.message).toMatch(
    /etcd "etcd" exited with code \d+ before it was ready[^]*no-such-flag/,
  );
  expect(existsSync(dir) ? readdirSync(dir) : []).toEqual([]);
});

it('a failed start leaves nothing in the directory for temporary files', async () => {
  const temporary = temporaryDir();
  vi.stubEnv('TMPDIR', temporary);
  onTestFinished(() => void vi.unstubAllEnvs());
  await failure(start({ engine: 'etcd', members: 2, flags: ['--no-such-flag'] }));
  await expect(start({ engine: 'etcd', flags: ['--data-dir=/tmp'] })).rejects.toThrow(
    'flags must be',
  );
  expect(readdirSync(temporary)).toEqual([]);
});

it('a start in a given place that is taken says so', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void taken.close());
  await once(taken, 'listening');
  const address = taken.address() as { port: number };
  const listenClientUrls = [`http://127.0.0.1:${address.port}`];
  const error = await failure(start({ engine: 'etcd', listenClientUrls }));
  expect(error.log).toContain('address already in use');
});

it('a start whose free port was taken meanwhile tries another one', async () => {
  const { path } = await findEtcd();
  const taken = join(temporaryDir(), 'taken');
  const binary = script(
    `[ "$1" = --version ] || [ -e ${taken} ] && exec ${path} "$@"
touch ${taken}; echo "bind: address already in use"; exit 1`,
  );
  await using cluster = await start({ engine: 'etcd', binary });
  expect(cluster.members[0]?.state).toBe('running');
});

it('a failed start leaves data alone that was there before', async () => {
  const dir = temporaryDir();
  await (await start({ engine: 'etcd', dir })).stop();
  const kept = readdirSync(dir);
  expect(kept).not.toEqual([]);
  await failure(start({ engine: 'etcd', dir, flags: ['--no-such-flag'] }));
  expect(readdirSync(dir)).toEqual(kept);
});

it('a start that takes too long rejects and leaves no process', async () => {
  const pidFile = join(temporaryDir(), 'pid');
  const binary = script(
    `[ "$1" = --version ] && { echo "etcd Version: 3.5.0"; exit; }
echo waiting; echo $$ > ${pidFile}; exec sleep 600`,
  );
  const error = await failure(start({ engine: 'etcd', binary, startTimeout: 500 }));
  expect(error.message).toContain('not ready within 500 ms');
  expect(error.log).toBe('waiting\n');
  const pid = Number(readFileSync(pidFile, 'utf8'));
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

it('a start can be given up', async () => {
  const binary = script(
    '[ "$1" = --version ] && { echo "etcd Version: 3.5.0"; exit; }; exec sleep 600',
  );
  const reason = new Error('changed my mind');
  const aborter = new AbortController();
  const starting = start({ engine: 'etcd', binary, signal: aborter.signal });
  aborter.abort(reason);
  await expect(starting).rejects.toBe(reason);
  await expect(start({ engine: 'etcd', binary, signal: aborter.signal })).rejects.toBe(reason);
});

it('a binary that is not there, not etcd, or too old is refused', async () => {
  const missing = await failure(start({ engine: 'etcd', binary: '/no/such/etcd' }));
  expect(missing.message).toContain('"/no/such/etcd" is not an executable file');
  expect(missing.message).toContain('ETCD_BIN');
  const other = await failure(start({ engine: 'etcd', binary: 'node' }));
  expect(other.message).toMatch(/node" is not etcd: "--version" says "v\d+/);
  const old = await failure(
    start({ engine: 'etcd', binary: script('echo "etcd Version: 3.3.27"') }),
  );
  expect(old.message).toContain('is etcd 3.3.27; 3.4 or a later 3.x is needed');
  const broken = await failure(start({ engine: 'etcd', binary: script('exit 3') }));
  expect(broken.message).toContain('--version" failed');
});

it('the binary is looked up in ETCD_BIN and then in PATH', async () => {
  onTestFinished(() => void vi.unstubAllEnvs());
  vi.stubEnv('ETCD_BIN', '/no/such/etcd');
  expect((await failure(start({ engine: 'etcd' }))).message).toContain('/no/such/etcd');
  vi.stubEnv('ETCD_BIN', '');
  vi.stubEnv('PATH', temporaryDir());
  expect((await failure(start({ engine: 'etcd' }))).message).toMatch(/^etcd was not found/);
});
