import { UnavailableError } from '../store/errors.js';
import type { CallOptions } from '../store/store.js';
import type { Clock } from './clock.js';
import { onAbort } from './signals.js';

/** A call that waits to be sent with others, or for the answer to what it was sent with: within the limits of its caller. */
export class Pending<Reply> {
  /** What the caller gets. */
  readonly reply: Promise<Reply>;
  /** Whether it was sent: from then on nobody knows whether it was applied until there is an answer. */
  sent = false;
  /** Whether the caller has an answer, or has given up. */
  isOver = false;
  readonly #timeout: number;
  readonly #deadline: number;
  readonly #clock: Clock;
  #resolve!: (reply: Reply) => void;
  #reject!: (error: unknown) => void;
  readonly #stopTimer: () => void;
  readonly #stopListening: () => void;

  /** Keeps the caller's limits from here on. The signal is not aborted yet. */
  constructor({ signal }: CallOptions, timeout: number, clock: Clock) {
    this.#timeout = timeout;
    this.#deadline = clock.now() + timeout;
    this.#clock = clock;
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#stopTimer = clock.after(timeout, () => this.#timedOut());
    this.#stopListening = onAbort(signal, () => this.reject(signal?.reason));
  }

  /** Milliseconds that the caller still waits. */
  get left(): number {
    return Math.max(0, this.#deadline - this.#clock.now());
  }

  /** Leaves the caller's limits to the store that it is sent to, which knows more when they end. */
  handOver(): void {
    this.sent = true;
    this.#stopTimer();
    this.#stopListening();
  }

  resolve(reply: Reply): void {
    this.#end();
    this.#resolve(reply);
  }

  reject(error: unknown): void {
    this.#end();
    this.#reject(error);
  }

  #end(): void {
    this.isOver = true;
    this.#stopTimer();
    this.#stopListening();
  }

  #timedOut(): void {
    const message = `no answer within ${this.#timeout} ms`;
    const failure = { endpoint: 'etcd', status: 'DEADLINE_EXCEEDED', message };
    this.reject(new UnavailableError(this.sent ? 'unknown' : 'not-applied', [failure]));
  }
}
