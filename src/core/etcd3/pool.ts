import { AsyncResource } from 'node:async_hooks';
import { Metadata, status as Status } from '@grpc/grpc-js';
import { ClosedError } from '../store/errors.js';
import type { CallOptions, EndpointHealth } from '../store/store.js';
import { Backoff } from '../time/backoff.js';
import type { Clock } from '../time/clock.js';
import { Patience } from '../time/patience.js';
import { tell } from '../trace.js';
import { ending, milliseconds } from '../validate.js';
import { Attempts, type Effect } from './attempts.js';
import { type AttemptOptions, type Endpoint, needsLeader } from './endpoint.js';
import { healthOf, probe } from './health.js';
import { abandoned, InFlight } from './in-flight.js';
import { Login } from './login.js';
import { Members } from './members.js';
import type { Etcd3Options } from './options.js';
import type { Rotation } from './rotation.js';
import { blames, judge, refusalOf, statusOf } from './status.js';

/** An attempt with fewer milliseconds left could only hide what the earlier ones said. */
const tooLittle = 10;
/** An attempt that ends so many milliseconds after its limit was held up here, not there. */
const heldUp = 20;

type Attempt<T> = (endpoint: Endpoint, options: AttemptOptions) => Promise<T>;

/** How far one attempt has come. */
interface Progress {
  readonly began: number;
  readonly limit: number;
  readonly sendWithin: number;
  /** What the request was sent with. */
  login: number;
  phase: 'login' | 'call';
  /** Whether nobody waits for it any more: what was not sent by then must not be. */
  isOver: boolean;
}

/** Makes calls at the endpoints of a cluster: one attempt after the other, each at the best endpoint. */
export class EndpointPool {
  /** How long to wait for an answer, on streams too. */
  readonly patience: Patience;
  readonly #attemptTimeout: number;
  readonly #timeout: number;
  readonly #clock: Clock;
  readonly #members: Members;
  readonly #login: Login;
  readonly #inFlight: InFlight = new InFlight();
  #closed = false;

