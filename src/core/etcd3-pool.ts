import { Metadata, status as Status } from '@grpc/grpc-js';
import { Backoff } from './backoff.js';
import type { Clock } from './clock.js';
import { ClosedError } from './errors.js';
import { Attempts, type Effect } from './etcd3-attempts.js';
import type { AttemptOptions, Endpoint } from './etcd3-endpoint.js';
import { healthOf, probe } from './etcd3-health.js';
import { Login } from './etcd3-login.js';
import { Members } from './etcd3-members.js';
import type { Etcd3Options } from './etcd3-options.js';
import { Patience } from './etcd3-patience.js';
import { blames, judge, refusalOf, statusOf } from './etcd3-status.js';
import type { CallOptions, EndpointHealth } from './store.js';
import { tell } from './trace.js';
import { milliseconds } from './validate.js';

/** An attempt with fewer milliseconds left could only hide what the earlier ones said. */
const tooLittle = 10;
/** An attempt that ends so many milliseconds after its limit was held up here, not there. */
const heldUp = 20;

type Attempt<T> = (endpoint: Endpoint, options: AttemptOptions) => Promise<T>;

/** How far one attempt has come. */
interface Progress {
  readonly began: number;
  readonly limit: number;
  readonly login: number;
  phase: 'login' | 'call';
}

/** Makes calls at the endpoints of a cluster: one attempt after the other, each at the best endpoint. */
export class EndpointPool {
  /** Longest wait for an answer on a stream, in milliseconds. */
  readonly attemptTimeout: number;
  readonly #timeout: number;
  readonly #clock: Clock;
  readonly #members: Members;
  readonly #login: Login;
  readonly #patience: Patience;
  #closed = false;

  /** @throws ArgumentError if a file of certificates is of no use. */
  constructor(options: Etcd3Options, clock: Clock) {
    this.attemptTimeout = options.attemptTimeout ?? 500;
    this.#timeout = options.timeout ?? 5_000;
    this.#clock = clock;
    this.#patience = new Patience(this.attemptTimeout);
    const metadata = new Metadata();
    // A member that sees no leader says so at once instead of keeping us waiting.
    metadata.set('hasleader', 'true');
    this.#login = new Login(options.auth, metadata, clock);
    this.#members = new Members(options, clock, metadata, (endpoint) => this.#isWell(endpoint));
    this.#members.keepInSync((ask) => this.call('none', {}, ask));
  }

  /** Told of every endpoint that is set aside. */
  get onSetAside(): Set<(endpoint: Endpoint) => void> {
    return this.#members.rotation.onSetAside;
  }

