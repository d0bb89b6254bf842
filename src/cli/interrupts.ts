import { EXIT, statusOfSignal } from './exit-codes.js';

const ending: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
const other: readonly NodeJS.Signals[] = ['SIGUSR1', 'SIGUSR2', 'SIGWINCH'];

/** Whether somebody wants us to end. */
export function isEnding(signal: NodeJS.Signals): boolean {
  return ending.includes(signal);
}

/** We were asked to end before there was a command to pass the signal on to. */
export class InterruptedError extends Error {
  /** What came. */
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
    this.name = 'InterruptedError';
    this.signal = signal;
  }
}

/** The status that `work` ends with: what goes on until interrupted ends well so. @throws as `work` */
export async function statusOf(work: Promise<number>, isEndless: boolean): Promise<number> {
  try {
    return await work;
  } catch (error) {
    if (isEndless && error instanceof InterruptedError) return EXIT.done;
    throw error;
  }
}

/** The signals this process gets: an interruption of our own work, or something to pass on to the command. */
export class Interrupts {
  readonly #controller = new AbortController();
  #receiver: ((signal: NodeJS.Signals) => void) | undefined;

  /** Takes the signals over from the system, which would have ended us without cleaning up. */
  constructor() {
    for (const signal of [...ending, ...other]) process.on(signal, () => this.#arrived(signal));
  }

  /** Aborts with an `InterruptedError` when somebody wants us to end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From now on signals go to `receiver`; without one they are ours again. */
  passTo(receiver: ((signal: NodeJS.Signals) => void) | undefined): void {
    this.#receiver = receiver;
  }

  #arrived(signal: NodeJS.Signals): void {
    if (this.#receiver) {
      this.#receiver(signal);
    } else if (isEnding(signal)) {
      // Who asks twice does not want to wait until etcd has confirmed that we are gone.
      if (this.signal.aborted) process.exit(statusOfSignal(signal));
      this.#controller.abort(new InterruptedError(signal));
    }
  }
}
