import { ArgumentError, UnavailableError } from '../../core/store/errors.js';
import { Backoff } from '../../core/time/backoff.js';
import type { Clock } from '../../core/time/clock.js';
import { abortable, waitScope } from '../../core/time/signals.js';
import type { Instance, InstanceSource } from '../instance.js';
import type { RetryBudget } from './balancer-options.js';
import { CallFailedError, type InstanceFailure } from './call-failed-error.js';
import { NoInstanceError } from './no-instance-error.js';
import type { Picked } from './picked.js';
import type { PickOptions } from './policy.js';
import { checkRetryOptions, type RetryOptions } from './retry-options.js';
import { RetryTokens } from './retry-tokens.js';
import { tellBalancing } from './tell-balancing.js';

/** What calls an instance. */
export type Work<T> = (instance: Instance, signal: AbortSignal) => T | Promise<T>;

/** Picks instances. */
interface Picker {
  pick(options: PickOptions): Picked;
}

type Attempt<T> = { readonly value: T } | { readonly error: unknown; readonly isAnswer: boolean };

type Wanted = PickOptions & { readonly avoid: Set<string> };

const never = new AbortController().signal;
const always = (): boolean => true;

/** Calls that go from one instance to the next until one answers. */
export class Retrying {
  readonly #picker: Picker;
  readonly #source: InstanceSource;
  readonly #clock: Clock;
  readonly #tokens: RetryTokens | undefined;
  #isReady = false;

  constructor(picker: Picker, source: InstanceSource, clock: Clock, budget: RetryBudget | false) {
    this.#picker = picker;
    this.#source = source;
    this.#clock = clock;
    if (budget) this.#tokens = new RetryTokens(budget);
  }

  async call<T>(work: Work<T>, options: RetryOptions): Promise<T> {
    if (typeof work !== 'function') throw new ArgumentError('work', 'a function', work);
    checkRetryOptions(options);
    options.signal?.throwIfAborted();
    const scope = waitScope(options, never, this.#clock, 'an answer');
    const failures: InstanceFailure[] = [];
    try {
      return await this.#untilAnswered(work, options, failures, scope.signal);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw failures.length > 0 ? new CallFailedError(failures, error) : error;
    } finally {
      scope.dispose();
    }
  }

  async #untilAnswered<T>(
    work: Work<T>,
    options: RetryOptions,
    failures: InstanceFailure[],
    signal: AbortSignal,
  ): Promise<T> {
    const { key, attempts = 3, wait = 5_000, backoff: { base, cap } = {} } = options;
    const wanted = { avoid: new Set<string>(), ...(key !== undefined && { key }) };
    const backoff = new Backoff(base, cap);
    for (;;) {
      using pick = await this.#next(wanted, wait, signal);
      // What is over is not begun.
      signal.throwIfAborted();
      const attempt = await this.#attempt(work, pick, options, signal);
      if ('value' in attempt) return attempt.value;
      const { instance } = pick;
      const { error, isAnswer } = attempt;
      if (isAnswer) failures.length = 0;
      else failures.push({ instance, error });
      wanted.avoid.add(instance.id);
      signal.throwIfAborted();
      if (isAnswer || failures.length >= attempts) throw error;
      const isExhausted = this.#tokens?.suffice === false;
      tellBalancing(this.#source, isExhausted ? 'exhausted' : 'retried', instance, error);
      if (isExhausted) throw error;
      await this.#clock.sleep(backoff.next(), signal);
    }
  }

  /** What the instance answered, or why it is to be tried elsewhere, unless that is an answer, too. */
  async #attempt<T>(
    work: Work<T>,
    pick: Picked,
    { attemptTimeout: timeout, retryable = always, signal: callers }: RetryOptions,
    signal: AbortSignal,
  ): Promise<Attempt<T>> {
    const { instance } = pick;
    const limit = timeout === undefined ? {} : { timeout };
    const scope = waitScope(limit, signal, this.#clock, `an answer of ${instance.address}`);
    try {
      const answer = (async () => work(instance, scope.signal))();
      const value = await abortable(answer, scope.signal);
      pick.done();
      this.#tokens?.succeeded();
      return { value };
    } catch (thrown) {
      callers?.throwIfAborted();
      const isLate = scope.signal.aborted;
      const error = isLate ? scope.signal.reason : thrown;
      const mayRetry = retryable(error, instance);
      pick.done(isLate || mayRetry ? (error ?? new Error('rejected without a reason')) : undefined);
      if (isLate || mayRetry) this.#tokens?.failed();
      return { error, isAnswer: !mayRetry && !signal.aborted };
    } finally {
      scope.dispose();
    }
  }

  /** An instance; one that failed rather than none. `undefined` if there is none, or it is not known who is there. */
  #pick(wanted: Wanted): Picked | undefined {
    try {
      return this.#picker.pick(wanted);
    } catch (error) {
      if (error instanceof UnavailableError) return undefined;
      if (!(error instanceof NoInstanceError)) throw error;
      if (error.counts.avoided === 0) return undefined;
      wanted.avoid.clear();
      return this.#picker.pick(wanted);
    }
  }

  async #next(wanted: Wanted, wait: number, signal: AbortSignal): Promise<Picked> {
    const mayPick = this.#isReady || !this.#source.watch;
    return (mayPick && this.#pick(wanted)) || this.#awaited(wanted, wait, signal);
  }

  async #awaited(wanted: Wanted, timeout: number, signal: AbortSignal): Promise<Picked> {
    const scope = waitScope({ timeout }, signal, this.#clock);
    try {
      for await (const _ of this.#source.watch?.({ signal: scope.signal }) ?? []) {
        this.#isReady = true;
        const picked = this.#pick(wanted);
        if (picked) return picked;
      }
    } catch (error) {
      if (!scope.signal.aborted) throw error;
    } finally {
      scope.dispose();
    }
    // Says why there was none.
    return this.#picker.pick(wanted);
  }
}
