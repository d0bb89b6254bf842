import type { Clock } from './clock.js';

/** Who wants to know of standstills. */
export interface StandstillKeeper {
  /** Whether there is anything to lose. */
  matters(): boolean;
  /** It stood still for at least so many milliseconds; never less than the limit. */
  stalled(ms: number): void;
}

/**
 * Notices that the event loop stood still, by a timer that comes too late. It ticks every `limit` milliseconds, only
 * while there is something to lose: a standstill of twice the limit is noticed for sure, a shorter one by chance.
 */
export class Standstill {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #keeper: StandstillKeeper;
  #stop: (() => void) | undefined;

  constructor(clock: Clock, limit: number, keeper: StandstillKeeper) {
    this.#clock = clock;
    this.#limit = limit;
    this.#keeper = keeper;
  }

  /** Looks for standstills, for as long as they matter. */
  watch(): void {
    if (this.#stop) return;
    const due = this.#clock.now() + this.#limit;
    this.#stop = this.#clock.after(this.#limit, () => {
      this.#stop = undefined;
      const late = this.#clock.now() - due;
      if (late >= this.#limit) this.#keeper.stalled(late);
      if (this.#keeper.matters()) this.watch();
    });
  }

  /** Looks no more. */
  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}
