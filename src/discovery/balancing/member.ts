import type { Instance } from '../instance.js';

/** An instance, and what a balancer knows of its calls. */
export class Member {
  /** As it was last told. */
  instance: Instance;
  /** Calls that have begun here and not ended. */
  inFlight = 0;
  /** Failures since the last success. */
  failuresInRow = 0;
  /** Calls that ended in the present window, how many of them failed, and until when it lasts. */
  calls = 0;
  failures = 0;
  windowEnd = 0;
  /** By how much the next ejection is to be longer than the first. */
  ejections = 0;
  /** When it may be tried, while it is ejected; and when it last came back. */
  ejectedUntil = 0;
  returnedAt = 0;

  constructor(instance: Instance) {
    this.instance = instance;
  }

  /** Its share against the others'. */
  get weight(): number {
    return this.instance.weight ?? 1;
  }
}
