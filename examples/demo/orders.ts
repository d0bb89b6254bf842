import type { Kind, Order, Report } from './messages.js';

const FINISH_WITHIN = 5_000;

/** The worker's end of the line to the main process. */
export class Orders {
  readonly #stop = new AbortController();
  #linger: Kind | undefined;
  #proceed = (): void => {};

  constructor() {
    process.on('message', (order: Order) => this.#obey(order));
    // Without the main process nobody would ever stop us. After `finish` nothing should keep us running.
    process.once('disconnect', () => {
      setTimeout(() => process.exit(1), this.stop.aborted ? FINISH_WITHIN : 0).unref();
    });
  }

  /** Aborts when the worker is to finish. */
  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  /** Tells the main process. */
  report(report: Report): void {
    process.send?.(report);
  }

  /** Says the last words, and lets the process end. */
  finish(): void {
    process.send?.({ is: 'done' } satisfies Report, undefined, undefined, () =>
      process.disconnect(),
    );
  }

  /** If told to linger in a section of this kind: says so, and resolves when told to proceed. */
  async linger(kind: Kind, token: bigint): Promise<void> {
    if (this.#linger !== kind) return;
    this.#linger = undefined;
    const told = new Promise<void>((resolve) => {
      this.#proceed = resolve;
    });
    this.report({ is: 'lingering', token });
    await told;
  }

  #obey(order: Order): void {
    if (order.do === 'linger') this.#linger = order.kind;
    else if (order.do === 'stop') this.#stop.abort();
    if (order.do !== 'linger') this.#proceed();
  }
}
