import { randomUUID } from 'node:crypto';
import { containerWith } from '../container.js';
import { type Coordinator, connect } from '../coordinator.js';
import { type Clock, systemClock } from '../core/clock.js';
import { ArgumentError } from '../core/errors.js';
import { Etcd3Store } from '../core/etcd3-store.js';
import type { Session, SessionOptions } from '../core/session.js';
import type { Store } from '../core/store.js';
import type { Faults } from '../embed/server/faults.js';
import type { InProcessEtcd } from '../embed/server/in-process-etcd.js';
import type { InProcessOptions } from '../embed/server/options.js';
import { start } from '../embed/start.js';
import { VirtualClock } from '../embed/virtual-clock.js';

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

/** An etcd for one suite of tests: it starts in milliseconds, with nothing in it. */
export class TestEtcd implements AsyncDisposable {
  /** The server, with what is not repeated here. */
  readonly server: InProcessEtcd;
  /** Reads and writes past all faults: to set the scene, and to look at it. */
  readonly store: Store;
  readonly #clock: Clock;
  readonly #coordinators: Coordinator[] = [];
  readonly #stores: Store[] = [];

  /** @internal */
  constructor(server: InProcessEtcd, clock: Clock) {
    this.server = server;
    this.store = server.store({ faults: false });
    this.#clock = clock;
  }

  /** Where clients connect, for code under test that connects by itself. */
  get endpoint(): string {
    return this.server.endpoints[0] as string;
  }

  /** Makes calls fail. */
  get faults(): Faults {
    return this.server.faults;
  }

  /** Connects as a process of its own would. Closed by `stop()` at the latest. */
  async connect(options: TestConnectOptions = {}): Promise<Coordinator> {
    const { session, transport = 'direct', decorate = (store) => store } = options;
    const { endpoints } = this.server;
    const store =
      transport === 'grpc' ? new Etcd3Store({ endpoints }, this.#clock) : this.server.store();
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
  async stop(): Promise<void> {
    this.faults.clear();
    await Promise.all(this.#coordinators.map((coordinator) => coordinator.close(0)));
    for (const store of this.#stores) store.close();
    await this.server.stop();
  }

  /** The same as `stop()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
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
  if (time === 'real') return new TestEtcd(await start(rest), systemClock);
  const clock = new VirtualClock();
  return new TestEtcd(await start({ ...rest, clock }), clock);
}
