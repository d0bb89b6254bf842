import type { RetryBudget } from './balancer-options.js';

/** Whether anything may be tried again: as gRPC throttles retries (proposal A6), for one service. */
export class RetryTokens {
  readonly #most: number;
  readonly #ratio: number;
  #left: number;

  constructor({ tokens = 100, ratio = 0.1 }: RetryBudget) {
    this.#most = tokens;
    this.#ratio = ratio;
    this.#left = tokens;
  }

  /** Whether there are more than half of them. */
  get suffice(): boolean {
    return this.#left > this.#most / 2;
  }

  succeeded(): void {
    this.#left = Math.min(this.#most, this.#left + this.#ratio);
  }

  failed(): void {
    this.#left = Math.max(0, this.#left - 1);
  }
}
