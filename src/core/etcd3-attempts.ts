import { type EndpointFailure, type Phase, UnavailableError } from './errors.js';
import type { Endpoint } from './etcd3-endpoint.js';
import { failureOf } from './etcd3-status.js';

/** What a request does when it is applied: nothing, the same thing however often, or something each time. */
export type Effect = 'none' | 'idempotent' | 'once';

/** What the attempts of one call have come to. */
export class Attempts {
  /** The endpoints of this turn. */
  readonly tried: Set<Endpoint> = new Set();
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

  add(endpoint: Endpoint, error: unknown, phase: Phase, maybeApplied: boolean): void {
    this.#failures.set(endpoint, failureOf(endpoint.name, error, phase));
    if (maybeApplied && this.#effect !== 'none') this.#outcome = 'unknown';
  }

  toError(cause?: unknown): UnavailableError {
    const options = cause === undefined ? {} : { cause };
    return new UnavailableError(this.#outcome, [...this.#failures.values()], options);
  }
}
