import { ArgumentError } from '../../core/store/errors.js';
import type { Clock } from '../../core/time/clock.js';
import { milliseconds, nonEmpty, wholeFrom } from '../../core/validate.js';
import type { Instance } from '../instance.js';
import type { PolicyName } from './policy.js';

/**
 * When an instance is not called for a while, because its calls fail: outlier detection, as of Envoy and of gRPC's proposal A50.
 */
export interface EjectionOptions {
  /** After so many failures without a success between them. @defaultValue 5 */
  readonly failuresInRow?: number;
  /** When so large a part of its calls in a window failed, from 0 to 1. @defaultValue 0.85 */
  readonly failureRate?: number;
  /** How many calls must have ended in a window before their rate counts. @defaultValue 50 */
  readonly minCalls?: number;
  /** Milliseconds that a window lasts. @defaultValue 10,000 */
  readonly window?: number;
  /**
   * Milliseconds of the first ejection; each further one lasts as much longer, and each such time without one makes
   * the next shorter again. @defaultValue 30,000
   */
  readonly time?: number;
  /** Milliseconds that an ejection lasts at most. @defaultValue 300,000, or `time` if that is more */
  readonly maxTime?: number;
  /** How large a part of the instances may be ejected at a time, from 0 to 1; never all of them. @defaultValue 0.5 */
  readonly maxEjected?: number;
}

/** How much may be tried again: as in gRPC's proposal A6. */
export interface RetryBudget {
  /** A failed attempt takes one of so many tokens; with half of them or fewer, nothing is tried again. @defaultValue 100 */
  readonly tokens?: number;
  /** How many tokens a successful call brings back. @defaultValue 0.1 */
  readonly ratio?: number;
}

/** Options of a balancer. */
export interface BalancerOptions {
  /** Who is picked. @defaultValue `'least-loaded'` */
  readonly policy?: PolicyName;
  /** Which instances are of interest; asked again when they have changed. @defaultValue all */
  readonly filter?: (instance: Instance) => boolean;
  /** The zone whose instances are preferred. @defaultValue none */
  readonly zone?: string;
  /** How many must be left there to be called; with fewer, all zones are as good. @defaultValue 1 */
  readonly zoneAtLeast?: number;
  /** When an instance is left alone for a while; `false` for never. @defaultValue see there */
  readonly ejection?: EjectionOptions | false;
  /** Keeps `call` from multiplying what an overloaded service has to do; `false` for no limit. @defaultValue see there */
  readonly retryBudget?: RetryBudget | false;
  /** Where time comes from. @defaultValue Node's monotonic clock */
  readonly clock?: Clock;
  /** Numbers from 0 to 1, without 1. @defaultValue `Math.random` */
  readonly random?: () => number;
}

/** @throws ArgumentError if an option is not usable. */
export function checkBalancerOptions(options: BalancerOptions): void {
  const { filter, zone, zoneAtLeast = 1, ejection = {}, retryBudget = {} } = options;
  if (filter !== undefined && typeof filter !== 'function') {
    throw new ArgumentError('filter', 'a function', filter);
  }
  if (zone !== undefined) nonEmpty('zone', zone);
  wholeFrom(1, 'zoneAtLeast', zoneAtLeast);
  if (ejection) checkEjection(ejection);
  if (retryBudget) {
    positive('retryBudget.tokens', retryBudget.tokens ?? 1);
    positive('retryBudget.ratio', retryBudget.ratio ?? 1);
  }
}

function checkEjection(options: EjectionOptions): void {
  wholeFrom(1, 'ejection.failuresInRow', options.failuresInRow ?? 1);
  wholeFrom(1, 'ejection.minCalls', options.minCalls ?? 1);
  part('ejection.failureRate', options.failureRate ?? 1);
  part('ejection.maxEjected', options.maxEjected ?? 1);
  milliseconds('ejection.window', options.window ?? 1, 1);
  milliseconds('ejection.time', options.time ?? 1, 1);
  milliseconds('ejection.maxTime', options.maxTime ?? 1, 1);
}

function part(option: string, value: number): void {
  if (!(typeof value === 'number' && value >= 0 && value <= 1)) {
    throw new ArgumentError(option, 'a number from 0 to 1', value);
  }
}

function positive(option: string, value: number): void {
  if (!(Number.isFinite(value) && value > 0)) {
    throw new ArgumentError(option, 'a number above 0', value);
  }
}
