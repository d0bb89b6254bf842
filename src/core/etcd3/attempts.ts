import { type EndpointFailure, type Phase, UnavailableError } from '../store/errors.js';
import type { Endpoint } from './endpoint.js';
import { failureOf } from './status.js';

/** What a request does when it is applied: nothing, the same thing however often, or something each time. */
export type Effect = 'none' | 'idempotent' | 'once';

/** What the attempts of one call have come to. */
export class Attempts {
  /** The endpoints of this round. */
  readonly tried: Set<Endpoint> = new Set();
  /** How often all endpoints were tried. */
  round = 0;
  tokensRefused = 0;
  readonly #effect: Effect;
  /** The last word of each endpoint. */
  readonly #failures = new Map<Endpoint, EndpointFailure>();
  #outcome: UnavailableError['outcome'] = 'not-applied';

  constructor(effect: Effect) {
    this.#effect = effect;
  }

  get failed(): boolean {
    return this.#failures.size > 0;
  }

  /** Whether another attempt might do twice what may be done once. */
  get isOver(): boolean {
    return this.#effect === 'once' && this.#outcome === 'unknown';
  }

  /** All endpoints were tried, or somebody was found to be well: then they are in the first round again. */
  beginRound(round: number): void {
    this.round = round;
    this.tried.clear();
  }

  add(endpoint: Endpoint, error: unknown, phase: Phase, maybeApplied: boolean): void {
    this.#failures.set(endpoint, failureOf(endpoint.name, error, phase));
    if (maybeApplied && this.#effect !== 'none') this.#outcome = 'unknown';
  }

  /** What a refusal comes to: an earlier attempt may have been applied all the same. */
  refusedWith(refusal: Error): Error {
    return this.#outcome === 'unknown' ? this.toError(refusal) : refusal;
  }

  toError(cause?: unknown): UnavailableError {
    const options = cause === undefined ? {} : { cause };
    return new UnavailableError(this.#outcome, [...this.#failures.values()], options);
  }
}
