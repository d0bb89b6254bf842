import type { Clock } from './time/clock.js';
import { abortable, waitScope } from './time/signals.js';

/** Whether somebody is well. `signal` aborts when there is no more time to say so. */
export type HealthCheck = (signal: AbortSignal) => boolean | Promise<boolean>;

/** A health check that is asked again and again. One that throws, or takes longer than it may, has failed. */
export class Health {
  readonly #check: HealthCheck;
  readonly #interval: number;
  readonly #timeout: number;
  readonly #clock: Clock;

  /**
   * @param interval - milliseconds from one answer to the next question
   * @param timeout - milliseconds for an answer
   */
  constructor(check: HealthCheck, interval: number, clock: Clock, timeout: number = interval) {
    this.#check = check;
    this.#interval = interval;
    this.#timeout = timeout;
    this.#clock = clock;
  }

  /** Waits until all is well. @throws the reason of `signal`. */
  async well(signal: AbortSignal): Promise<void> {
    while (!(await this.isWell(signal))) await this.#clock.sleep(this.#interval, signal);
  }

  /** Waits until something is wrong; or until `signal` aborts, without an error. */
  async ill(signal: AbortSignal): Promise<boolean> {
    try {
      do await this.#clock.sleep(this.#interval, signal);
      while (await this.isWell(signal));
      return true;
    } catch {
      return false;
    }
  }

  /** Asks once. @throws the reason of `signal`. */
  async isWell(signal: AbortSignal): Promise<boolean> {
    const scope = waitScope({ timeout: this.#timeout }, signal, this.#clock);
    const answer = async (): Promise<boolean> => this.#check(scope.signal);
    try {
      return await abortable(answer(), scope.signal);
    } catch {
      signal.throwIfAborted();
      return false;
    } finally {
      scope.dispose();
    }
  }
}
