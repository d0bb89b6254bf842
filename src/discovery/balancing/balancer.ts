import { Emitter } from '../../core/events/emitter.js';
import { ArgumentError } from '../../core/store/errors.js';
import { type Clock, systemClock } from '../../core/time/clock.js';
import type { Instance, InstanceSource } from '../instance.js';
import { type BalancerOptions, checkBalancerOptions } from './balancer-options.js';
import { Ejection } from './ejection.js';
import { Member } from './member.js';
import { NoInstanceError } from './no-instance-error.js';
import { Picked } from './picked.js';
import { type PickOptions, type Policy, policyOf } from './policy.js';
import type { RetryOptions } from './retry-options.js';
import { Retrying, type Work } from './retrying.js';
import { tellBalancing } from './tell-balancing.js';

/** What a balancer tells. */
export interface BalancerEvents {
  /** An instance is not called for so many milliseconds, after this failure. */
  ejected: (instance: Instance, ms: number, error: unknown) => void;
  /** An instance that was ejected has answered a call. */
  returned: (instance: Instance) => void;
}

/**
 * Picks which instance of a service to call. Those that fail are left alone for a while; those with the weight 0 are never picked.
 * It has no timers and nothing to close.
 */
export class Balancer extends Emitter<BalancerEvents> {
  readonly #source: InstanceSource;
  readonly #options: BalancerOptions;
  readonly #ejection: Ejection | undefined;
  readonly #retrying: Retrying;
  /** Those to be preferred, and all. */
  readonly #near: Policy | undefined;
  readonly #far: Policy;
  #instances: readonly Instance[] = [];
  #members: ReadonlyMap<string, Member> = new Map();
  #admitted = 0;

  /**
   * @param source - where the instances are, such as a directory
   * @throws ArgumentError if it is none, or an option is not usable.
   */
  constructor(source: InstanceSource, options: BalancerOptions = {}) {
    super();
    if (typeof source?.instances !== 'function') {
      throw new ArgumentError('source', 'something that has instances', source);
    }
    checkBalancerOptions(options);
    const { policy = 'least-loaded', random = Math.random, clock = systemClock } = options;
    this.#source = source;
    this.#options = options;
    this.#far = policyOf(policy, random);
    if (options.zone !== undefined) this.#near = policyOf(policy, random);
    if (options.ejection !== false) this.#ejection = this.#newEjection(clock);
    this.#retrying = new Retrying(this, source, clock, options.retryBudget ?? {});
  }

  /**
   * An instance to call now. Tell how that ended with `done`, or dispose of the pick.
   *
   * @throws NoInstanceError if there is none.
   * @throws ArgumentError without a `key` where the policy is `sticky`.
   * @throws what the source throws.
   */
  pick(options: PickOptions = {}): Picked {
    this.#update();
    const member = this.#near?.pick(options) ?? this.#far.pick(options);
    if (member) return new Picked(member, this.#ejection, this.#source);
    tellBalancing(this.#source, 'none');
    const [total, eligible] = [this.#instances.length, this.#members.size];
    throw new NoInstanceError({
      total,
      filtered: total - eligible,
      ejected: eligible - this.#admitted,
      avoided: this.#admitted,
    });
  }

  /**
   * Calls instances until one answers: `work` is run with one after the other, each time with a signal that aborts when its
   * answer is not waited for any more. **It may be run several times**: see `retryable`. What it throws that is not
   * retryable is an answer too, and rethrown as it is.
   *
   * @throws CallFailedError if none answered; it lists what each attempt got.
   * @throws NoInstanceError if there was none to try.
   * @throws the reason of `options.signal` when it aborts.
   * @throws ArgumentError if `work` is no function, or an option is not usable.
   */
  call<T>(work: Work<T>, options: RetryOptions = {}): Promise<T> {
    return this.#retrying.call(work, options);
  }

  /** Calls in flight from here, by the ID of the instance. */
  get inFlight(): ReadonlyMap<string, number> {
    return new Map([...this.#members].map(([id, { inFlight }]) => [id, inFlight]));
  }

  #newEjection(clock: Clock): Ejection {
    return new Ejection(this.#options.ejection || {}, clock, {
      ejected: ({ instance }, ms, error) => {
        tellBalancing(this.#source, 'ejected', instance, ms, error);
        this.emit('ejected', instance, ms, error);
      },
      returned: ({ instance }) => {
        tellBalancing(this.#source, 'returned', instance);
        this.emit('returned', instance);
      },
    });
  }

  #update(): void {
    const instances = this.#source.instances();
    if (instances !== this.#instances) {
      this.#members = this.#membersOf(instances);
      // Last: where the filter throws, it is asked again.
      this.#instances = instances;
    } else if (!this.#ejection?.isDue) return;
    const all = [...this.#members.values()];
    const admitted = this.#ejection?.admitted(all) ?? all;
    this.#admitted = admitted.length;
    this.#far.use(admitted);
    if (!this.#near) return;
    const { zone, zoneAtLeast = 1 } = this.#options;
    const near = admitted.filter(({ instance }) => instance.zone === zone);
    this.#near.use(near.length >= zoneAtLeast ? near : []);
  }

  #membersOf(instances: readonly Instance[]): Map<string, Member> {
    const { filter } = this.#options;
    const members = new Map<string, Member>();
    for (const instance of instances) {
      if (!((instance.weight ?? 1) > 0) || (filter && !filter(instance))) continue;
      const member = this.#members.get(instance.id) ?? new Member(instance);
      member.instance = instance;
      members.set(instance.id, member);
    }
    return members;
  }
}
