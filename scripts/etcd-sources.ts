import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Puts `etcd` and `etcdctl` of a release line into a directory, or throws an error that says why it cannot. What it
 * is given is an empty directory of its own.
 */
export type EtcdSource = (line: string, into: string) => Promise<void>;

/** The places etcd can come from, in the order they are tried. */
export const SOURCES: Readonly<Record<string, EtcdSource>> = {
  'apt package': fromApt,
  Homebrew: fromHomebrew,
  'Go module': fromGo,
};

const MODULES = fileURLToPath(new URL('etcd-build/', import.meta.url));
const TOOLS = ['etcd', 'etcdctl'];

/** The release lines that can be built here, such as `3.7`, oldest first. */
export function buildableLines(): string[] {
  return readdirSync(MODULES).toSorted((a, b) => minor(a) - minor(b));
}

function minor(line: string): number {
  return Number(line.split('.')[1]);
}

async function fromApt(line: string, into: string): Promise<void> {
  let offers = await aptVersions();
  if (offers.length === 0 && process.getuid?.() === 0) {
    await run('apt-get', ['update', '-q']);
    offers = await aptVersions();
  }
  const version = offers.find((offer) => offer.startsWith(`${line}.`));
  if (version === undefined) {
    throw new Error(
      `it offers ${offers.join(', ') || 'no etcd-server ("apt-get update" may help)'}`,
    );
  }
  const unpacked = join(into, 'unpacked');
  mkdirSync(unpacked);
  const packages = ['etcd-server', 'etcd-client'].map((name) => `${name}=${version}`);
  // Only downloaded and unpacked: needs no root, and starts no service.
  await run('apt-get', ['download', '-q', ...packages], unpacked);
  for (const file of readdirSync(unpacked)) {
    await run('dpkg', ['-x', file, '.'], unpacked);
  }
  for (const tool of TOOLS) {
    renameSync(join(unpacked, 'usr', 'bin', tool), join(into, tool));
  }
  rmSync(unpacked, { recursive: true });
}

async function aptVersions(): Promise<string[]> {
  const offers = await run('apt-cache', ['madison', 'etcd-server']);
  return offers.split('\n').flatMap((offer) => offer.split('|')[1]?.trim() ?? []);
}

async function fromHomebrew(line: string, into: string): Promise<void> {
  const info = JSON.parse(await run('brew', ['info', '--json=v2', 'etcd'])) as {
    readonly formulae: readonly { readonly versions: { readonly stable: string } }[];
  };
  const offered = info.formulae[0]?.versions.stable;
  if (offered?.startsWith(`${line}.`) !== true) {
    throw new Error(`it offers ${offered}`);
  }
  await run('brew', ['install', '--quiet', 'etcd']);
  const prefix = (await run('brew', ['--prefix', 'etcd'])).trim();
  for (const tool of TOOLS) {
    copyFileSync(join(prefix, 'bin', tool), join(into, tool));
  }
}

async function fromGo(line: string, into: string): Promise<void> {
  const module = join(MODULES, line);
  if (!existsSync(module)) {
    throw new Error(`there is a module to build ${buildableLines().join(', ')} only`);
  }
  const flags = ['-trimpath', '-ldflags', '-s -w', '-o', `${into}/`];
  await run('go', ['build', ...flags, './...'], module);
}

/** Runs a command, shows what it says about its progress, and gives what it prints. */
async function run(command: string, args: readonly string[], cwd = '.'): Promise<string> {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const missing = cause.code === 'ENOENT';
      reject(new Error(missing ? `${command} is not installed` : cause.message, { cause }));
    });
    child.once('close', (code) => {
      if (code === 0) {
        resolve(output);
      } else {
        reject(new Error(`"${[command, ...args].join(' ')}" failed with exit code ${code}`));
      }
    });
  });
}
