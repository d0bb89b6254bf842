import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { containerWith } from '../container.js';
import { type Coordinator, connect } from '../coordinator.js';
import { Etcd3Store } from '../core/etcd3/etcd3-store.js';
import type { Etcd3Options, TlsOptions } from '../core/etcd3/options.js';
import type { Session, SessionOptions } from '../core/session/session.js';
import { ArgumentError, ClosedError } from '../core/store/errors.js';
import type { Store } from '../core/store/store.js';
import type { Clock } from '../core/time/clock.js';
import type { Faults } from '../embed/server/faults.js';
import type { InProcessEtcd } from '../embed/server/in-process-etcd.js';
import type { InProcessOptions } from '../embed/server/options.js';
import type { EtcdTlsFiles } from '../embed/shared-options.js';
import { start } from '../embed/start.js';
import { VirtualClock } from '../embed/virtual-clock.js';

const SECOND = 1000;

/** How an etcd for tests is started. */
export interface TestEtcdOptions extends Omit<InProcessOptions, 'engine' | 'clock'> {
  /**
   * `virtual`: time stands still until `advance`, for the server and for everything that `connect` opens.
   * @defaultValue `'real'`
   */
  readonly time?: 'real' | 'virtual';
}

/** How a test connects. */
export interface TestConnectOptions {
  /** As for `connect` of the library. */
  readonly session?: SessionOptions;
  /**
   * `direct` calls the server without a socket; `grpc` goes through one, as production does, with time-outs, retries
   * and reconnects.
   * @defaultValue `'direct'`
   */
  readonly transport?: 'direct' | 'grpc';
  /** Puts something between the recipes and etcd. */
  readonly decorate?: (store: Store) => Store;
}

/** What a client needs to be let in. */
type Reach = Pick<Etcd3Options, 'tls' | 'auth'>;

/** An etcd for one suite of tests: it starts in milliseconds, with nothing in it. */
export class TestEtcd implements AsyncDisposable {
  /** The server, with what is not repeated here. */
  readonly server: InProcessEtcd;
  /** Reads and writes past all faults: to set the scene, and to look at it. */
  readonly store: Store;
  readonly #clock: Clock;
  readonly #coordinators: Coordinator[] = [];
  readonly #stores: Store[] = [];
  readonly #reach: Reach;
  #stopping: Promise<void> | undefined;

  /** @internal */
  constructor(server: InProcessEtcd, reach: Reach) {
    this.server = server;
    this.store = server.store({ faults: false });
    this.#clock = server.clock;
    this.#reach = reach;
  }

  /**
   * Where clients connect, for code under test that connects by itself.
   *
   * @throws ArgumentError if it was started with an empty `listenClientUrls`
   */
  get endpoint(): string {
    const [endpoint] = this.server.endpoints;
    if (endpoint === undefined) throw new ArgumentError('listenClientUrls', 'not empty', []);
    return endpoint;
  }

  /** Makes calls fail. */
  get faults(): Faults {
    return this.server.faults;
  }

  /**
   * Connects as a process of its own would, and as `root` where etcd asks who that is. Closed by `stop()` at the latest.
   *
   * @throws ArgumentError if an option is not usable
   * @throws ClosedError after `stop()`
   */
  async connect(options: TestConnectOptions = {}): Promise<Coordinator> {
    const { session, transport = 'direct', decorate = (store) => store } = options;
    if (transport !== 'direct' && transport !== 'grpc') {
      throw new ArgumentError('transport', "'direct' or 'grpc'", transport);
    }
    if (this.#stopping) throw new ClosedError('etcd');
    const { endpoints } = this.server;
    const reach = { endpoints, ...this.#reach };
    const store = transport === 'grpc' ? new Etcd3Store(reach, this.#clock) : this.server.store();
    this.#stores.push(store);
    const container = containerWith({ clock: this.#clock, store: decorate(store) });
    const coordinator = await connect({ endpoints, ...(session && { session }), container });
    this.#coordinators.push(coordinator);
    return coordinator;
  }

  /**
   * Lets time pass: leases that run out meanwhile end, sessions are renewed, waits time out. Resolves when all that
   * follows from it within this process is done.
   *
   * @param ms - milliseconds
   * @throws CoordinationError unless started with `time: 'virtual'`
   */
  advance(ms: number): Promise<void> {
    return this.server.advance(ms);
  }

  /**
   * Ends the lease of a session, as etcd does when it runs out or an operator revokes it: its keys are gone when this
   * resolves. The session learns of it by itself.
   */
  async expire(session: Pick<Session, 'id'>): Promise<void> {
    await this.store.revoke(session.id);
  }

  /** A name that nobody else uses, for tests that share a server. */
  name(prefix = 'test'): string {
    return `${prefix}-${randomUUID()}`;
  }

  /** Closes what `connect` opened, and ends the server. Calling it again waits for the same end. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** The same as `stop()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    this.faults.clear();
    const closing = Promise.allSettled(
      this.#coordinators.map((coordinator) => coordinator.close(0)),
    );
    if (this.#clock instanceof VirtualClock) await letTimePass(this.#clock, closing);
    await closing;
    for (const store of this.#stores) store.close();
    await this.server.stop();
  }
}

/**
 * Starts an etcd for tests inside this process.
 *
 * @throws ArgumentError when an option is not usable
 */
export async function startTestEtcd(options: TestEtcdOptions = {}): Promise<TestEtcd> {
  const { time = 'real', ...rest } = options;
  if (time !== 'real' && time !== 'virtual') {
    throw new ArgumentError('time', "'real' or 'virtual'", time);
  }
  const { tls, auth } = rest;
  const reach = {
    ...(tls && { tls: await clientTls(tls) }),
    ...(auth && { auth: { user: 'root', password: auth.password } }),
  };
  if (time === 'real') return new TestEtcd(await start(rest), reach);
  return new TestEtcd(await start({ ...rest, clock: new VirtualClock() }), reach);
}

/** What a client needs to be let in: the server's own certificate serves both sides. */
async function clientTls({ cert, key, ca = cert }: EtcdTlsFiles): Promise<TlsOptions> {
  const [certPem, keyPem, caPem] = await Promise.all([cert, key, ca].map((file) => readFile(file)));
  return { cert: certPem as Buffer, key: keyPem as Buffer, ca: caPem as Buffer };
}

/** Lets time pass until `end`, which may wait for it. */
async function letTimePass(clock: VirtualClock, end: Promise<unknown>): Promise<void> {
  const state = { isOver: false };
  const watch = async (): Promise<void> => {
    await end;
    state.isOver = true;
  };
  void watch();
  while (!state.isOver) await clock.advance(SECOND);
}
