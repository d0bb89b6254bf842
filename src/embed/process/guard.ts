import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';

// Reads `add <pid>` and `drop <pid>` until the pipe ends, which it also does when we are killed outright.
const SCRIPT = `
pids=
while read -r verb pid; do
  case $verb in
    add) pids="$pids $pid" ;;
    drop)
      rest=
      for p in $pids; do [ "$p" = "$pid" ] || rest="$rest $p"; done
      pids=$rest ;;
  esac
done
for p in $pids; do kill -KILL "$p" 2>/dev/null; done
[ -z "$1" ] || rm -rf -- "$1" 2>/dev/null || { sleep 1; rm -rf -- "$1"; }
`;

/**
 * A small process that outlives ours, however ours ends, for just as long as it takes to kill the processes it was
 * told of and to remove a directory.
 */
export class Guard {
  readonly #child: ChildProcess;
  readonly #pipe: Socket;
  readonly #directory: string | undefined;
  #sealed = false;

  private constructor(child: ChildProcess, directory: string | undefined) {
    this.#child = child;
    this.#directory = directory;
    this.#pipe = child.stdin as Socket;
    // A broken pipe means that somebody killed the guard: then there is nobody left to tell.
    this.#pipe.on('error', () => {});
    this.#pipe.unref();
    child.unref();
  }

  /** Starts a guard; `directory` is what it removes at the end, if anything. */
  static async start(directory: string | undefined): Promise<Guard> {
    const child = spawn('/bin/sh', ['-c', SCRIPT, 'etcd-guard', directory ?? ''], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    await once(child, 'spawn');
    return new Guard(child, directory);
  }

  /** Whether it guards no more; a process started now would be an orphan one day. */
  get sealed(): boolean {
    return this.#sealed;
  }

  /** From now on nothing more may be added. */
  seal(): void {
    this.#sealed = true;
  }

  /** Has the process killed when this one ends. */
  add(pid: number): void {
    this.#pipe.write(`add ${pid}\n`);
  }

  /** Forgets a process that has ended. */
  drop(pid: number): void {
    this.#pipe.write(`drop ${pid}\n`);
  }

  /** Ends the guard, which kills what is left and removes the directory. */
  async close(): Promise<void> {
    this.seal();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.ref();
      const gone = once(this.#child, 'exit');
      this.#pipe.end();
      await gone;
    }
    // For the case that somebody killed the guard.
    if (this.#directory !== undefined) {
      await rm(this.#directory, { recursive: true, force: true });
    }
  }
}
