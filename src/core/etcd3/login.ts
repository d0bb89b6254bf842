import type { Metadata } from '@grpc/grpc-js';
import { Mutex } from 'async-mutex';
import type { Clock } from '../time/clock.js';
import { abortable, onAbort } from '../time/signals.js';
import type { AttemptOptions, Endpoint } from './endpoint.js';
import type { Etcd3Options } from './options.js';
import { statusOf } from './status.js';

/** The token by which etcd knows the user: gotten when first needed, and again when it is refused. */
export class Login {
  readonly #auth: Etcd3Options['auth'];
  readonly #metadata: Metadata;
  readonly #clock: Clock;
  readonly #mutex = new Mutex();
  /** How often somebody logged in: tells tokens apart. */
  #count = 0;
  #done = false;
  #failed: { readonly endpoint: Endpoint; readonly error: unknown } | undefined;

  /** @param metadata - goes with every request; gets the token */
  constructor(auth: Etcd3Options['auth'], metadata: Metadata, clock: Clock) {
    this.#auth = auth;
    this.#metadata = metadata;
    this.#clock = clock;
  }

  /** Whether a user was given, so that a refused token can be replaced. */
  get isPossible(): boolean {
    return this.#auth !== undefined;
  }

  /** Which login requests are sent with now. */
  get count(): number {
    return this.#count;
  }

  /**
   * Gets a token where etcd asks for one and we have none. Whoever comes while another is at it waits for that.
   *
   * @throws what went wrong, as a call would
   */
  async ensure(endpoint: Endpoint, limit: number, signal?: AbortSignal): Promise<void> {
    const auth = this.#auth;
    if (!auth || this.#done) return;
    // Who is at it may have more time than we have.
    const patience = new AbortController();
    const late = Object.assign(new Error('no token in time'), { code: 4 });
    const undo = [
      this.#clock.after(limit, () => patience.abort(late)),
      onAbort(signal, () => patience.abort(signal?.reason)),
    ];
    try {
      await abortable(this.#logIn(endpoint, auth, limit), patience.signal);
    } finally {
      for (const release of undo) release();
    }
  }

  /** The token of login number `count` was refused. Somebody else may have replaced it meanwhile. */
  forget(count: number = this.#count): void {
    if (count !== this.#count) return;
    this.#done = false;
    this.#metadata.remove('token');
  }

  async #logIn(
    endpoint: Endpoint,
    auth: NonNullable<Etcd3Options['auth']>,
    limit: number,
  ): Promise<void> {
    while (this.#mutex.isLocked() && !this.#done) {
      await this.#mutex.waitForUnlock();
      // What one of us heard there need not be asked again by all.
      if (!this.#done && this.#failed?.endpoint === endpoint) throw this.#failed.error;
    }
    if (this.#done) return;
    await this.#mutex.runExclusive(() => this.#authenticate(endpoint, auth, { limit }));
  }

  async #authenticate(
    endpoint: Endpoint,
    { user, password }: NonNullable<Etcd3Options['auth']>,
    options: AttemptOptions,
  ): Promise<void> {
    this.#failed = undefined;
    try {
      const { token } = await endpoint.auth.authenticate({ name: user, password }, options);
      this.#metadata.set('token', token);
    } catch (error) {
      this.#failed = { endpoint, error };
      // A user may be configured before authentication is switched on.
      if (!/authentication is not enabled/.test(statusOf(error).details)) throw error;
    }
    this.#done = true;
    this.#count += 1;
  }
}