  /**
   * Makes a call, again and again while `effect` and time allow.
   *
   * @throws UnavailableError telling what each endpoint said; RefusedError, LimitError, ClosedError, ArgumentError
   */
  async call<T>(
    effect: Effect,
    { signal, timeout = this.#timeout, attemptTimeout }: CallOptions,
    attempt: Attempt<T>,
  ): Promise<T> {
    const deadline = this.#clock.now() + milliseconds('timeout', timeout);
    const { rotation } = this.#members;
    const attempts = new Attempts(effect);
    const pause = new Backoff();
    for (let round = 0; ; ) {
      signal?.throwIfAborted();
      this.#checkOpen();
      if (rotation.endpoints.length === 0) await this.#members.find(deadline, signal);
      const left = deadline - this.#clock.now();
      if (left < tooLittle && attempts.failed) throw attempts.toError();
      const endpoint = rotation.pick(attempts.tried) as Endpoint;
      // Half the time at most for one that is not the last: otherwise a short limit would leave none for another.
      const patience = Math.min(attemptTimeout ?? this.#patience.of(round), timeout / 2);
      const limit = Math.min(left, effect === 'once' ? timeout : patience);
      const { count: login } = this.#login;
      const progress: Progress = { began: this.#clock.now(), limit, login, phase: 'login' };
      try {
        return await this.#attempt(endpoint, progress, attempt, signal);
      } catch (error) {
        signal?.throwIfAborted();
        this.#failed(attempts, endpoint, error, progress);
        tell('retry', () => ({ endpoint: endpoint.name, error }));
      }
      if (attempts.tried.size >= rotation.endpoints.length) {
        attempts.tried.clear();
        round += 1;
        this.#members.lookUpAgain();
        const rest = deadline - this.#clock.now();
        await this.#clock.sleep(Math.max(0, Math.min(pause.next(), rest)), signal);
      }
    }
  }

  /** The endpoint to use for a stream now; it becomes the present one. */
  async pick(): Promise<Endpoint> {
    this.#checkOpen();
    await this.#members.find(this.#clock.now() + this.#timeout);
    return this.#members.rotation.pick() as Endpoint;
  }

  /** The endpoint that `pick` would give. */
  best(): Endpoint | undefined {
    return this.#members.rotation.best();
  }

  /** Passes an endpoint over until it has proven to be well. */
  setAside(endpoint: Endpoint): void {
    this.#members.rotation.setAside(endpoint);
    // It may be for a certificate that has been replaced.
    void this.#members.refreshTls();
  }

  /** Gets a token where etcd asks for one and we have none. */
  login(
    endpoint: Endpoint,
    limit: number = this.attemptTimeout,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#login.ensure(endpoint, limit, signal);
  }

  /** Whether a user was given, so that a refused token can be replaced. */
  get canLogin(): boolean {
    return this.#login.isPossible;
  }

  /** The token was refused on a stream: the next call or stream gets a new one. */
  forgetLogin(): void {
    this.#login.forget();
  }

  /** Asks every endpoint how it is. */
  async health({ signal, timeout = this.#timeout }: CallOptions): Promise<EndpointHealth[]> {
    this.#checkOpen();
    await this.#members.find(this.#clock.now() + milliseconds('timeout', timeout), signal);
    const ask = async (endpoint: Endpoint): Promise<EndpointHealth> => {
      // What it says without a token tells why there is none.
      await this.login(endpoint, timeout, signal).catch(() => {});
      return healthOf(endpoint, this.#clock, { limit: timeout, signal });
    };
    const health = await Promise.all(this.#members.rotation.endpoints.map(ask));
    signal?.throwIfAborted();
    return health;
  }

  close(): void {
    this.#closed = true;
    this.#members.close();
  }

  async #attempt<T>(
    endpoint: Endpoint,
    progress: Progress,
    attempt: Attempt<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const { began, limit } = progress;
    await this.#login.ensure(endpoint, limit, signal);
    progress.phase = 'call';
    const rest = Math.max(1, began + limit - this.#clock.now());
    const reply = await attempt(endpoint, { limit: rest, signal });
    this.#members.rotation.takeBack(endpoint);
    this.#patience.answered(this.#clock.now() - began, limit);
    return reply;
  }

  /** Returns if another attempt may be made, and throws otherwise. */
  #failed(attempts: Attempts, endpoint: Endpoint, error: unknown, progress: Progress): void {
    this.#checkOpen();
    const { phase, login, began, limit } = progress;
    const verdict = judge(error);
    if (verdict === 'refused') throw refusalOf(error);
    if (verdict === 'unauthenticated') {
      // A new token that is refused too will not get better.
      if (!this.#login.isPossible || attempts.tokensRefused > 1) throw refusalOf(error);
      attempts.tokensRefused += 1;
      attempts.add(endpoint, error, phase, false);
      this.#login.forget(login);
      return;
    }
    const late = this.#clock.now() - began - limit;
    const isSilence = statusOf(error).code === Status.DEADLINE_EXCEEDED;
    // While our own event loop stood still, an answer may have been waiting to be read.
    if (blames(error) && !(isSilence && late > heldUp)) this.setAside(endpoint);
    attempts.tried.add(endpoint);
    attempts.add(endpoint, error, phase, phase === 'call' && verdict === 'unknown');
    if (attempts.isOver) throw attempts.toError(error);
  }

  async #isWell(endpoint: Endpoint): Promise<boolean> {
    const limit = this.attemptTimeout;
    await this.#members.refreshTls();
    try {
      await this.#login.ensure(endpoint, limit);
      await probe(endpoint, { limit });
      return true;
    } catch (error) {
      // Who refuses has understood, and asked the others where that was needed.
      return judge(error) === 'refused';
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw new ClosedError('store');
  }
}
