import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Kind, Order, Report, Section, Setup } from './messages.js';

const WORKER = fileURLToPath(import.meta.resolve('./worker.js'));
const STDERR_KEPT = 2_000;

interface WorkerEvents {
  ready: [ttl: number];
  lingering: [token: bigint];
  section: [section: Section];
}

/** A worker in a process of its own, as the main process sees it. */
export class WorkerProcess extends EventEmitter<WorkerEvents> {
  readonly name: string;
  readonly pid: number;
  /** Resolves when it has ended and everything it said has been heard. */
  readonly ended: Promise<unknown>;
  readonly #child: ChildProcess;
  #stderr = '';
  #done = false;
  #killed = false;

  constructor(setup: Setup) {
    super();
    this.name = setup.name;
    this.#child = fork(WORKER, [JSON.stringify(setup)], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.pid = this.#child.pid ?? 0;
    this.#child.on('message', (report) => this.#hear(report as Report));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT);
    });
    const ends = ['close', 'disconnect'].map((event) => once(this.#child, event));
    this.ended = Promise.all(ends);
  }

  /** Whether its process is there, be it stopped. */
  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What went wrong with it; `undefined` if it works or ended as it was asked to. */
  get complaint(): string | undefined {
    const { exitCode, signalCode } = this.#child;
    if (this.alive || this.#killed || (exitCode === 0 && this.#done)) return undefined;
    return `${this.name} ended with ${signalCode ?? exitCode} ${this.#stderr.trim()}`.trim();
  }

  /** Resolves with its token when it holds the lock, has read the counter, and has not written it yet. */
  async linger(kind: Kind, signal: AbortSignal): Promise<bigint> {
    this.#tell({ do: 'linger', kind });
    const [token] = (await once(this, 'lingering', { signal })) as [bigint];
    return token;
  }

  /** Lets it go on after `linger`. */
  proceed(): void {
    this.#tell({ do: 'proceed' });
  }

  /** Asks it to finish its section and to end. */
  stop(): void {
    this.#tell({ do: 'stop' });
  }

  /** Ends it here and now, stopped or not. */
  kill(): void {
    this.#killed = true;
    this.#child.kill('SIGKILL');
  }

  #tell(order: Order): void {
    // It may end at any moment; who needs it notices by its silence.
    if (this.#child.connected) this.#child.send(order, () => {});
  }

  #hear(report: Report): void {
    if (report.is === 'section') this.emit('section', report.section);
    else if (report.is === 'lingering') this.emit('lingering', report.token);
    else if (report.is === 'ready') this.emit('ready', report.ttl);
    else this.#done = true;
  }
}
