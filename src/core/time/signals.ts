import { setMaxListeners } from 'node:events';
import { Ring } from '../events/ring.js';
import { WaitTimeoutError } from '../store/errors.js';
import { ending, milliseconds } from '../validate.js';
import type { Clock } from './clock.js';

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

/** Who is told of a signal's end, and how to take our one listener back from it. */
interface Audience {
  readonly listeners: Ring<() => void>;
  readonly leave: () => void;
}

const audiences = new WeakMap<AbortSignal, Audience>();
const nothing = (): void => {};

/** Calls `listener` once when `signal` aborts, or now if it has. The function returned takes it back. */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (!signal) return nothing;
  if (signal.aborted) {
    listener();
    return nothing;
  }
  const { listeners, leave } = audiences.get(signal) ?? newAudience(signal);
  const remove = listeners.add(listener);
  return () => {
    if (remove() && listeners.isEmpty) leave();
  };
}

/**
 * One signal may end many calls, such as that of a whole program, and `EventTarget` compares each listener that comes with
 * all that are there: so one of ours stands for all of them. It does not stay.
 */
function newAudience(signal: AbortSignal): Audience {
  const listeners = new Ring<() => void>();
  const tell = (): void => {
    listeners.forEach((listener) => listener());
  };
  const leave = (): void => {
    audiences.delete(signal);
    signal.removeEventListener('abort', tell);
  };
  setMaxListeners(0, signal);
  signal.addEventListener('abort', tell, { once: true });
  const audience = { listeners, leave };
  audiences.set(signal, audience);
  return audience;
}

/** The outcome of `promise`, unless `signal` aborts first: then rejects with its reason. The promise itself goes on. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const release = onAbort(signal, () => reject(signal.reason as Error));
    // As cheap as can be: every commit of a recipe comes through here.
    promise.then(
      (value) => {
        release();
        return resolve(value);
      },
      (error: Error) => {
        release();
        return reject(error);
      },
    );
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
 * @throws ArgumentError if one of `wait` is not usable.
 */
export function waitScope(
  wait: WaitOptions,
  life: AbortSignal,
  clock: Clock,
  what?: string,
  since: number = clock.now(),
): WaitScope {
  if (wait.signal === undefined && wait.timeout === undefined)
    return { signal: life, dispose: () => {} };
  const controller = new AbortController();
  const end = (reason: unknown): void => controller.abort(reason);
  return { signal: controller.signal, dispose: onEnd(end, wait, life, clock, what, since) };
}

/**
 * The same for who needs no signal, which is what costs most: calls `end` with the reason; now, if there is one. The function
 * returned lets go of all of them.
 *
 * @throws ArgumentError if one of `wait` is not usable.
 */
export function onEnd(
  end: (reason: unknown) => void,
  { signal, timeout }: WaitOptions,
  life: AbortSignal,
  clock: Clock,
  what?: string,
  since: number = clock.now(),
): () => void {
  ending(signal);
  if (timeout !== undefined) milliseconds('timeout', timeout);
  const stopSignal = onAbort(signal, () => end(signal?.reason));
  const stopLife = onAbort(life, () => end(life.reason));
  let stopTimer = nothing;
  if (timeout !== undefined) {
    const left = timeout - (clock.now() - since);
    stopTimer = clock.after(left, () => end(new WaitTimeoutError(timeout, what)));
  }
  return () => {
    stopSignal();
    stopLife();
    stopTimer();
  };
}
