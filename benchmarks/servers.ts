import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { chown, mkdtemp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { freePorts } from '../src/embed/process/ports.js';

const run = promisify(execFile);

/** A server that other queues keep their jobs in. */
export interface ServerKind {
  /** Such as `Redis 7.0.15`; `undefined` where it is not installed. */
  find(): Promise<string | undefined>;
  /** Starts one with its data below `parent`, with every write on disk before it is answered. */
  start(parent: string): Promise<Server>;
}

/** One that runs, as its owner alone knows. */
interface Server extends AsyncDisposable {
  readonly endpoint: string;
}

/** By what it is called in `scripts/get-queue-servers.ts`. */
export const servers: Readonly<Record<'redis' | 'postgresql', ServerKind>> = {
  redis: {
    async find() {
      const found = await run('redis-server', ['--version']).catch(() => undefined);
      return found && `Redis ${/v=(\S+)/.exec(found.stdout)?.[1]}`;
    },
    async start(parent) {
      const [port] = await freePorts(1);
      const dir = await makeDirectory(parent);
      const place = ['--dir', dir, '--port', `${port}`, '--bind', '127.0.0.1', '--save', ''];
      const durable = ['--appendonly', 'yes', '--appendfsync', 'always'];
      // What it would do at some moment of a long life, and none of the others does in a short one.
      const calm = ['--auto-aof-rewrite-percentage', '0'];
      return await serve(
        'redis-server',
        [...place, ...durable, ...calm],
        dir,
        `redis://127.0.0.1:${port}`,
      );
    },
  },
  postgresql: {
    async find() {
      const bin = await findPostgres();
      const found = bin && (await run(join(bin, 'postgres'), ['--version']));
      return found && `PostgreSQL ${/\) (\S+)/.exec(found.stdout)?.[1]}`;
    },
    async start(parent) {
      const [port] = await freePorts(1);
      const bin = (await findPostgres()) as string;
      const user = await unprivileged();
      const dir = await makeDirectory(parent, user);
      const init = ['-D', dir, '-U', 'bench', '-A', 'trust', '-E', 'UTF8', '--no-locale'];
      await run(join(bin, 'initdb'), init, { ...user, cwd: dir });
      const place = ['-D', dir, '-p', `${port}`, '-k', dir, '-h', '127.0.0.1'];
      const durable = ['-c', 'fsync=on', '-c', 'synchronous_commit=on'];
      const endpoint = `postgres://bench@127.0.0.1:${port}/postgres`;
      return await serve(join(bin, 'postgres'), [...place, ...durable], dir, endpoint, user);
    },
  },
};

interface User {
  readonly uid?: number;
  readonly gid?: number;
}

/** PostgreSQL refuses to run as root. */
async function unprivileged(): Promise<User> {
  if (process.getuid?.() !== 0) return {};
  const id = async (flag: string): Promise<number> =>
    Number((await run('id', [flag, 'postgres'])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}

/** Debian keeps them apart by version, and out of PATH. */
async function findPostgres(): Promise<string | undefined> {
  const debian = '/usr/lib/postgresql';
  const versions = await readdir(debian).catch(() => []);
  const own = versions.toSorted((a, b) => Number(b) - Number(a)).map((v) => join(debian, v, 'bin'));
  const path = process.env['PATH']?.split(':') ?? [];
  return [...own, ...path].find((dir) => existsSync(join(dir, 'initdb')));
}

async function makeDirectory(parent: string, { uid, gid }: User = {}): Promise<string> {
  const dir = await mkdtemp(join(parent, 'etcd-recipes-bench-'));
  if (uid !== undefined && gid !== undefined) await chown(dir, uid, gid);
  return dir;
}

/** Both say the same when they are ready, and end in an orderly way when they are interrupted. */
async function serve(
  program: string,
  args: readonly string[],
  dir: string,
  endpoint: string,
  user: User = {},
): Promise<Server> {
  const child = spawn(program, args, { ...user, cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
  const end = (): void => {
    child.kill('SIGINT');
    rmSync(dir, { recursive: true, force: true });
  };
  process.once('exit', end);
  const exited = once(child, 'exit');
  await Promise.race([
    isReady(child),
    exited.then(() => Promise.reject(new Error(`${program} ended at once`))),
  ]);
  return {
    endpoint,
    async [Symbol.asyncDispose]() {
      child.kill('SIGINT');
      await exited;
      process.off('exit', end);
      end();
    },
  };
}

function isReady({ stdout, stderr }: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    for (const output of [stdout, stderr]) {
      if (!output) continue;
      createInterface(output).on('line', (line) => {
        if (/ready to accept connections/i.test(line)) resolve();
      });
    }
  });
}
