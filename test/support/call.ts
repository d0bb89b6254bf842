import { expect } from 'vitest';
import { isLoss } from '../../src/core/store/errors.js';
import { ConflictError, type Hold, WaitTimeoutError } from '../../src/index.js';

/** A call that may wait, and what has come of it so far. */
export class Call<T> {
  value: T | undefined;
  error: unknown;
  state: 'waiting' | 'done' | 'failed' = 'waiting';
  readonly #controller = new AbortController();

  constructor(run: (options: { readonly signal: AbortSignal }) => Promise<T>) {
    void this.#run(run({ signal: this.#controller.signal }));
  }

  /** Gives it up; it is to reject with `enough`. */
  abort(): void {
    this.#controller.abort(enough);
  }

  async #run(call: Promise<T>): Promise<void> {
    try {
      this.value = await call;
      this.state = 'done';
    } catch (error) {
      this.error = error;
      this.state = 'failed';
    }
  }
}

/** Why a call was given up. */
export const enough: Error = new Error('enough');

/**
 * Has each of those calls wait, or have given what lasts, as claimed, and those who are gone have come to the end that is
 * told; forgets these.
 */
export function checkCalls(
  calls: ReadonlyMap<number, Call<Hold>>,
  claims: readonly (readonly [id: number, isIn: boolean])[],
  gone: Map<number, unknown>,
): void {
  for (const [id, isIn] of claims) {
    const { state, value } = calls.get(id) as Call<Hold>;
    const lasts = value !== undefined && value.remaining() > 0;
    expect([id, state, lasts]).toEqual([id, isIn ? 'done' : 'waiting', isIn]);
  }
  for (const [id, why] of gone) expect([id, endOf(calls.get(id) as Call<Hold>)]).toEqual([id, why]);
  gone.clear();
}

/** How a hold, or the wait for it, came to its end; nothing if it did not. */
function endOf({ value: hold, error }: Call<Hold>): unknown {
  if (error === enough) return 'aborted';
  if (error instanceof WaitTimeoutError) return 'timeout';
  if (error instanceof ConflictError) return 'turned away';
  if (error !== undefined) return whyOf(error);
  return hold?.signal.aborted ? whyOf(hold.signal.reason) : hold?.remaining() === 0 && 'released';
}

function whyOf(error: unknown): unknown {
  return isLoss(error) ? 'lost' : error;
}
