import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { expect, inject, vi } from 'vitest';

/** What a run of etcdctl came to. */
interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** An etcdctl that still runs. */
export interface Running {
  /** What it has printed so far. */
  output(): string;
  /** Waits until what it has printed is, or matches, this. */
  prints(expected: string | RegExp): Promise<void>;
  /** Types a line. */
  type(line: string): void;
  /** Tells it to end, as Ctrl-C would, and waits for it. */
  stop(): Promise<Outcome>;
  /** Ends it without a chance to clean up. */
  kill(): void;
  /** What it comes to when it ends. */
  readonly ended: Promise<Outcome>;
}

/** The etcdctl of the project, on one server. */
export interface Etcdctl {
  /** Whether it is of version 3.<minor> or newer. */
  has(minor: number): boolean;
  /** Runs it and gives what it prints; an error if it fails. */
  readonly run: (...args: readonly string[]) => Promise<string>;
  /** The same with an input. */
  readonly runWith: (input: string, ...args: readonly string[]) => Promise<string>;
  /** Runs it and gives what it comes to. */
  attempt(...args: readonly string[]): Promise<Outcome>;
  /** Runs it, and gives the last line of its error message. It has to fail. */
  readonly refusal: (...args: readonly string[]) => Promise<string>;
  /** Starts it. It is killed by `stopAll` at the latest. */
  start(...args: readonly string[]): Running;
  /** Kills what still runs. */
  stopAll(): void;
}

// Variables that are meant for other runs would be taken as options.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('ETCDCTL_')),
);

/** Gives the etcdctl of the project for a server. */
export function etcdctlFor(endpoint: string): Etcdctl {
  const binary = inject('etcdctl');
  const running = new Set<ChildProcess>();
  const launch = (args: readonly string[]): ChildProcess => {
    const child = spawn(binary, ['--endpoints', endpoint, ...args], { env });
    running.add(child.once('close', () => running.delete(child)));
    // It may end before it has read its input.
    child.stdin?.on('error', () => {});
    return child;
  };
  const attempt = (input: string, args: readonly string[]): Promise<Outcome> => {
    const child = launch(args);
    child.stdin?.end(input);
    return outcome(child);
  };
  const runWith = async (input: string, ...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await attempt(input, args);
    expect({ args, code, stderr: lastLine(stderr) }).toMatchObject({ args, code: 0 });
    return stdout;
  };
  const version = minorVersionOf(binary);
  return {
    has: (minor) => version >= minor,
    run: (...args) => runWith('', ...args),
    runWith,
    attempt: (...args) => attempt('', args),
    refusal: async (...args) => {
      const { code, stdout, stderr } = await attempt('', args);
      expect({ args, code, stdout }).toEqual({ args, code: expect.toSatisfy(Boolean), stdout: '' });
      return lastLine(stderr);
    },
    start: (...args) => follow(launch(args)),
    stopAll: () => {
      for (const child of running) child.kill('SIGKILL');
    },
  };
}

function minorVersionOf(binary: string): number {
  const printed = execFileSync(binary, ['version'], { env, encoding: 'utf8' });
  return Number(/^etcdctl version: 3\.(\d+)\./.exec(printed)?.[1]);
}

function outcome(child: ChildProcess): Promise<Outcome> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

function follow(child: ChildProcess): Running {
  let printed = '';
  const ended = outcome(child);
  child.stdout?.on('data', (chunk: string) => {
    printed += chunk;
  });
  return {
    output: () => printed,
    prints: (expected) =>
      vi.waitFor(
        () => {
          if (typeof expected === 'string') expect(printed).toBe(expected);
          else expect(printed).toMatch(expected);
        },
        { timeout: 15_000, interval: 5 },
      ),
    type: (line) => child.stdin?.write(`${line}\n`),
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
    kill: () => child.kill('SIGKILL'),
    ended,
  };
}

/** Above it there may be what the client logged. */
function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}
