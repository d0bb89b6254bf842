import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Guard } from '../../src/embed/process/guard.js';
import type { Defect } from './defects.js';
import type { Recorder } from './history.js';
import type { Workload } from './workloads/names.js';

/** What every worker is told. */
export interface Setup {
  readonly slot: string;
  readonly name: string;
  readonly endpoints: readonly string[];
  readonly directory: string;
  readonly vault: string;
  readonly ttl: number;
  readonly seed: number;
  /** Operations per second on registers and counters, all loops together. */
  readonly rate: number;
  readonly transport: 'http2' | 'grpc';
  readonly defect?: Defect | undefined;
  readonly workloads: readonly Workload[];
}

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url));
const STDERR_KEPT = 4_000;

interface Child {
  readonly name: string;
  readonly child: ChildProcess;
  /** Resolves when it works, or has ended. */
  readonly ready: Promise<unknown>;
}

/** The worker processes; one that was killed is replaced. */
export class Crew {
  readonly #setup: Omit<Setup, 'name' | 'slot' | 'endpoints'>;
  readonly #endpoints: readonly string[];
  readonly #recorder: Recorder;
  readonly #guard: Guard;
  readonly #children = new Map<string, Child>();
  readonly #killed = new Set<number>();
  readonly #incarnations = new Map<string, number>();
  #finishing = false;

  constructor(
    setup: Omit<Setup, 'name' | 'slot' | 'endpoints'>,
    endpoints: readonly string[],
    recorder: Recorder,
    guard: Guard,
  ) {
    this.#setup = setup;
    this.#endpoints = endpoints;
    this.#recorder = recorder;
    this.#guard = guard;
  }

  /** Starts so many; resolves when all work. */
  async start(count: number): Promise<void> {
    for (let slot = 0; slot < count; slot += 1) this.#spawn(slot);
    await Promise.all([...this.#children.values()].map(({ ready }) => ready));
  }

  /** Names and process IDs of those that live. */
  get alive(): { name: string; pid: number }[] {
    return [...this.#children.values()].flatMap(({ name, child }) =>
      child.pid !== undefined && child.exitCode === null && child.signalCode === null
        ? [{ name, pid: child.pid }]
        : [],
    );
  }

  kill(pid: number): void {
    this.#killed.add(pid);
    this.#signal(pid, 'SIGKILL');
  }

  /** Stops a process; when it stood still is in the history, whatever that was for. */
  pause(pid: number): void {
    this.#recorder.write({ f: 'stopped', e: 'info', target: this.#nameOf(pid) });
    this.#signal(pid, 'SIGSTOP');
  }

  resume(pid: number): void {
    this.#signal(pid, 'SIGCONT');
    this.#recorder.write({ f: 'continued', e: 'info', target: this.#nameOf(pid) });
  }

  /** Has all end in order, once they have seen what was written up to `revision`; says who did not. */
  async finish(revision: number, within: number): Promise<string[]> {
    this.#finishing = true;
    const ends = [...this.#children.values()].map(async ({ child, ready }) => {
      await ready;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      if (child.connected) child.send({ finish: revision }, () => {});
      await exit;
    });
    await Promise.race([Promise.all(ends), sleep(within, undefined, { ref: false })]);
    const stuck = this.alive.map(({ name }) => name);
    for (const name of stuck) {
      this.#recorder.write({ f: 'died', e: 'info', target: name, reason: 'did not finish' });
    }
    await this.end();
    return stuck;
  }

  /** Ends all at once. */
  async end(): Promise<void> {
    this.#finishing = true;
    const ends = [...this.#children.values()].map(async ({ child }) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      this.kill(child.pid ?? 0);
      await exit;
    });
    await Promise.all(ends);
  }

  #nameOf(pid: number): string {
    return [...this.#children.values()].find(({ child }) => child.pid === pid)?.name ?? '';
  }

  #signal(pid: number, signal: NodeJS.Signals): void {
    for (const { child } of this.#children.values()) if (child.pid === pid) child.kill(signal);
  }

  #spawn(index: number): void {
    const slot = `w${index + 1}`;
    const incarnation = (this.#incarnations.get(slot) ?? 0) + 1;
    this.#incarnations.set(slot, incarnation);
    const name = `${slot}.${incarnation}`;
    const { length } = this.#endpoints;
    // Each prefers another member.
    const endpoints = this.#endpoints.map((_, i) => this.#endpoints[(index + i) % length]);
    const setup = { ...this.#setup, slot, name, endpoints };
    const child = fork(WORKER, [JSON.stringify(setup)], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    const pid = child.pid ?? 0;
    this.#guard.add(pid);
    const begun = [once(child, 'message'), once(child, 'exit')];
    this.#children.set(slot, { name, child, ready: Promise.race(begun) });
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      stderr = (stderr + chunk).slice(-STDERR_KEPT);
    });
    child.once('exit', (code, signal) => {
      this.#guard.drop(pid);
      const asked = this.#killed.has(pid) || (this.#finishing && code === 0);
      if (!asked) {
        const reason = `ended with ${signal ?? code}: ${stderr.trim()}`;
        this.#recorder.write({ f: 'died', e: 'info', target: name, reason });
      }
      if (!this.#finishing) this.#spawn(index);
    });
  }
}
