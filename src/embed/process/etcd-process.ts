import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { EtcdStartError } from '../errors.js';
import type { Guard } from './guard.js';
import type { LogTail } from './log-tail.js';

const PATIENCE = 5000;

/** How a member's process ended. */
export interface EtcdExit {
  /** Its exit code, or `null` when a signal ended it. */
  readonly code: number | null;
  /** The signal that ended it, or `null`. */
  readonly signal: NodeJS.Signals | null;
  /** Whether it was asked to end by `stop()`, `kill()` or `restart()`. */
  readonly expected: boolean;
}

/** One run of the etcd binary. It never keeps our process alive, and never outlives it. */
export class EtcdProcess {
  /** Its process id. */
  readonly pid: number;
  /** Resolves when it has ended and its log is complete. */
  readonly exited: Promise<EtcdExit>;
  readonly #child: ChildProcess;
  #ended = false;
  #expected = false;

  private constructor(child: ChildProcess, pid: number, guard: Guard, log: LogTail) {
    this.#child = child;
    this.pid = pid;
    guard.add(pid);
    for (const pipe of [child.stdout, child.stderr] as Socket[]) {
      pipe.setEncoding('utf8').on('data', (chunk: string) => log.push(chunk));
    }
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#ended = true;
        guard.drop(pid);
        resolve({ code, signal, expected: this.#expected });
      });
    });
    this.#keepAlive(false);
  }

  /** Starts etcd in a process group of its own, so that Ctrl-C in a terminal reaches only us. @throws EtcdStartError */
  static spawn(
    path: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    guard: Guard,
    log: LogTail,
  ): EtcdProcess {
    const child = spawn(path, args, { detached: true, env, stdio: ['ignore', 'pipe', 'pipe'] });
    if (child.pid === undefined) {
      child.once('error', (error) => log.push(`${error.message}\n`));
      throw new EtcdStartError(`"${path}" cannot be run: out of processes or open files?`);
    }
    return new EtcdProcess(child, child.pid, guard, log);
  }

  /** Whether it has ended. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Sends a signal; nothing happens when it has ended. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it, by SIGKILL at the latest when 5 s have passed, and waits until it is gone. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<EtcdExit> {
    this.#expected ||= !this.#ended;
    this.#keepAlive(true);
    this.#child.kill(signal);
    // A stopped process notices SIGTERM only when it continues.
    this.#child.kill('SIGCONT');
    const patience = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE);
    try {
      return await this.exited;
    } finally {
      clearTimeout(patience);
    }
  }

  #keepAlive(keep: boolean): void {
    for (const handle of [
      this.#child,
      this.#child.stdout as Socket,
      this.#child.stderr as Socket,
    ]) {
      if (keep) {
        handle.ref();
      } else {
        handle.unref();
      }
    }
  }
}
