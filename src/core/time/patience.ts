const longest = 8_000;

/**
 * How long an attempt may take: as configured, until all endpoints have needed more. A cluster that is slow as a whole is not
 * to be asked again and again for what it is about to answer.
 */
export class Patience {
  readonly #least: number;
  #now: number;

  /** @param least - as configured, in milliseconds */
  constructor(least: number) {
    this.#least = least;
    this.#now = least;
  }

  /**
   * Milliseconds for an attempt of a call that has tried all endpoints `round` times, and has `timeout` for all of them. Who
   * has tried all is in no hurry to leave another. Half the time at most, unless more is needed: a short one would leave none
   * for another endpoint.
   */
  of(round: number, timeout: number = Infinity, wanted?: number): number {
    const patience = wanted ?? (round === 0 ? this.#now : Math.max(this.#now, longest));
    return Math.min(patience, Math.max(timeout / 2, this.needed));
  }

  /** Milliseconds that answers are known to need, all over; 0 while what was configured is enough. Who had less has proven nothing. */
  get needed(): number {
    return this.#now > this.#least ? this.#now : 0;
  }

  /** An attempt with this limit was answered after so many milliseconds. */
  answered(ms: number, limit: number): void {
    if (ms > this.#now) this.#now = Math.max(this.#least, Math.min(2 * ms, limit, longest));
    // What was slow may have been an outage, and not the cluster.
    else if (ms < this.#now / 4) this.#now = Math.max(this.#least, this.#now / 2);
  }
}
