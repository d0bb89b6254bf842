import type { Clock } from '../time/clock.js';
import { milliseconds } from '../validate.js';

/** How long something may be held, whatever its holder does. */
export interface HoldCaps {
  /** It is lost (`max-hold`) after so many milliseconds. @defaultValue no limit */
  readonly maxHold?: number;
  /** It is lost (`idle`) when it was not used for so many milliseconds, by a guarded transaction or `touch`. @defaultValue no limit */
  readonly idle?: number;
}

/** Passes caps or throws. @throws ArgumentError unless they are numbers of milliseconds from 1 */
export function checkCaps({ maxHold, idle }: HoldCaps): void {
  if (maxHold !== undefined) milliseconds('maxHold', maxHold, 1);
  if (idle !== undefined) milliseconds('idle', idle, 1);
}

/** The timers of a hold with caps. */
export class CapTimers {
  readonly #clock: Clock;
  readonly #over: (reason: 'max-hold' | 'idle') => void;
  readonly #caps: HoldCaps;
  readonly #begunAt: number;
  readonly #stopMaxHold: () => void;
  #stopIdle = (): void => {};
  #usedAt: number;

  constructor(clock: Clock, caps: HoldCaps, over: (reason: 'max-hold' | 'idle') => void) {
    const { maxHold, idle } = caps;
    this.#clock = clock;
    this.#over = over;
    this.#stopMaxHold =
      maxHold === undefined ? () => {} : clock.after(maxHold, () => over('max-hold'));
    this.#caps = caps;
    this.#begunAt = this.#usedAt = clock.now();
    if (idle !== undefined) this.#watchIdle(idle, idle);
  }

  /** The timer looks when this was called last: so it costs next to nothing. */
  used(): void {
    this.#usedAt = this.#clock.now();
  }

  /** Milliseconds until it ends, if it is not used. */
  remaining(): number {
    const { maxHold = Infinity, idle = Infinity } = this.#caps;
    const end = Math.min(this.#begunAt + maxHold, this.#usedAt + idle);
    return Math.max(0, end - this.#clock.now());
  }

  /** Has it end now if it should have: timers may be late. */
  check(): void {
    if (this.remaining() > 0) return;
    const { maxHold = Infinity } = this.#caps;
    this.#over(this.#clock.now() - this.#begunAt >= maxHold ? 'max-hold' : 'idle');
  }

  #watchIdle(idle: number, left: number): void {
    this.#stopIdle = this.#clock.after(left, () => {
      const rest = this.#usedAt + idle - this.#clock.now();
      if (rest > 0) this.#watchIdle(idle, rest);
      else this.#over('idle');
    });
  }

  stop(): void {
    this.#stopMaxHold();
    this.#stopIdle();
  }
}
