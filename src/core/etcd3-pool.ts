import { credentials as Credentials, Metadata } from '@grpc/grpc-js';
import { Mutex } from 'async-mutex';
import { Backoff } from './backoff.js';
import type { Clock } from './clock.js';
import { ClosedError } from './errors.js';
import { Attempts, type Effect } from './etcd3-attempts.js';
import { type AttemptOptions, Endpoint } from './etcd3-endpoint.js';
import { healthOf } from './etcd3-health.js';
import type { Etcd3Options } from './etcd3-options.js';
import { judge, refusalOf } from './etcd3-status.js';
import { toBytes } from './keys.js';
import { abortable } from './signals.js';
import type { CallOptions, EndpointHealth } from './store.js';

/** An attempt with fewer milliseconds left could only hide what the earlier ones said. */
const tooLittle = 10;

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
  #failedLogin: { readonly endpoint: Endpoint; readonly error: unknown } | undefined;
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
    const attempts = new Attempts(effect);
    const pause = new Backoff();
    for (;;) {
      signal?.throwIfAborted();
      const left = deadline - this.#clock.now();
      if (left < tooLittle && attempts.failed) throw attempts.toError();
      const endpoint = this.pick(attempts.tried);
      const logins = this.#logins;
      let sent = false;
      try {
        await this.login(endpoint, Math.min(left, patience), signal);
        sent = true;
        const rest = Math.max(1, deadline - this.#clock.now());
        const reply = await attempt(endpoint, { limit: Math.min(rest, patience), signal });
        this.#answered(endpoint);
        return reply;
      } catch (error) {
        signal?.throwIfAborted();
        this.#failed(attempts, endpoint, error, { sent, logins });
      }
      if (attempts.tried.size === this.#endpoints.length) {
        attempts.tried.clear();
        const rest = deadline - this.#clock.now();
        await this.#clock.sleep(Math.max(0, Math.min(pause.next(), rest)), signal);
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

  /** Passes an endpoint over for a while; calls that fail together count once. */
  setAside(endpoint: Endpoint): void {
    const now = this.#clock.now();
    if (endpoint.asideUntil > now) return;
    endpoint.asideUntil = now + Math.min(30_000, 1_000 * 2 ** endpoint.misses);
    endpoint.misses += 1;
    for (const tell of this.onSetAside) tell(endpoint);
  }

  /** Gets a token where etcd asks for one and we have none. Whoever comes while another is at it waits for that. */
  async login(
    endpoint: Endpoint,
    limit: number = this.attemptTimeout,
    signal?: AbortSignal,
  ): Promise<void> {
    const auth = this.#auth;
    if (!auth || this.#hasToken) return;
    const login = this.#logIn(endpoint, auth, limit);
    // Who is at it may have more time than we have.
    const inTime = abortable(login, AbortSignal.timeout(Math.ceil(limit)));
    await (signal ? abortable(inTime, signal) : inTime);
  }

  /** Whether a user was given, so that a refused token can be replaced. */
  get canLogin(): boolean {
    return this.#auth !== undefined;
  }

  /** The token was refused on a stream: the next call or stream gets a new one. */
  forgetLogin(): void {
    this.#forgetLogin(this.#logins);
  }

  /** Asks every endpoint how it is. */
  async health({ signal, timeout = this.attemptTimeout }: CallOptions): Promise<EndpointHealth[]> {
    if (this.#closed) throw new ClosedError('store');
    const ask = async (endpoint: Endpoint): Promise<EndpointHealth> => {
      try {
        await this.login(endpoint, timeout, signal);
      } catch {
        // What it says without a token tells the reason.
      }
      return healthOf(endpoint, this.#clock, { limit: timeout, signal });
    };
    const health = await Promise.all(this.#endpoints.map(ask));
    signal?.throwIfAborted();
    return health;
  }

  close(): void {
    this.#closed = true;
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  /** Returns if another attempt may be made, and throws otherwise. */
  #failed(
    attempts: Attempts,
    endpoint: Endpoint,
    error: unknown,
    { sent, logins }: { sent: boolean; logins: number },
  ): void {
    if (this.#closed) throw new ClosedError('store');
    const verdict = judge(error);
    if (verdict === 'refused') throw refusalOf(error);
    if (verdict === 'unauthenticated') {
      // A new token that is refused too will not get better.
      if (!this.#auth || attempts.tokensRefused > 1) throw refusalOf(error);
      attempts.tokensRefused += 1;
      attempts.add(endpoint, error, false);
      this.#forgetLogin(logins);
      return;
    }
    this.setAside(endpoint);
    attempts.tried.add(endpoint);
    attempts.add(endpoint, error, sent && verdict === 'unknown');
    if (attempts.isOver) throw attempts.toError(error);
  }

  #forgetLogin(logins: number): void {
    // Somebody else may have renewed the token while our attempt with the old one was on its way.
    if (logins === this.#logins) this.#metadata.remove('token');
  }

  #answered(endpoint: Endpoint): void {
    endpoint.misses = 0;
    endpoint.asideUntil = 0;
  }

  get #hasToken(): boolean {
    return this.#metadata.get('token').length > 0;
  }

  async #logIn(
    endpoint: Endpoint,
    auth: NonNullable<Etcd3Options['auth']>,
    limit: number,
  ): Promise<void> {
    while (this.#login.isLocked() && !this.#hasToken) {
      await this.#login.waitForUnlock();
      // What one of us heard there need not be asked again by all.
      if (!this.#hasToken && this.#failedLogin?.endpoint === endpoint)
        throw this.#failedLogin.error;
    }
    if (this.#hasToken) return;
    await this.#login.runExclusive(() => this.#authenticate(endpoint, auth, limit));
  }

  async #authenticate(
    endpoint: Endpoint,
    { user, password }: NonNullable<Etcd3Options['auth']>,
    limit: number,
  ): Promise<void> {
    try {
      const options: AttemptOptions = { limit: Math.min(limit, this.attemptTimeout) };
      const { token } = await endpoint.auth.authenticate({ name: user, password }, options);
      this.#metadata.set('token', token);
      this.#logins += 1;
    } catch (error) {
      this.#failedLogin = { endpoint, error };
      throw error;
    }
  }
}

function pem(data: string | Uint8Array | undefined): Buffer | null {
  return data === undefined ? null : toBytes(data);
}