  /** @throws ArgumentError if a file of certificates is of no use. */
  constructor(options: Etcd3Options, clock: Clock) {
    this.#attemptTimeout = options.attemptTimeout ?? 500;
    this.#timeout = options.timeout ?? 5_000;
    this.#clock = clock;
    this.patience = new Patience(this.#attemptTimeout);
    const metadata = new Metadata();
    metadata.set(needsLeader, 'true');
    this.#login = new Login(options.auth, metadata, clock);
    // No part of what a caller does, who may be traced: it is asked long after.
    const isWell = AsyncResource.bind((endpoint: Endpoint, atLeast?: number) =>
      this.#isWell(endpoint, atLeast),
    );
    this.#members = new Members(options, clock, metadata, isWell);
    this.#members.rotation.onAbandon.add((isAbandoned) => this.#inFlight.abandon(isAbandoned));
    this.#members.keepInSync((ask) => this.call('none', {}, ask));
  }

  /** Which endpoint is used, and who is told of changes. */
  get rotation(): Rotation {
    return this.#members.rotation;
  }

  /**
   * Makes a call, again and again while `effect` and time allow.
   *
   * @throws UnavailableError telling what each endpoint said; RefusedError, LimitError, ClosedError, ArgumentError
   */
  async call<T>(
    effect: Effect,
    { signal, timeout: asked = this.#timeout, attemptTimeout, repeated = false }: CallOptions,
    attempt: Attempt<T>,
  ): Promise<T> {
    ending(signal);
    // Who repeats it may not have learned yet how slow all are.
    const timeout = Math.max(milliseconds('timeout', asked), repeated ? this.patience.needed : 0);
    const deadline = this.#clock.now() + timeout;
    milliseconds('attemptTimeout', attemptTimeout ?? 1, 1);
    const { rotation } = this.#members;
    const attempts = new Attempts(effect);
    const canRepeat = effect !== 'once' || repeated;
    const pause = new Backoff();
    for (;;) {
      signal?.throwIfAborted();
      this.#checkOpen();
      if (rotation.endpoints.length === 0) await this.#members.find(deadline, signal);
      const left = deadline - this.#clock.now();
      if (left < tooLittle && attempts.failed) throw attempts.toError();
      const endpoint = rotation.pick(attempts.tried) as Endpoint;
      // Where there is no other endpoint, to ask again is only more to do for who is slow.
      const shared = rotation.isSingle ? Infinity : timeout;
      const patience = this.patience.of(attempts.round, shared, attemptTimeout);
      const limit = Math.min(left, effect === 'once' ? timeout : patience);
      // What was not sent by then can be sent elsewhere, also if it must be sent once.
      const sendWithin = Math.min(limit, patience);
      const { count: login } = this.#login;
      const began = this.#clock.now();
      const progress: Progress = { began, limit, sendWithin, login, phase: 'login', isOver: false };
      try {
        const made = this.#attempt(endpoint, progress, attempt, signal);
        return await (canRepeat ? this.#inFlight.waitFor(endpoint, began, made) : made);
      } catch (error) {
        progress.isOver = true;
        signal?.throwIfAborted();
        this.#failed(attempts, endpoint, error, progress);
        tell('retry', () => ({ endpoint: endpoint.name, error }));
      }
      if (attempts.tried.size >= rotation.endpoints.length) {
        attempts.beginRound(attempts.round + 1);
        this.#members.lookUpAgain();
        const rest = deadline - this.#clock.now();
        await this.#pause(endpoint, Math.max(0, Math.min(pause.next(), rest)), signal);
      }
    }
  }

  /** The endpoint to use for a stream now, rather none that was tried; it becomes the present one. */
  async pick(tried?: ReadonlySet<Endpoint>): Promise<Endpoint> {
    this.#checkOpen();
    await this.#members.find(this.#clock.now() + this.#timeout);
    return this.#members.rotation.pick(tried) as Endpoint;
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
    limit: number = this.patience.of(0),
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
    ending(signal);
    this.#checkOpen();
    const deadline = this.#clock.now() + milliseconds('timeout', timeout);
    const left = (): number => Math.max(1, deadline - this.#clock.now());
    await this.#members.find(deadline, signal);
    const ask = async (endpoint: Endpoint): Promise<EndpointHealth> => {
      // What it says without a token tells why there is none.
      await this.login(endpoint, left() / 2, signal).catch(() => {});
      return healthOf(endpoint, this.#clock, { limit: left(), signal });
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
    const { began, limit, sendWithin } = progress;
    await this.#login.ensure(endpoint, sendWithin, signal);
    if (progress.isOver) throw abandoned;
    progress.login = this.#login.count;
    progress.phase = 'call';
    const spent = this.#clock.now() - began;
    const rest = (ms: number): number => Math.max(1, ms - spent);
    const limits = { limit: rest(limit), sendWithin: rest(sendWithin) };
    const reply = await attempt(endpoint, { ...limits, signal });
    this.#members.rotation.takeBack(endpoint);
    this.patience.answered(this.#clock.now() - began, limit);
    return reply;
  }

  /** Returns if another attempt may be made, and throws otherwise. */
  #failed(attempts: Attempts, endpoint: Endpoint, error: unknown, progress: Progress): void {
    this.#checkOpen();
    const { phase, login, began, limit } = progress;
    const verdict = judge(error);
    if (verdict === 'refused') throw attempts.refusedWith(refusalOf(error));
    if (verdict === 'unauthenticated') {
      // A new token that is refused too will not get better.
      if (!this.#login.isPossible || attempts.tokensRefused > 1) {
        throw attempts.refusedWith(refusalOf(error));
      }
      attempts.tokensRefused += 1;
      attempts.add(endpoint, error, phase, false);
      this.#login.forget(login);
      return;
    }
    const late = this.#clock.now() - began - limit;
    const isSilence = statusOf(error).code === Status.DEADLINE_EXCEEDED;
    const provesNothing = isSilence && (late > heldUp || limit < this.patience.needed);
    if (error === abandoned) attempts.beginRound(0);
    else {
      // While our own event loop stood still, an answer may have been waiting to be read.
      if (blames(error) && !provesNothing) this.setAside(endpoint);
      attempts.tried.add(endpoint);
    }
    attempts.add(endpoint, error, phase, phase === 'call' && verdict === 'unknown');
    if (attempts.isOver) throw attempts.toError(error);
  }

  /** A pause that ends early where it is known that somebody is well. */
  async #pause(endpoint: Endpoint, ms: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#inFlight.waitFor(endpoint, this.#clock.now(), this.#clock.sleep(ms, signal));
    } catch (error) {
      if (error !== abandoned) throw error;
    }
  }

  async #isWell(endpoint: Endpoint, atLeast = 0): Promise<boolean> {
    const limit = Math.max(this.patience.of(0), atLeast);
    const began = this.#clock.now();
    await this.#members.refreshTls();
    try {
      await this.#login.ensure(endpoint, limit);
      await probe(endpoint, { limit });
      this.patience.answered(this.#clock.now() - began, limit);
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
