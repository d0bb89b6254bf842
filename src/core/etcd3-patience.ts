/** Rounds of all endpoints before an attempt is given more time. */
const rounds = 2;
const longest = 8_000;

/**
 * How long an attempt may take. As configured, until all endpoints have needed more: a cluster that is slow as a whole
 * is not to be asked again and again for what it is about to answer.
 */
export class Patience {
  readonly #least: number;
  #now: number;

  /** @param least - as configured, in milliseconds */
  constructor(least: number) {
    this.#least = least;
    this.#now = least;
  }

  /** Milliseconds for an attempt of a call that has tried all endpoints `round` times. */
  of(round: number): number {
    return Math.min(this.#now * 2 ** Math.max(0, round - rounds + 1), longest);
  }

  /** An attempt with this limit was answered after so many milliseconds. */
  answered(ms: number, limit: number): void {
    if (ms > this.#now) this.#now = Math.min(limit, longest);
    else if (ms < this.#now / 4) this.#now = Math.max(this.#least, this.#now * 0.9);
  }
}
