/** Pauses between tries: exponential with full jitter, so that many clients do not come back in step. */
export class Backoff {
  readonly #base: number;
  readonly #cap: number;
  #tries = 0;

  /** The first pause is at most `base` milliseconds, each later one at most twice that, never above `cap`. */
  constructor(base = 20, cap = 1_000) {
    this.#base = base;
    this.#cap = cap;
  }

  /** The next pause in milliseconds. */
  next(): number {
    const limit = Math.min(this.#cap, this.#base * 2 ** this.#tries);
    this.#tries += 1;
    return Math.random() * limit;
  }

  /** Starts over after a success. */
  reset(): void {
    this.#tries = 0;
  }
}
