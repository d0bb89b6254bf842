import { readFile } from 'node:fs/promises';
import type { Server } from '@grpc/grpc-js';
import { ClosedError, CoordinationError } from '../../core/store/errors.js';
import type { Store } from '../../core/store/store.js';
import { type Clock, systemClock } from '../../core/time/clock.js';
import { VirtualClock } from '../virtual-clock.js';
import { Backend } from './backend.js';
import { DirectStore } from './direct/direct-store.js';
import { Faults } from './faults.js';
import { grpcServer } from './grpc.js';
import { credentials, Listener } from './listener.js';
import { type InProcessOptions, resolveOptions } from './options.js';
import { unaryRpcs, VERSION } from './rpcs.js';

/** What is in an in-process etcd. */
export interface InProcessStats {
  /** The revision of its last change. */
  readonly revision: bigint;
  /** Keys that exist. */
  readonly keys: number;
  /** Leases that live. */
  readonly leases: number;
  /** Watches that are set, by all clients. */
  readonly watches: number;
  /** Connections that are open. */
  readonly connections: number;
}

/**
 * An etcd inside this process, with one member and all data in memory. It does not keep the process alive, and what
 * is in it ends with `stop()`.
 */
export class InProcessEtcd implements AsyncDisposable {
  readonly engine = 'in-process' as const;
  /** Where clients connect, such as `http://127.0.0.1:12345`. */
  readonly endpoints: readonly string[];
  /** The version of etcd whose behaviour it has. */
  readonly version: string = VERSION;
  /** The certificates a client must trust, as PEM; `undefined` without TLS. */
  readonly ca: string | undefined;
  /** Makes calls fail, over connections as well as through `store()`. */
  readonly faults: Faults;
  /** Where its time comes from. */
  readonly clock: Clock;
  readonly #backend: Backend;
  readonly #server: Server;
  readonly #listeners: readonly Listener[];
  readonly #stores = new Set<DirectStore>();
  #stopping: Promise<void> | undefined;

  private constructor(parts: {
    backend: Backend;
    faults: Faults;
    server: Server;
    listeners: readonly Listener[];
    ca: string | undefined;
    clock: Clock;
  }) {
    this.#backend = parts.backend;
    this.clock = parts.clock;
    this.#server = parts.server;
    this.#listeners = parts.listeners;
    this.faults = parts.faults;
    this.endpoints = parts.listeners.map(({ url }) => url);
    this.ca = parts.ca;
  }

  /** See `start`. @internal */
  static async start(given: InProcessOptions): Promise<InProcessEtcd> {
    const options = resolveOptions(given);
    const backend = new Backend(options);
    if (options.auth) backend.auth.setUp(Buffer.from(options.auth.password).toString('latin1'));
    const faults = new Faults(options.clock);
    const clientUrls: string[] = [];
    const rpcs = unaryRpcs(backend, { name: options.name, clientUrls });
    const server = grpcServer({ backend, rpcs, faults, keepAlive: options.keepAlive });
    const listeners: Listener[] = [];
    try {
      const injector = server.createConnectionInjector(await credentials(options.tls));
      for (const url of options.listenClientUrls) {
        listeners.push(await Listener.open(url, (socket) => injector.injectConnection(socket)));
      }
    } catch (error) {
      backend.close();
      await Promise.all(listeners.map((listener) => listener.close()));
      throw error;
    }
    clientUrls.push(...listeners.map(({ url }) => url));
    const { tls } = options;
    const ca = tls && (await readFile(tls.ca ?? tls.cert, 'utf8'));
    // A caller that waits keeps the process alive, unlike the server itself.
    const clock = given.clock ?? systemClock;
    return new InProcessEtcd({ backend, faults, server, listeners, ca, clock });
  }

  /** What is in it now; so a test can see that nothing was left behind. */
  get stats(): InProcessStats {
    const { store, leases, watches } = this.#backend;
    return {
      revision: BigInt(store.revision),
      keys: store.size,
      leases: leases.size,
      watches: watches.size,
      connections: this.#listeners.reduce((sum, { connections }) => sum + connections, 0),
    };
  }

  /**
   * A `Store` on its data without a connection in between: the fastest way, and one that takes no time of its own.
   *
   * @param options - `faults: false` for one that no fault touches, to set the scene and to look at it
   * @throws ClosedError after `stop()`
   */
  store({ faults = true }: { readonly faults?: boolean } = {}): Store {
    if (this.#stopping) throw new ClosedError('etcd');
    const store = new DirectStore({
      backend: this.#backend,
      faults: faults ? this.faults : new Faults(this.clock),
      clock: this.clock,
      onClose: (closed) => this.#stores.delete(closed),
    });
    this.#stores.add(store);
    return store;
  }

  /**
   * Lets time pass on its virtual clock; see `VirtualClock.advance`.
   *
   * @param ms - milliseconds
   * @throws CoordinationError if it runs by real time
   */
  async advance(ms: number): Promise<void> {
    const { clock } = this;
    if (!(clock instanceof VirtualClock)) {
      throw new CoordinationError(
        'ERR_INVALID_ARGUMENT',
        'advance needs a server that was started with the option clock: new VirtualClock()',
      );
    }
    await clock.advance(ms);
  }

  /** Ends every connection and lets go of all data. Calling it again waits for the same end. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** The same as `stop()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    this.#backend.close();
    for (const store of this.#stores) store.close();
    this.#server.forceShutdown();
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }
}
