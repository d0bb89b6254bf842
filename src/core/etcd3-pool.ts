import { credentials as Credentials, Metadata } from '@grpc/grpc-js';
import { Mutex } from 'async-mutex';
import { Backoff } from './backoff.js';
import type { Clock } from './clock.js';
import { ClosedError, type EndpointFailure, UnavailableError } from './errors.js';
import { type AttemptOptions, Endpoint } from './etcd3-endpoint.js';
import type { Etcd3Options } from './etcd3-options.js';
import { failureOf, judge, refusalOf } from './etcd3-status.js';
import { toBytes } from './keys.js';
import type { CallOptions } from './store.js';

/** What a request does when it is applied: nothing, the same thing however often, or something each time. */
export type Effect = 'none' | 'idempotent' | 'once';

/**
 * The endpoints of a cluster. Stays with one while it answers; one that fails or falls silent is set
 * aside for a growing time and the call goes to the next.
 */
export class EndpointPool {
  /** Longest wait for one attempt that may be repeated, in milliseconds. */
  readonly attemptTimeout: number;
  /** Told of every endpoint that is set aside. */
  readonly onSetAside: Set<(endpoint: Endpoint) => void> = new Set();
  readonly #timeout: number;
  readonly #clock: Clock;
  readonly #endpoints: readonly Endpoint[];
  readonly #auth: Etcd3Options['auth'];
  readonly #metadata = new Metadata();
  readonly #login = new Mutex();
  #logins = 0;
  #current = 0;
  #closed = false;

  constructor(options: Etcd3Options, clock: Clock) {
    this.attemptTimeout = options.attemptTimeout ?? 1_000;
    this.#timeout = options.timeout ?? 5_000;
    this.#clock = clock;
    this.#auth = options.auth;
    // A member that sees no leader says so at once instead of keeping us waiting.
    this.#metadata.set('hasleader', 'true');
    const { tls = {} } = options;
    const secure = Credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert));
    this.#endpoints = options.endpoints.map((name) => {
      const [, scheme, address = name] = /^(?:(https?):\/\/)?([^/]+)\/?$/.exec(name) ?? [];
      const useTls = scheme === 'https' || (scheme === undefined && options.tls !== undefined);
      const channel = useTls ? secure : Credentials.createInsecure();
      return new Endpoint(name, address, channel, this.#metadata);
    });
  }

  /** Makes a call: one attempt after the other, each at the best endpoint, while `effect` and time allow. */
  async call<T>(
    effect: Effect,
    { signal, timeout = this.#timeout }: CallOptions,
    attempt: (endpoint: Endpoint, options: AttemptOptions) => Promise<T>,
  ): Promise<T> {
    const deadline = this.#clock.now() + timeout;
    // Half the time at most for the first attempt: otherwise a short limit would leave none for a second.
    const patience = effect === 'once' ? timeout : Math.min(this.attemptTimeout, timeout / 2);
    const failures = new Map<Endpoint, EndpointFailure>();
    const tried = new Set<Endpoint>();
    const pause = new Backoff();
    let outcome: UnavailableError['outcome'] = 'not-applied';
    for (;;) {
      signal?.throwIfAborted();
      const left = deadline - this.#clock.now();
      if (left <= 0) throw new UnavailableError(outcome, [...failures.values()]);
      const endpoint = this.pick(tried);
      const logins = this.#logins;
      try {
        await this.#ensureLogin(endpoint);
        const reply = await attempt(endpoint, { limit: Math.min(left, patience), signal });
        endpoint.misses = 0;
        return reply;
      } catch (error) {
        signal?.throwIfAborted();
        if (this.#closed) throw new ClosedError('store');
        const verdict = judge(error);
        if (verdict === 'refused') throw refusalOf(error);
        if (verdict === 'unauthenticated') {
          if (!this.#auth || failures.has(endpoint)) throw refusalOf(error);
          failures.set(endpoint, failureOf(endpoint.name, error));
          this.#forgetLogin(logins);
          continue;
        }
        failures.set(endpoint, failureOf(endpoint.name, error));
        this.setAside(endpoint);
        if (verdict === 'unknown' && effect !== 'none') outcome = 'unknown';
        if (outcome === 'unknown' && effect === 'once') {
          throw new UnavailableError(outcome, [...failures.values()], { cause: error });
        }
        tried.add(endpoint);
      }
      if (tried.size === this.#endpoints.length) {
        tried.clear();
        await this.#clock.sleep(Math.min(pause.next(), deadline - this.#clock.now()), signal);
      }
    }
  }

  /** The endpoint to use now: the current one, or the next that was not tried and is not set aside. */
  pick(tried?: ReadonlySet<Endpoint>): Endpoint {
    if (this.#closed) throw new ClosedError('store');
    const now = this.#clock.now();
    const { length } = this.#endpoints;
    const inTurn = this.#endpoints.map((_, i) => (this.#current + i) % length);
    const open = inTurn.filter((i) => !tried?.has(this.#endpoints[i] as Endpoint));
    const asideUntil = (i: number): number => (this.#endpoints[i] as Endpoint).asideUntil;
    this.#current =
      open.find((i) => asideUntil(i) <= now) ??
      open.toSorted((a, b) => asideUntil(a) - asideUntil(b))[0] ??
      this.#current;
    return this.#endpoints[this.#current] as Endpoint;
  }

  /** Passes an endpoint over for a while. */
  setAside(endpoint: Endpoint): void {
    endpoint.asideUntil = this.#clock.now() + Math.min(30_000, 1_000 * 2 ** endpoint.misses);
    endpoint.misses += 1;
    for (const tell of this.onSetAside) tell(endpoint);
  }

  /** Opens a stream at the best endpoint, logged in if need be. */
  async openStream<S>(
    open: (endpoint: Endpoint) => Promise<S>,
  ): Promise<{ endpoint: Endpoint; stream: S }> {
    const endpoint = this.pick();
    await this.#ensureLogin(endpoint);
    return { endpoint, stream: await open(endpoint) };
  }

  /** The token was refused on a stream: the next call or stream gets a new one. */
  forgetLogin(): void {
    this.#forgetLogin(this.#logins);
  }

  close(): void {
    this.#closed = true;
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  #forgetLogin(logins: number): void {
    // Somebody else may have renewed the token while our attempt with the old one was on its way.
    if (logins === this.#logins) this.#metadata.remove('token');
  }

  async #ensureLogin(endpoint: Endpoint): Promise<void> {
    const auth = this.#auth;
    if (!auth || this.#metadata.get('token').length > 0) return;
    await this.#login.runExclusive(async () => {
      if (this.#metadata.get('token').length > 0) return;
      const request = { name: auth.user, password: auth.password };
      const options: AttemptOptions = { limit: this.attemptTimeout };
      const { token } = await endpoint.auth.authenticate(request, options);
      this.#metadata.set('token', token);
      this.#logins += 1;
    });
  }
}

function pem(data: string | Uint8Array | undefined): Buffer | null {
  return data === undefined ? null : toBytes(data);
}
