import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';

// First comes whom to kill, then a line when that is no longer needed. The pipe ends without it when we are killed.
// The grace is waited for in tenths, so as not to kill a group that got the same number later.
const SCRIPT = `
read -r target || exit 0
read -r ended && exit 0
kill -TERM "$target" 2>/dev/null
for tenth in 1 2 3 4 5 6 7 8 9 10; do
  kill -0 "$target" 2>/dev/null || exit 0
  sleep "$1"
done
kill -KILL "$target" 2>/dev/null
`;

// The command says who it is before it is one: were it for us to tell the guard, we might be killed before. In a subshell, as the
// guard may be gone, and a broken pipe would end whoever writes to it.
const WRAPPER = '(echo "$0$$" >&3); exec "$@" 3>&-';

/**
 * A small shell that ends the command if we are killed before we could: nobody would renew the lease then, and
 * the command would go on while somebody else gets the lock.
 */
export class Guard {
  readonly #shell: ChildProcess;
  readonly #pipe: Writable;

  private constructor(shell: ChildProcess) {
    this.#shell = shell;
    this.#pipe = shell.stdin as Writable;
    // A broken pipe means that somebody killed the guard: then there is nobody left to tell.
    this.#pipe.on('error', () => {});
  }

  /**
   * Starts a guard that leaves `grace` milliseconds between SIGTERM and SIGKILL.
   *
   * @returns `undefined` where there is no `sh`
   */
  static async start(grace: number): Promise<Guard | undefined> {
    const tenth = (grace / 10_000).toFixed(4);
    const shell = spawn('sh', ['-c', SCRIPT, 'etcd-recipes-guard', tenth], {
      cwd: '/',
      // Out of reach of what the terminal sends to us.
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    try {
      await once(shell, 'spawn');
      return new Guard(shell);
    } catch {
      return undefined;
    }
  }

  /** How to run a command that is to be ended if we are killed: with its group, if it leads one. */
  wrap(
    command: readonly string[],
    leads: boolean,
  ): { readonly command: readonly string[]; readonly stdio: readonly (Writable | 'inherit')[] } {
    return {
      command: ['sh', '-c', WRAPPER, leads ? '-' : '', ...command],
      stdio: ['inherit', 'inherit', 'inherit', this.#pipe],
    };
  }

  /** Ends the guard. */
  async close(): Promise<void> {
    if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return;
    const gone = once(this.#shell, 'exit');
    this.#pipe.end('ended\n');
    await gone;
  }
}
