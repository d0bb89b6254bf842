import { setImmediate } from 'node:timers/promises';
import { Mutex } from 'async-mutex';
import { ArgumentError } from '../core/store/errors.js';
import type { Clock } from '../core/time/clock.js';
import { onAbort } from '../core/time/signals.js';
import { type Timed, TimerQueue } from '../core/time/timer-queue.js';
import { longest } from '../core/validate.js';

interface Timer extends Timed {
  readonly callback: () => void;
}

/**
 * A clock that stands still until it is told to go on, so that a test of hours takes milliseconds and always
 * runs the same way. It begins at 0. Give it to whatever takes a `Clock`.
 */
export class VirtualClock implements Clock {
  readonly #timers = new TimerQueue<Timer>();
  readonly #advances = new Mutex();
  #now = 0;

  /** Milliseconds that have passed on this clock. */
  now(): number {
    return this.#now;
  }

  /** The same: on the wall it was the beginning of 1970. */
  wall(): number {
    return this.#now;
  }

  /**
   * Calls `callback` once, in the `advance` that reaches the time `ms` from now; a time that has passed already
   * is reached by the next `advance`, even of 0. The function returned takes it back.
   *
   * @throws ArgumentError if `ms` is `NaN`, or more than Node's timers can count.
   */
  after(ms: number, callback: () => void): () => void {
    // Less than 0 is a deadline that has passed, which Node's timers take too.
    if (!(typeof ms === 'number' && ms <= longest)) {
      throw new ArgumentError('ms', `a number of milliseconds up to ${longest}`, ms);
    }
    const timer = { at: this.#now + Math.max(0, ms), callback, turn: 0, place: 0 };
    this.#timers.add(timer);
    return () => this.#timers.remove(timer);
  }

  /**
   * Resolves when `ms` have passed on this clock; rejects with `signal.reason` as soon as `signal` aborts.
   *
   * @throws ArgumentError as `after`.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.after(ms, () => {
        release();
        resolve();
      });
      const release = onAbort(signal, () => {
        cancel();
        reject(signal?.reason as Error);
      });
    });
  }

  /**
   * Lets `ms` pass: runs what falls due, in order and each at its time, with all that it leads to within this
   * process before the next. Resolves when all of that is done; calls that overlap wait for each other.
   * What is on its way over a network is not waited for, as no clock of ours moves that; nor is work that needs many
   * turns of the event loop, such as telling a watch of a long history.
   *
   * @throws ArgumentError if `ms` is not a number of milliseconds >= 0.
   * @throws what a callback throws; time then stands where that happened.
   */
  async advance(ms: number): Promise<void> {
    checkStep(ms);
    await this.#advances.runExclusive(() => this.#advance(ms));
  }

  /**
   * Lets `ms` pass at once while nothing can run, as when the event loop is blocked or the process is stopped: what
   * fell due meanwhile runs, late, in the next `advance`.
   *
   * @throws ArgumentError if `ms` is not a number of milliseconds >= 0.
   */
  jump(ms: number): void {
    this.#now += checkStep(ms);
  }

  async #advance(ms: number): Promise<void> {
    await settle();
    const end = this.#now + ms;
    for (let { next } = this.#timers; next && next.at <= end; { next } = this.#timers) {
      this.#timers.shift();
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settle();
    }
    this.#now = Math.max(this.#now, end);
  }
}

/**
 * Lets everything run that is ready to. Counting microtasks would tie tests to the number of `await`s in the code
 * they test; whatever their number, all of them run before the event loop turns. The loop turns twice: only the
 * second turn is sure to have had a look at sockets and other handles in between.
 */
async function settle(): Promise<void> {
  await setImmediate();
  await setImmediate();
}

function checkStep(ms: number): number {
  if (!(Number.isFinite(ms) && ms >= 0)) {
    throw new ArgumentError('ms', 'a finite number of milliseconds >= 0', ms);
  }
  return ms;
}
