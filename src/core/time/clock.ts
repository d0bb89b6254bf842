import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';

/** Where all time comes from, so that a test can put another in its place. */
export interface Clock {
  /** Milliseconds since some fixed moment. Never steps back and never jumps with the wall clock. */
  now(): number;
  /** Milliseconds since 1970, by the clock on the wall: for what people call by date and time, never for order. */
  wall(): number;
  /** Calls `callback` once after `ms`; the function returned takes it back. */
  after(ms: number, callback: () => void): () => void;
  /** Resolves after `ms`; rejects with `signal.reason` as soon as `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Node's monotonic clock and timers. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, signal ? { signal } : {});
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
