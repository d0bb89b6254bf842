import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  /** Removes the program. */
  remove(): Promise<void>;
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
      remove,
    };
  } catch (error) {
    await remove();
    throw explained(error as NodeJS.ErrnoException);
  }
}

function explained(cause: NodeJS.ErrnoException): Error {
  if (cause.code !== 'ENOENT') return cause;
  return new Error('These tests build a program of Go: install Go (https://go.dev/dl).', { cause });
}

/** Checks that fail make the program fail, and then what it printed comes with the error. */
async function output(program: string, endpoint: string): Promise<string> {
  try {
    return (await run(program, [endpoint], { timeout: patience })).stdout;
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
