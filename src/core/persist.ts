import { Backoff } from './backoff.js';
import type { Clock } from './clock.js';
import { UnavailableError } from './errors.js';
import type { Patience } from './etcd3-patience.js';
import { abortable } from './signals.js';
import type { CallOptions } from './store.js';

/** As many members as a cluster usually has: after so many tries all of them were asked. */
const turn = 3;

/**
 * Limit in milliseconds, after so many tries, for the next of what is sent to one member only: as short as for calls that the
 * store itself may repeat. What a member takes in before it notices that the leader is gone is never answered.
 */
export function limitAtOneMember(patience: Patience, tries: number): number {
  return patience.of(Math.floor(tries / turn));
}

const toAll = (tries: number): number => Math.min(1_000 * 2 ** tries, 8_000);

/**
 * Repeats an operation through outages until it has an answer. For operations that may be applied twice.
 * Each try gets a limit to pass on: short at first, because a silent member is best left for another, and
 * growing, because a whole cluster may be slow. When `signal` aborts, rejects with the reason at once,
 * without waiting for a try on its way.
 *
 * @param limitOf - milliseconds for a try after so many others
 */
export async function persist<T>(
  operation: (limit: CallOptions) => Promise<T>,
  signal: AbortSignal,
  clock: Clock,
  limitOf: (tries: number) => number = toAll,
): Promise<T> {
  const pause = new Backoff();
  for (let tries = 0; ; tries += 1) {
    signal.throwIfAborted();
    try {
      return await abortable(operation({ timeout: limitOf(tries) }), signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof UnavailableError)) throw error;
    }
    await clock.sleep(pause.next(), signal);
  }
}
