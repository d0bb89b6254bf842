import { execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { EtcdStartError } from '../errors.js';

const VERSION_TIMEOUT = 10_000;
const OLDEST_MINOR = 4;

const NOT_FOUND = `etcd was not found. Either
- install it: "apt install etcd-server", "brew install etcd", or a release of https://github.com/etcd-io/etcd;
- or say where it is, in the environment variable ETCD_BIN or the option "binary".`;

/** An `etcd` that was found and asked for its version. */
export interface EtcdBinary {
  /** Absolute path. */
  readonly path: string;
  /** Such as `3.5.30`. */
  readonly version: string;
  /** The 5 of `3.5.30`. */
  readonly minor: number;
}

/**
 * Finds the `etcd` to run: `binary`, else `ETCD_BIN`, else `etcd` in `PATH`.
 * @throws EtcdStartError when there is none, or when it is not etcd 3.4 or a later 3.x
 */
export async function findEtcd(binary?: string): Promise<EtcdBinary> {
  const wanted = binary ?? (process.env['ETCD_BIN'] || undefined);
  const path = locate(wanted ?? 'etcd');
  if (path === undefined) {
    throw new EtcdStartError(
      wanted === undefined ? NOT_FOUND : `"${wanted}" is not an executable file. ${NOT_FOUND}`,
    );
  }
  return identify(path);
}

/** The environment of an etcd: ours without what would configure it, and `extra`. */
export function etcdEnv(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD_'));
  // etcd 3.4 refuses to run on anything but x86-64 unless it is told to.
  const unsupported = process.arch === 'x64' ? {} : { ETCD_UNSUPPORTED_ARCH: process.arch };
  return { ...Object.fromEntries(inherited), ...unsupported, ...extra };
}

function locate(name: string): string | undefined {
  if (name.includes('/')) {
    return isExecutable(name) ? resolve(name) : undefined;
  }
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((directory) => directory !== '')
    .map((directory) => resolve(join(directory, name)))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

async function identify(path: string): Promise<EtcdBinary> {
  const said = await promisify(execFile)(path, ['--version'], {
    env: etcdEnv(),
    timeout: VERSION_TIMEOUT,
    killSignal: 'SIGKILL',
  }).catch((cause: unknown) => {
    throw new EtcdStartError(`"${path} --version" failed: ${String(cause)}`, '', { cause });
  });
  const [, version, major, minor] = /^etcd Version: ((\d+)\.(\d+)\.\S+)/m.exec(said.stdout) ?? [];
  if (version === undefined) {
    throw new EtcdStartError(`"${path}" is not etcd: "--version" says "${firstLine(said.stdout)}"`);
  }
  if (Number(major) !== 3 || Number(minor) < OLDEST_MINOR) {
    throw new EtcdStartError(
      `"${path}" is etcd ${version}; 3.${OLDEST_MINOR} or a later 3.x is needed`,
    );
  }
  return { path, version, minor: Number(minor) };
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0]?.slice(0, 200) ?? '';
}
