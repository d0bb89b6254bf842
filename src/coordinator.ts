import type { DependencyContainer } from 'tsyringe';
import { compose, type Parts, type StoreOptions } from './container.js';
import { Client } from './core/client.js';
import { ArgumentError, ClosedError } from './core/errors.js';
import type { Session, SessionOptions } from './core/session.js';
import type { Store } from './core/store.js';
import { nonEmpty } from './core/validate.js';
import { Mutex, type MutexOptions } from './lock/mutex.js';
import { Namespace } from './namespace/namespace.js';

/** How to connect. */
export interface ConnectOptions extends StoreOptions {
  /** The session everything will be held through. */
  readonly session?: SessionOptions;
  /** Gives the attempt up; `connect` rejects with `signal.reason`. A lease without keys may stay behind for its TTL. */
  readonly signal?: AbortSignal;
  /** A container whose `CLOCK` and `STORE` are used where registered, and that gets `SESSION` and the rest. @defaultValue a new one */
  readonly container?: DependencyContainer;
}

/**
 * Connects to etcd and opens a session.
 *
 * @throws ArgumentError if an option is not usable; nothing was opened.
 * @throws the reason of `options.signal` when it aborts.
 * @throws UnavailableError if no endpoint answers within `options.timeout`; it lists what each said.
 * @throws RefusedError if etcd refuses user, password or certificate.
 */
export async function connect(options: ConnectOptions): Promise<Coordinator> {
  return new Coordinator(await compose(options, options.container));
}

/** Makes recipes by name, on one session. */
export class Coordinator implements AsyncDisposable {
  /** The session all recipes made here share. */
  readonly session: Session;
  readonly #parts: Parts;
  readonly #parent: Coordinator | undefined;
  #client: Client | undefined;

  constructor(parts: Parts, parent?: Coordinator) {
    this.session = parts.session;
    this.#parts = parts;
    this.#parent = parent;
  }

  /** The store that recipes made here keep their keys in. */
  get store(): Store {
    return this.session.store;
  }

  /** Reads, writes and transactions on that store. */
  get client(): Client {
    this.#client ??= new Client(this.session.store, {
      clock: this.session.clock,
      maxTxnOps: this.#parts.maxTxnOps,
    });
    return this.#client;
  }

  /**
   * A mutex; the same name means the same lock for everybody on this etcd and namespace.
   *
   * @throws ArgumentError if the name is empty or an option is not usable.
   * @throws ClosedError after `close`.
   */
  mutex(name: string, options?: MutexOptions): Mutex {
    return new Mutex(this.#open(), name, options);
  }

  /**
   * The same coordinator, with `prefix` before every key: what is made here and what is made outside never
   * meet, nor do two namespaces, as long as no prefix begins another: end them with a slash. Shares the session;
   * closing it is the business of the coordinator that was connected.
   *
   * @throws ArgumentError if the prefix is empty, or lies where recipes outside keep their keys.
   * @throws ClosedError after `close`.
   */
  namespace(prefix: string): Coordinator {
    if (/^(mutex|\.etcd-recipes)\//.test(nonEmpty('prefix', prefix))) {
      throw new ArgumentError('prefix', 'outside of mutex/ and .etcd-recipes/', prefix);
    }
    const store = new Namespace(this.#open().store, prefix);
    return new Coordinator({ ...this.#parts, session: this.session.over(store) }, this);
  }

  /**
   * Closes the session, as `Session.close` says, and the connections. On a namespace it does nothing.
   *
   * @param grace - milliseconds given to work that runs under a hold
   */
  async close(grace?: number): Promise<void> {
    if (this.#parent) return;
    await this.session.close(grace);
    if (this.#parts.ownsStore) this.#parts.store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(): Session {
    if (this.session.state === 'closed') throw new ClosedError('coordinator');
    return this.session;
  }
}
