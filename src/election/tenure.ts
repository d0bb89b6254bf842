import { HoldLostError } from '../core/store/errors.js';
import type { Clock } from '../core/time/clock.js';
import { onAbort } from '../core/time/signals.js';
import type { Term } from './term.js';

/** What came of the work of a leader. */
export type Outcome<T> = { readonly result: T } | { readonly error: unknown };

/** How work is told to stop, and what is done if it does not. */
export interface Stopping {
  /** Milliseconds from the loss of the term. */
  readonly stopWithin: number;
  readonly clock: Clock;
  /** Work goes on that long after its term was lost. */
  readonly overrun: (term: Term) => void;
}

/**
 * Does work under a term, and gives the term back when it ends: of a term that is lost when the work had its time to stop.
 *
 * @returns what came of it; `undefined` if the term was lost, and the work has ended for that
 * @throws what `overrun` throws, once the work has ended
 */
export async function serve<T>(
  term: Term,
  work: (term: Term) => Promise<T> | T,
  { stopWithin, clock, overrun }: Stopping,
): Promise<Outcome<T> | undefined> {
  const ended = new AbortController();
  let limited: Promise<void> | undefined;
  const limit = async (): Promise<void> => {
    const hasEnded = await clock.sleep(stopWithin, ended.signal).catch(() => true);
    if (hasEnded) return;
    // Others need not wait for it any longer.
    term.release().catch(() => {});
    overrun(term);
  };
  const stopListening = onAbort(term.signal, () => {
    limited = limit();
    limited.catch(() => {});
  });
  const outcome = await outcomeOf(term, work);
  ended.abort();
  stopListening();
  await limited;
  const wasHeld = await released(term, outcome);
  if ('error' in outcome) return isStop(outcome.error, term) ? undefined : outcome;
  return wasHeld ? outcome : undefined;
}

async function outcomeOf<T>(term: Term, work: (term: Term) => Promise<T> | T): Promise<Outcome<T>> {
  try {
    return { result: await work(term) };
  } catch (error) {
    return { error };
  }
}

/** What the work has thrown comes before what the release may throw. */
async function released(term: Term, outcome: Outcome<unknown>): Promise<boolean> {
  try {
    return await term.release();
  } catch (error) {
    if ('error' in outcome) return false;
    throw error;
  }
}

/** Whether work failed because it was told to stop. */
function isStop(error: unknown, { lost }: Term): boolean {
  if (lost === undefined) return false;
  const { name, cause } = Object(error) as { readonly name?: unknown; readonly cause?: unknown };
  return [error, cause].some((each) => each instanceof HoldLostError) || name === 'AbortError';
}
