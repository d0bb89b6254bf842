import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const source = fileURLToPath(new URL('../go', import.meta.url));
// Many times what all checks take: some may wait in vain.
const patience = 120_000;

/** The program of `test/e2e/go`, which tries etcd's Go client on a server. */
export interface GoClient {
  /** The names of its checks. */
  readonly checks: readonly string[];
  /** Runs all of them; gives `ok` or why it failed for each check that came to its end. */
  try(endpoint: string): Promise<ReadonlyMap<string, string>>;
  /** Does the same with checks of users, on a server that nobody else uses. */
  tryUsers(endpoint: string): Promise<ReadonlyMap<string, string>>;
  /** Starts a candidate, which takes part in an election with Go's `concurrency.Election`. */
  stand(endpoint: string, election: string): GoProcess;
  /** Starts a process that registers and follows a service, with etcd's own Go packages or go-kit's. */
  discover(endpoint: string, layout: 'go' | 'go-kit', service: string): GoProcess;
  /** Removes the program. */
  remove(): Promise<void>;
}

/** A program in Go that does as it is told. */
export interface GoProcess {
  readonly process: ChildProcess;
  /** What it has said. */
  readonly lines: readonly string[];
  /**
   * Has it do something: `campaign <value>`, `proclaim <value>`, `resign`, `leader`, `observe`; or `register <id> <address>`,
   * `deregister <id>`.
   */
  tell(command: string): void;
}

/**
 * Builds the program. Go's own build cache makes that a matter of a second when it was built before.
 *
 * @throws Error that says what to install, if Go is missing
 */
export async function buildGoClient(): Promise<GoClient> {
  const directory = await mkdtemp(join(tmpdir(), 'go-client-'));
  const program = join(directory, 'go-client');
  const remove = (): Promise<void> => rm(directory, { recursive: true });
  try {
    await run('go', ['build', '-trimpath', '-o', program, '.'], { cwd: source });
    const { stdout } = await run(program, ['-list']);
    return {
      checks: stdout.trim().split('\n'),
      try: async (endpoint) => results(await output(program, endpoint)),
      tryUsers: async (endpoint) => results(await output(program, '-auth', endpoint)),
      stand: (endpoint, election) => launch(program, ['-election', election, endpoint]),
      discover: (endpoint, layout, service) =>
        launch(program, ['-service', service, '-layout', layout, endpoint]),
      remove,
    };
  } catch (error) {
    await remove();
    throw explained(error as NodeJS.ErrnoException);
  }
}

function launch(program: string, args: readonly string[]): GoProcess {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines: string[] = [];
  createInterface(child.stdout).on('line', (line) => lines.push(line));
  return {
    process: child,
    lines,
    tell: (command) => void child.stdin.write(`${command}\n`),
  };
}

function explained(cause: NodeJS.ErrnoException): Error {
  if (cause.code !== 'ENOENT') return cause;
  return new Error('These tests build a program of Go: install Go (https://go.dev/dl).', { cause });
}

/** Checks that fail make the program fail, and then what it printed comes with the error. */
async function output(program: string, ...args: readonly string[]): Promise<string> {
  try {
    return (await run(program, args, { timeout: patience })).stdout;
  } catch (error) {
    const { stdout } = error as { readonly stdout?: string };
    if (!stdout) throw error;
    return stdout;
  }
}

function results(lines: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of lines.split('\n')) {
    const [, name, reason] = /^(?:ok|FAIL) ([^:]+)(?:: (.*))?$/.exec(line) ?? [];
    if (name !== undefined) found.set(name, reason ?? 'ok');
  }
  return found;
}
