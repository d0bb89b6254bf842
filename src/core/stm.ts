import type { Clock } from './clock.js';
import { ArgumentError, ConflictError } from './errors.js';
import { waitScope } from './signals.js';
import { checkAttempts, levelOf, type StmOptions } from './stm-options.js';
import { toRead } from './stm-reads.js';
import { type StmContext, type StmFunction, StmRun } from './stm-run.js';
import { Turns } from './stm-turns.js';
import type { CommitOptions, Store } from './store.js';

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
    const level = levelOf(isolation);
    checkAttempts(attempts);
    const { clock } = this.#context;
    const expected = prefetch.map(toRead);
    const scope = waitScope(options, new AbortController().signal, clock);
    const end = timeout === undefined ? undefined : clock.now() + timeout;
    const commit = (): CommitOptions => ({
      ...(signal && { signal }),
      ...(end !== undefined && { timeout: Math.max(1, end - clock.now()) }),
    });
    const call = { level, signal: scope.signal, commit, prefetch: expected };
    try {
      const run = new StmRun(this.#context, call, fn);
      try {
        for (let attempt = 1; ; attempt += 1) {
          const done = await run.attempt();
          if (done) return done.value;
          if (attempt >= attempts) throw new ConflictError(attempt);
          await run.settle();
        }
      } finally {
        run.leave();
      }
    } finally {
      scope.dispose();
    }
  }
}
