import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
/** No measurement takes so long: something hangs. */
const patience = 15 * 60_000;

/** The programs that measure, each run a process of its own. */
export interface Programs {
  /** Runs a task of `workers/worker.ts`, with flags for Node if need be. */
  ours<T>(task: string, parameters: object, flags?: readonly string[]): Promise<T>;
  /** Hosts so many in-process servers in one process while `work` is done with their endpoints. */
  serving<T>(servers: number, work: (endpoints: readonly string[]) => Promise<T>): Promise<T>;
  /** Runs a task of `peers/go`; `undefined` where Go is not installed. */
  readonly go: (<T>(task: string, flags: GoFlags) => Promise<T>) | undefined;
  /** As `go version` has it. */
  readonly goVersion: string | undefined;
}

/** Flags of the Go program, without the dash. */
type GoFlags = Readonly<Record<string, string | number>>;

/** Builds all programs inside `dir`. */
export async function buildPrograms(dir: string): Promise<Programs> {
  const [worker, goVersion] = await Promise.all([compileWorker(dir), findGo()]);
  const peer = goVersion && (await buildPeer(dir));
  return {
    ours: (task, parameters, flags = []) =>
      report(process.execPath, [...flags, worker, task, JSON.stringify(parameters)]),
    serving: (servers, work) => serving(worker, servers, work),
    go: peer ? (task, flags) => report(peer, goArguments(task, flags)) : undefined,
    goVersion,
  };
}

/**
 * Compiles the worker with what it imports, as a release is compiled: tsx would wrap every function that is made
 * at run time, to keep its name, and that would be measured too.
 */
async function compileWorker(dir: string): Promise<string> {
  const outDir = join(dir, 'js');
  await mkdir(outDir);
  await symlink(join(root, 'node_modules'), join(dir, 'node_modules'));
  await writeFile(join(dir, 'package.json'), JSON.stringify({ type: 'module' }));
  const compilerOptions = { noEmit: false, declaration: false, declarationMap: false };
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      ...compilerOptions,
      isolatedDeclarations: false,
      skipLibCheck: true,
      rootDir: root,
      outDir,
    },
    files: [fileURLToPath(new URL('./workers/worker.ts', import.meta.url))],
    include: [],
  };
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(config));
  const tsc = join(root, 'node_modules/.bin/tsc');
  await run(tsc, ['-p', join(dir, 'tsconfig.json')]).catch(withOutput);
  return join(outDir, 'benchmarks/workers/worker.js');
}

async function findGo(): Promise<string | undefined> {
  const found = await run('go', ['env', 'GOVERSION']).catch(() => undefined);
  return found?.stdout.trim();
}

async function buildPeer(dir: string): Promise<string> {
  const peer = join(dir, 'peer');
  await run('go', ['build', '-C', join(root, 'benchmarks/peers/go'), '-o', peer, '.']);
  return peer;
}

function goArguments(task: string, flags: GoFlags): string[] {
  return ['-task', task, ...Object.entries(flags).map(([name, value]) => `-${name}=${value}`)];
}

async function report<T>(program: string, args: readonly string[]): Promise<T> {
  const { stdout } = await run(program, args, { timeout: patience });
  return JSON.parse(stdout) as T;
}

/** The other process ends with its standard input, and so at the latest with us. */
async function serving<T>(
  worker: string,
  servers: number,
  work: (endpoints: readonly string[]) => Promise<T>,
): Promise<T> {
  const host = spawn(process.execPath, [worker, 'embedServe', JSON.stringify({ servers })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(host, 'exit');
  const died = exited.then(([code]) => {
    throw new Error(`the process that hosts servers ended with ${code}`);
  });
  try {
    const announced = once(createInterface(host.stdout), 'line');
    const [line] = await Promise.race([announced, died]);
    return await Promise.race([work(JSON.parse(line) as string[]), died]);
  } finally {
    died.catch(() => {});
    host.stdin.end();
    await exited;
  }
}

/** The compiler reports on stdout, which an error of `execFile` does not show. */
function withOutput(error: Error & { readonly stdout?: string }): never {
  throw new Error(`${error.message}\n${error.stdout}`, { cause: error });
}
