import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Section, Setup } from './messages.js';
import { WorkerProcess } from './worker-process.js';

const START_WITHIN = 30_000;

/** The workers of a run. */
export class Team {
  /** All there ever were. */
  readonly workers: WorkerProcess[] = [];
  readonly #setup: Omit<Setup, 'name'>;
  readonly #onSection: (section: Section) => void;
  #ttl = 0;

  constructor(setup: Omit<Setup, 'name'>, onSection: (section: Section) => void) {
    this.#setup = setup;
    this.#onSection = onSection;
  }

  /** What etcd granted to their sessions, in milliseconds. */
  get ttl(): number {
    return this.#ttl;
  }

  /** Those whose processes are there. */
  get alive(): WorkerProcess[] {
    return this.workers.filter((worker) => worker.alive);
  }

  /** Starts a worker; it resolves when the worker has its session. */
  async add(signal: AbortSignal): Promise<WorkerProcess> {
    const worker = new WorkerProcess({ ...this.#setup, name: `w${this.workers.length + 1}` });
    this.workers.push(worker);
    worker.on('section', this.#onSection);
    worker.on('ready', (ttl) => {
      this.#ttl = ttl;
    });
    const died = worker.ended.then(() => {
      throw new Error(worker.complaint ?? `${worker.name} ended at its start`);
    });
    const limit = AbortSignal.any([signal, AbortSignal.timeout(START_WITHIN)]);
    await Promise.race([once(worker, 'ready', { signal: limit }), died]);
    return worker;
  }

  /** One of those alive, by chance. */
  pick(): WorkerProcess {
    const { alive } = this;
    const worker = alive[Math.floor(Math.random() * alive.length)];
    if (!worker) throw new Error('no worker is left');
    return worker;
  }

  /** Has all finish within so many milliseconds; says which did not, or ended badly before. */
  async finish(within: number): Promise<string[]> {
    for (const worker of this.alive) worker.stop();
    await Promise.race([this.#allEnded(), sleep(within, undefined, { ref: false })]);
    const stuck = this.alive.map(({ name }) => `${name} did not finish`);
    const complaints = this.workers.flatMap(({ complaint }) => complaint ?? []);
    return [...stuck, ...complaints];
  }

  /** Ends all processes at once, stopped ones too; resolves when they have ended. */
  async kill(): Promise<void> {
    for (const worker of this.alive) worker.kill();
    await this.#allEnded();
  }

  async #allEnded(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.ended));
  }
}
