import { Backoff } from './backoff.js';
import type { Clock } from './clock.js';
import { UnavailableError } from './errors.js';
import { abortable } from './signals.js';
import type { CallOptions } from './store.js';

/**
 * Repeats an operation through outages until it has an answer. For operations that may be applied twice.
 * Each try gets a limit to pass on: short at first, because a silent member is best left for another, and
 * growing, because a whole cluster may be slow. When `signal` aborts, rejects with the reason at once,
 * without waiting for a try on its way.
 */
export async function persist<T>(
  operation: (limit: CallOptions) => Promise<T>,
  signal: AbortSignal,
  clock: Clock,
): Promise<T> {
  const pause = new Backoff();
  for (let timeout = 1_000; ; timeout = Math.min(2 * timeout, 8_000)) {
    signal.throwIfAborted();
    try {
      return await abortable(operation({ timeout }), signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof UnavailableError)) throw error;
    }
    await clock.sleep(pause.next(), signal);
  }
}
