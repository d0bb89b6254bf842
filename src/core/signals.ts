import { setMaxListeners } from 'node:events';
import type { Clock } from './clock.js';
import { WaitTimeoutError } from './errors.js';
import { milliseconds } from './validate.js';

/** The last parameter of everything that waits. */
export interface WaitOptions {
  /** Ends the wait; the call rejects with `signal.reason`, unwrapped. */
  readonly signal?: AbortSignal;
  /** Ends the wait after so many milliseconds with a `WaitTimeoutError`. @defaultValue no limit */
  readonly timeout?: number;
}

const native = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted');

/**
 * An `AbortController` whose signal calls `check` before it claims not to be aborted. Timers are late
 * after the event loop was blocked: this way code that looks at the signal learns of a passed deadline
 * even when it runs before our timer.
 */
export function checkedController(check: () => void): AbortController {
  const controller = new AbortController();
  const { signal } = controller;
  setMaxListeners(0, signal);
  Object.defineProperties(signal, {
    aborted: {
      get: (): boolean => {
        check();
        return native?.get?.call(signal) as boolean;
      },
    },
    throwIfAborted: {
      value: (): void => {
        if (signal.aborted) throw signal.reason;
      },
    },
  });
  return controller;
}

/** Calls `listener` once when `signal` aborts, or now if it has. The function returned takes it back. */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (!signal) return () => {};
  if (signal.aborted) {
    listener();
    return () => {};
  }
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

/** The outcome of `promise`, unless `signal` aborts first: then rejects with its reason. The promise itself goes on. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const release = onAbort(signal, () => reject(signal.reason as Error));
    const settle = async (): Promise<void> => {
      try {
        resolve(await promise);
      } catch (error) {
        reject(error);
      }
      release();
    };
    void settle();
  });
}

/** One signal out of several reasons to stop waiting. `dispose` lets go of all of them. */
export interface WaitScope {
  readonly signal: AbortSignal;
  dispose(): void;
}

/**
 * Joins the caller's signal, the caller's timeout and the end of `life` into one signal. `AbortSignal.any`
 * would keep every wait reachable from a long-lived signal. The wait is for `what`, and began at `since`.
 *
 * @throws ArgumentError if `timeout` is not a duration.
 */
export function waitScope(
  wait: WaitOptions,
  life: AbortSignal,
  clock: Clock,
  what?: string,
  since: number = clock.now(),
): WaitScope {
  if (!wait.signal && wait.timeout === undefined) return { signal: life, dispose: () => {} };
  const { timeout } = wait;
  if (timeout !== undefined) milliseconds('timeout', timeout);
  // One signal may end many waits, such as that of a whole program. Our listeners do not stay.
  if (wait.signal) setMaxListeners(0, wait.signal);
  const controller = new AbortController();
  const stop = [wait.signal, life].map((signal) =>
    onAbort(signal, () => controller.abort(signal?.reason)),
  );
  if (timeout !== undefined) {
    const left = timeout - (clock.now() - since);
    stop.push(clock.after(left, () => controller.abort(new WaitTimeoutError(timeout, what))));
  }
  return {
    signal: controller.signal,
    dispose: () => {
      for (const undo of stop) undo();
    },
  };
}
