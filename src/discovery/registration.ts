import { randomUUID } from 'node:crypto';
import { Emitter, type Observed } from '../core/events/emitter.js';
import { Health } from '../core/health.js';
import type { Session } from '../core/session/session.js';
import { StandingKey } from '../core/session/standing-key.js';
import { ArgumentError } from '../core/store/errors.js';
import { wasRefused } from '../core/store/refusals.js';
import { abortable, type WaitOptions, waitScope } from '../core/time/signals.js';
import { nonEmpty, settings } from '../core/validate.js';
import { KeyClaim } from '../namespace/key-claim.js';
import type { Layout } from './layout.js';
import {
  type HealthOptions,
  healthTerms,
  type InstancePatch,
  type NewInstance,
  type RegisterOptions,
  type RegistrationEvents,
} from './registration-options.js';
import {
  checkFields,
  type InstanceFields,
  type InstanceState,
  type ServiceInstance,
} from './service-instance.js';

/**
 * An instance that is registered for as long as this is not closed and the session lives: also after its lease was lost, or
 * somebody deleted its key. What is put back is what it was updated to last.
 */
export class Registration extends Emitter<RegistrationEvents> implements AsyncDisposable {
  readonly #session: Session;
  readonly #layout: Layout;
  readonly #service: string;
  readonly #id: string;
  readonly #key: StandingKey;
  readonly #claim: KeyClaim;
  #fields: InstanceFields;
  /** What etcd has taken, or is to take first. */
  #taken: InstanceFields;
  #isDraining = false;
  #isWell = true;

