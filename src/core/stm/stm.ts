import {
  ArgumentError,
  ConflictError,
  UnavailableError,
  WaitTimeoutError,
} from '../store/errors.js';
import type { Store } from '../store/store.js';
import type { Clock } from '../time/clock.js';
import { waitScope } from '../time/signals.js';
import { checkAttempts, levelOf, type StmOptions } from './stm-options.js';
import { toRead } from './stm-reads.js';
import { type StmContext, type StmFunction, StmRun } from './stm-run.js';
import { Turns } from './stm-turns.js';

/** So many milliseconds before the wait ends at most, a read that has no answer tells who did not give it. */
const lastWords = 20;

/**
 * Software transactional memory: a function reads and writes, and what it wrote is committed if what it read
 * has not changed; otherwise it runs again, on what the failed commit read. Those of this process that met in
 * conflict take turns from then on, each beginning with what the one before left behind.
 */
export class Stm {
  readonly #context: StmContext;

  constructor(store: Store, clock: Clock, maxOps: number) {
    this.#context = { store, clock, maxOps, turns: new Turns() };
  }

  /** As `Client.stm` says. */
  async run<T>(fn: StmFunction<T>, options: StmOptions = {}): Promise<T> {
    const { isolation, signal, timeout, attempts = 100, prefetch = [] } = options;
    if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn);
    if (!Array.isArray(prefetch)) {
      throw new ArgumentError('prefetch', 'a list of keys and ranges', prefetch);
    }
    const level = levelOf(isolation);
    checkAttempts(attempts);
    const { clock } = this.#context;
    const expected = prefetch.map(toRead);
    const scope = waitScope(options, new AbortController().signal, clock);
    const end = clock.now() + (timeout ?? Infinity);
    const tellAt = end - Math.min(lastWords, (timeout ?? 0) / 10);
    const until = (limit: number): { timeout?: number } =>
      timeout === undefined ? {} : { timeout: Math.max(1, limit - clock.now()) };
    const call = {
      level,
      signal: scope.signal,
      read: () => ({ signal: scope.signal, ...until(tellAt) }),
      commit: () => ({ ...(signal && { signal }), ...until(end) }),
      prefetch: expected,
    };
    try {
      const run = new StmRun(this.#context, call, fn);
      try {
        for (let attempt = 1; ; attempt += 1) {
          const done = await run.attempt();
          if (done) return done.value;
          if (attempt >= attempts) throw stillInConflict(attempt);
          await run.settle();
        }
      } catch (error) {
        const isHarmless = error instanceof UnavailableError && error.outcome === 'not-applied';
        if (timeout === undefined || !isHarmless || clock.now() < tellAt - lastWords) throw error;
        throw new WaitTimeoutError(timeout, 'stm', { cause: error });
      } finally {
        run.leave();
      }
    } finally {
      scope.dispose();
    }
  }
}

function stillInConflict(attempts: number): ConflictError {
  return new ConflictError(`still in conflict with others after ${attempts} attempts`, attempts);
}
