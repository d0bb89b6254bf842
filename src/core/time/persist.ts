import { UnavailableError } from '../store/errors.js';
import type { CallOptions } from '../store/store.js';
import { Backoff } from './backoff.js';
import type { Clock } from './clock.js';
import type { Patience } from './patience.js';
import { abortable } from './signals.js';

/** As many members as a cluster usually has: after so many tries all of them were asked. */
const turn = 3;

/**
 * Limit in milliseconds, after so many tries, for the next of what is sent to one member only, where all of them have
 * `timeout`: as short as for calls that the store itself may repeat. What a member takes in before it notices that the leader
 * is gone is never answered.
 */
export function limitAtOneMember(patience: Patience, tries: number, timeout?: number): number {
  return patience.of(Math.floor(tries / turn), timeout);
}

const toAll = (tries: number): number => Math.min(1_000 * 2 ** tries, 8_000);

/**
 * Repeats an operation through outages until it has an answer. For operations that may be applied twice.
 * Each try gets a limit to pass on: short at first, because a silent member is best left for another, and
 * growing, because a whole cluster may be slow. A pause begins with the try. When `signal` aborts, rejects with the reason at once,
 * without waiting for a try on its way.
 *
 * @param limitOf - milliseconds for a try after so many others, each of which is one attempt
 */
export async function persist<T>(
  operation: (limit: CallOptions) => Promise<T>,
  signal: AbortSignal,
  clock: Clock,
  limitOf?: (tries: number) => number,
): Promise<T> {
  let pause: Backoff | undefined;
  for (let tries = 0; ; tries += 1) {
    signal.throwIfAborted();
    const began = clock.now();
    const timeout = (limitOf ?? toAll)(tries);
    try {
      const limit = limitOf ? { timeout, repeated: true } : { timeout };
      return await abortable(operation(limit), signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof UnavailableError)) throw error;
    }
    pause ??= new Backoff();
    await clock.sleep(Math.max(0, began + pause.next() - clock.now()), signal);
  }
}
