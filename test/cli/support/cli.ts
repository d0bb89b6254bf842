import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { expect, vi } from 'vitest';
import { built } from '../../support/built.js';
import type { TestEtcd } from '../../support/etcd.js';

const patience = { timeout: 60_000, interval: 20 };

/** Surroundings of a run of the command. */
export interface CliOptions {
  /** Added to an environment without settings for etcd. `undefined` removes. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Whether it leads a process group, as a shell with a terminal would have it. */
  readonly ownGroup?: boolean;
  /** What starts it: gets its command line as arguments. */
  readonly under?: readonly string[];
}

/** A run of the real command. */
export class Cli {
  readonly process: ChildProcess;
  /** Its exit status; or the signal, if one ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  stdout = '';
  stderr = '';

  constructor(
    args: readonly string[],
    { env = {}, ownGroup = false, under = [] }: CliOptions = {},
  ) {
    const ours = Object.entries(process.env).filter(([name]) => !name.startsWith('ETCDCTL_'));
    const main = built('src/cli/main.ts');
    const [file = '', ...rest] = [...under, process.execPath, main, ...args];
    this.process = spawn(file, rest, {
      env: { ...Object.fromEntries(ours), ...env },
      detached: ownGroup,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = new Promise((resolve) => {
      this.process.once('exit', (status, signal) => {
        // Descendants left behind may keep the pipes open, so their end is not waited for without limit.
        setTimeout(() => resolve(status ?? (signal as NodeJS.Signals)), 1_000).unref();
      });
      this.process.once('close', (status, signal) => resolve(status ?? (signal as NodeJS.Signals)));
    });
  }

  /** Waits until it, or the command it runs, has printed something. */
  async printed(text: string | RegExp): Promise<RegExpExecArray> {
    const pattern = typeof text === 'string' ? new RegExp(text) : text;
    return vi.waitFor(() => {
      const found = pattern.exec(this.stdout);
      if (!found) throw new Error(`no ${pattern} in: ${this.stdout}${this.stderr}`);
      return found;
    }, patience);
  }

  signal(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }
}

/** Runs the command against the etcd of a test; what still runs after the test is killed. */
export function cliOn(etcd: TestEtcd): (args: readonly string[], options?: CliOptions) => Cli {
  return (args, options = {}) => {
    const env = { ETCDCTL_ENDPOINTS: etcd.endpoint, ...options.env };
    const cli = new Cli(args, { ...options, env });
    etcd.defer(async () => {
      cli.signal('SIGKILL');
      await cli.ended;
    });
    return cli;
  };
}

/** Whether a process runs: one that nobody has waited for yet does not. */
export function runs(pid: number): boolean {
  try {
    return !execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).startsWith(
      'Z',
    );
  } catch {
    return false;
  }
}

/** Waits until so many keys begin with `prefix`. */
export async function keys(etcd: TestEtcd, prefix: string, count: number): Promise<void> {
  await vi.waitFor(async () => expect(await etcd.count(prefix)).toBe(count), patience);
}
