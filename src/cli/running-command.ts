import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { statusOfSignal } from './exit-codes.js';
import type { Guard } from './guard.js';

/** The command could not be started. */
export class CommandStartError extends Error {
  /** Whether there is no such command, rather than one that cannot be executed. */
  readonly missing: boolean;

  constructor(file: string, cause: NodeJS.ErrnoException) {
    const missing = cause.code === 'ENOENT';
    super(missing ? `${file}: not found` : `${file}: cannot be executed (${cause.code})`, {
      cause,
    });
    this.name = 'CommandStartError';
    this.missing = missing;
  }
}

/** How to run a command. */
export interface RunOptions {
  /** Added to our environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether it stays in our process group and keeps the terminal; otherwise it leads a group of its own. */
  readonly foreground: boolean;
  /** Who ends it if we are killed. @defaultValue nobody */
  readonly guard?: Guard | undefined;
  /** What it gets on standard input. @defaultValue ours */
  readonly input?: string;
}

/**
 * A command on our standard streams. In a group of its own, so that it can be stopped with all its descendants
 * and gets a Ctrl-C once, from us; in the foreground the terminal sends it there too, and we do not.
 */
export class RunningCommand {
  /** Its exit status, or 128+n if signal n ended it. */
  readonly ended: Promise<number>;
  /** Whom to signal to reach all of it, as `kill` takes it. */
  readonly #target: number;
  readonly #child: ChildProcess;
  readonly #foreground: boolean;

  private constructor(child: ChildProcess, foreground: boolean, ended: Promise<number>) {
    this.#child = child;
    this.#foreground = foreground;
    this.ended = ended;
    this.#target = (foreground ? 1 : -1) * (child.pid as number);
  }

  /** @throws CommandStartError */
  static async start(
    given: readonly string[],
    { env, foreground, guard, input }: RunOptions,
  ): Promise<RunningCommand> {
    // Once the shell of a guard runs it, nobody could tell its status from that of the shell.
    if (guard) await checkExecutable(given[0] ?? '');
    const { command, stdio } = guard?.wrap(given, !foreground) ?? {
      command: given,
      stdio: ['inherit', 'inherit', 'inherit'],
    };
    const [file = '', ...args] = command;
    const [stdin, ...others] = stdio;
    const child = spawn(file, args, {
      stdio: [input === undefined ? stdin : 'pipe', ...others] as StdioOptions,
      env: { ...process.env, ...env },
      detached: !foreground,
    });
    const ended = new Promise<number>((resolve) => {
      child.once('exit', (code, signal) =>
        resolve(code ?? statusOfSignal(signal as NodeJS.Signals)),
      );
    });
    try {
      await once(child, 'spawn');
    } catch (error) {
      throw new CommandStartError(file, error as NodeJS.ErrnoException);
    }
    // It may end without having read it.
    child.stdin?.on('error', () => {}).end(input);
    return new RunningCommand(child, foreground, ended);
  }

  /** Passes on a signal that we got. */
  pass(signal: NodeJS.Signals): void {
    if (this.#foreground) {
      const fromTerminal = ['SIGINT', 'SIGQUIT', 'SIGWINCH'].includes(signal);
      if (!fromTerminal) this.#kill(this.#target, signal);
    } else {
      // These are private agreements with the command, and deadly to descendants that know nothing of them.
      const personal = signal === 'SIGUSR1' || signal === 'SIGUSR2';
      this.#kill(personal ? -this.#target : this.#target, signal);
    }
  }

  /** Ends it with SIGTERM, and what is left after `grace` milliseconds with SIGKILL. */
  async stop(grace: number): Promise<void> {
    this.#kill(this.#target, 'SIGTERM');
    const deadline = performance.now() + grace;
    while (this.#kill(this.#target, 0) && performance.now() < deadline) await delay(20);
    this.#kill(this.#target, 'SIGKILL');
    await this.ended;
  }

  /** Whether there was anybody to signal. */
  #kill(target: number, signal: NodeJS.Signals | 0): boolean {
    // Its process ID may be somebody else's by now; that of its group is not while anybody is left in it.
    const ended = this.#child.exitCode !== null || this.#child.signalCode !== null;
    if (ended && target > 0) return false;
    try {
      return process.kill(target, signal);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM';
    }
  }
}

/** @throws CommandStartError if there is no such command, or it cannot be executed. */
async function checkExecutable(file: string): Promise<void> {
  const { PATH = '' } = process.env;
  const places = file.includes('/') ? [file] : PATH.split(delimiter).map((dir) => join(dir, file));
  let failure = Object.assign(new Error('not found'), { code: 'ENOENT' });
  for (const place of places) {
    try {
      await access(place, constants.X_OK);
      if ((await stat(place)).isFile()) return;
      failure.code = 'EACCES';
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EACCES') failure = error as typeof failure;
    }
  }
  throw new CommandStartError(file, failure);
}
