import type { HealthCheck } from '../core/health.js';
import { ArgumentError, type LossReason } from '../core/store/errors.js';
import type { WaitOptions } from '../core/time/signals.js';
import { milliseconds, wholeFrom } from '../core/validate.js';
import type { Instance } from './instance.js';
import type { InstanceState } from './service-instance.js';

/** An instance to be registered. */
export interface NewInstance extends Omit<Instance, 'id'> {
  /** As in `Instance`. @defaultValue a new one, as others would have to wait until that of a process that was killed is gone */
  readonly id?: string;
}

/** What is to be changed of an instance; `undefined` for what it is not to be known by any more. */
export type InstancePatch = {
  readonly [Field in Exclude<keyof Instance, 'id'>]?: Instance[Field] | undefined;
};

/** A check by which an instance says itself whether it can be called. */
export interface HealthOptions {
  /** Asked again and again. One that gives `false`, throws, or takes longer than `timeout`, has failed. */
  readonly check: HealthCheck;
  /** Milliseconds from one answer to the next question. @defaultValue 5,000 */
  readonly interval?: number;
  /** Milliseconds for an answer; then `signal` aborts. @defaultValue as `interval` */
  readonly timeout?: number;
  /** So many failures in a row make it unhealthy. @defaultValue 3 */
  readonly failures?: number;
  /** So many successes in a row make it healthy again. @defaultValue 2 */
  readonly successes?: number;
}

/** How to register; `signal` and `timeout` are for the first time only. */
export interface RegisterOptions extends WaitOptions {
  /** Follows a check, which is asked once before anything is registered. @defaultValue none: it is healthy */
  readonly health?: HealthOptions;
}

/** What happens to a registration. */
export interface RegistrationEvents {
  /** It is in etcd again, at this revision, as it was last updated. */
  registered: (event: { readonly revision: bigint }) => void;
  /** It is not in etcd any more: the session's lease was lost, or somebody deleted the key. It is being put back. */
  lost: (event: { readonly reason: LossReason }) => void;
  /** Somebody else has registered under the same ID. It is put back when he has gone. */
  conflict: (event: { readonly key: string }) => void;
  /** It takes work, or does not any more: by `drain` and `resume`, or its health check. Being written. */
  state: (event: { readonly state: InstanceState }) => void;
  /** etcd refuses what is to be written; it is tried again. */
  error: (error: unknown) => void;
}

/** Fills in what is not given. @throws ArgumentError if an option is not usable. */
export function healthTerms(options: HealthOptions): Required<HealthOptions> {
  const { check, interval = 5_000, timeout = interval, failures = 3, successes = 2 } = options;
  if (typeof check !== 'function') throw new ArgumentError('health.check', 'a function', check);
  return {
    check,
    interval: milliseconds('health.interval', interval, 1),
    timeout: milliseconds('health.timeout', timeout, 1),
    failures: wholeFrom(1, 'health.failures', failures),
    successes: wholeFrom(1, 'health.successes', successes),
  };
}