  private constructor(
    session: Session,
    layout: Layout,
    service: string,
    { id, ...fields }: NewInstance & { readonly id: string },
    claim: KeyClaim,
  ) {
    super();
    this.#session = session;
    this.#layout = layout;
    this.#service = service;
    this.#id = id;
    this.#taken = this.#checked(fields);
    this.#fields = this.#taken;
    this.#claim = claim;
    const { key } = claim;
    this.#key = new StandingKey(session, key, {
      stands: (revision) => this.emit('registered', { revision }),
      lost: (reason) => this.emit('lost', { reason }),
      taken: () => this.emit('conflict', { key }),
      failed: (error) => this.emit('error', error),
    });
  }

  /** @internal Use `Service.register`. */
  static async open(
    session: Session,
    layout: Layout,
    service: string,
    instance: NewInstance,
    { health, ...wait }: RegisterOptions,
  ): Promise<Registration> {
    const terms = health && healthTerms(health);
    const { id = randomUUID() } = settings('instance', instance);
    nonEmpty('id', id);
    const scope = waitScope(wait, session.closing, session.clock, `service ${service}`);
    let registration: Registration | undefined;
    try {
      const key = `${layout.folder(service)}${id}`;
      const make = (claim: KeyClaim): Registration =>
        new Registration(session, layout, service, { ...instance, id }, claim);
      registration = await KeyClaim.take(session, key, scope.signal, make);
      if (terms) await registration.#follow(terms, scope.signal);
      await registration.#write({ signal: scope.signal });
      return registration;
    } catch (error) {
      registration?.close().catch(() => {});
      throw error;
    } finally {
      scope.dispose();
    }
  }

  /** The instance, as it was updated last. */
  get instance(): ServiceInstance {
    return { id: this.#id, ...this.#fields, state: this.state };
  }

  /** Whether it takes work, as it was said last. */
  get state(): InstanceState {
    if (this.#isDraining) return 'draining';
    return this.#isWell ? 'up' : 'unhealthy';
  }

  /** Its key in etcd. */
  get key(): string {
    return this.#key.key;
  }

  /** Whether it is in etcd as it was updated last, as far as is known. */
  get isRegistered(): boolean {
    return this.#key.stands;
  }

  /**
   * Changes what it is known by. Of updates that wait at the same time the last counts. Settles when etcd has it: if that takes
   * longer, or it is given up, it goes on by itself.
   *
   * @throws ArgumentError if something is not usable. RefusedError, LimitError: it is as it was.
   * @throws ConflictError if somebody else has the key; WaitTimeoutError, the reason of `wait.signal`; ClosedError.
   */
  async update(patch: InstancePatch, wait: WaitOptions = {}): Promise<void> {
    const { closing } = this.#key;
    const scope = waitScope(wait, closing, this.#session.clock, this.key);
    try {
      scope.signal.throwIfAborted();
      const fields = this.#checked({ ...this.#fields, ...patch } as InstanceFields);
      this.#fields = fields;
      await abortable(this.#change(fields), scope.signal);
    } finally {
      scope.dispose();
    }
  }

  /**
   * Says that it takes no new work, and stays registered. Where the layout has no room for that, it is taken out until
   * `resume`. @throws as `update`, but where etcd refuses it, it is tried again.
   */
  drain(wait?: WaitOptions): Promise<void> {
    return this.#turn(() => (this.#isDraining = true), wait);
  }

  /** Says that it takes work again, after `drain`. @throws as `drain`. */
  resume(wait?: WaitOptions): Promise<void> {
    return this.#turn(() => (this.#isDraining = false), wait);
  }

  /**
   * Takes it out, for good. Settles when etcd has confirmed that, or the lease has ended on which it hangs. With the session it
   * ends by itself.
   *
   * @throws RefusedError if etcd refuses it: then it goes with the session.
   */
  close(): Promise<void> {
    return this.#claim.endWith(this.#key.close());
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  protected override get observedAs(): Observed {
    return { recipe: 'service', name: this.#service };
  }

  /** Its state is said otherwise. What there is no room for must not be lost without a word. */
  #checked(fields: Partial<ServiceInstance>): InstanceFields {
    const { id = this.#id } = fields;
    if (id !== this.#id) throw new ArgumentError('id', `'${this.#id}', as it is registered`, id);
    const room = ['address', ...this.#layout.room];
    for (const [field, value] of Object.entries(fields)) {
      if (value === undefined || [...room, 'id', 'state'].includes(field)) continue;
      throw new ArgumentError(field, `left out: there is room for ${room.join(', ')}`, value);
    }
    return checkFields({ ...fields, state: 'up' } as InstanceFields);
  }

  /** Follows a health check, after the first answer. */
  async #follow(terms: Required<HealthOptions>, signal: AbortSignal): Promise<void> {
    const { clock } = this.#session;
    const health = new Health(terms.check, terms.interval, clock, terms.timeout);
    this.#isWell = await health.isWell(signal);
    void this.#goOn(health, terms).catch(() => {});
  }

  /** Until it is closed. */
  async #goOn(
    health: Health,
    { interval, failures, successes }: Required<HealthOptions>,
  ): Promise<void> {
    const { closing } = this.#key;
    for (let against = 0; ; ) {
      await this.#session.clock.sleep(interval, closing);
      const isWell = await health.isWell(closing);
      against = isWell === this.#isWell ? 0 : against + 1;
      if (against < (this.#isWell ? failures : successes)) continue;
      against = 0;
      this.#turn(() => (this.#isWell = isWell)).catch(() => {});
    }
  }

  async #change(fields: InstanceFields): Promise<void> {
    try {
      await this.#write();
      this.#taken = fields;
    } catch (error) {
      // What etcd does not take must not keep it from being put back.
      if (wasRefused(error) && this.#fields === fields) {
        this.#fields = this.#taken;
        this.#rewrite();
      }
      throw error;
    }
  }

  #turn(how: () => void, wait?: WaitOptions): Promise<void> {
    const before = this.state;
    how();
    const { state } = this;
    if (state !== before) this.emit('state', { state });
    return this.#write(wait);
  }

  async #write(wait?: WaitOptions): Promise<void> {
    const { state } = this;
    const isShown = state === 'up' || this.#layout.room.includes('state');
    const value = isShown ? this.#layout.write({ ...this.#fields, state }) : undefined;
    await this.#key.want(value, wait);
  }

  /** What goes wrong is told by events. */
  #rewrite(): void {
    this.#write().catch(() => {});
  }
}
