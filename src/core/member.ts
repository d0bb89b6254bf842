import { setMaxListeners } from 'node:events';
import type { Clock } from './clock.js';
import { UnavailableError } from './errors.js';
import { type Footprint, footprintOf } from './footprint.js';
import { onAbort } from './signals.js';
import type { CommitOptions, Txn, TxnReply } from './store.js';

/** A commit that waits to be sent, or for the answer to what it was sent with. */
export class Member {
  readonly txn: Txn;
  readonly footprint: Footprint;
  readonly options: CommitOptions;
  /** What the caller gets. */
  readonly reply: Promise<TxnReply>;
  /** Whether it was sent: from then on nobody knows whether it was applied until there is an answer. */
  sent = false;
  /** Whether the caller has an answer, or has given up. */
  isOver = false;
  readonly #timeout: number;
  readonly #deadline: number;
  readonly #clock: Clock;
  #resolve!: (reply: TxnReply) => void;
  #reject!: (error: unknown) => void;
  readonly #stopTimer: () => void;
  readonly #stopListening: () => void;

  /**
   * Keeps the caller's limits from here on. The signal is not aborted yet.
   *
   * @throws TypeError if it is no transaction: what is wrong with one is its caller's business alone.
   */
  constructor(txn: Txn, options: CommitOptions, timeout: number, clock: Clock) {
    this.txn = txn;
    this.footprint = footprintOf(txn);
    this.options = options;
    this.#timeout = timeout;
    this.#deadline = clock.now() + timeout;
    this.#clock = clock;
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#stopTimer = clock.after(timeout, () => this.#timedOut());
    const { signal } = options;
    // One signal may end many calls.
    if (signal) setMaxListeners(0, signal);
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

  resolve(reply: TxnReply): void {
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
