import type { DependencyContainer } from 'tsyringe';
import { CyclicBarrier } from './barrier/cyclic-barrier.js';
import { DoubleBarrier } from './barrier/double-barrier.js';
import { Gate } from './barrier/gate.js';
import { Latch } from './barrier/latch.js';
import { Mirror } from './cache/mirror.js';
import type { MirrorOptions } from './cache/mirror-options.js';
import { compose, containerWithin, type Parts, type StoreOptions } from './container.js';
import { Client } from './core/client.js';
import type { Session, SessionOptions } from './core/session/session.js';
import { ClosedError } from './core/store/errors.js';
import type { Keys } from './core/store/key-span.js';
import type { Store } from './core/store/store.js';
import { maxTxnOps } from './core/txn/check-txn.js';
import { Service, type ServiceOptions } from './discovery/service.js';
import { Election } from './election/election.js';
import type { ElectionOptions } from './election/election-options.js';
import { Schedule } from './election/schedule.js';
import type { ScheduleOptions } from './election/schedule-options.js';
import { MultiLock } from './lock/multi-lock.js';
import { Mutex, type MutexOptions } from './lock/mutex.js';
import { ReadWriteLock } from './lock/read-write-lock.js';
import { Semaphore, type SemaphoreOptions } from './lock/semaphore.js';
import { Group } from './membership/group.js';
import { Partitioner } from './membership/partitioner.js';
import type { PartitionerOptions } from './membership/partitioner-options.js';
import { Contents } from './namespace/contents.js';
import { apartFromRecipes } from './namespace/kinds.js';
import { Namespace } from './namespace/namespace.js';
import { Queue } from './queue/queue.js';
import type { QueueOptions } from './queue/queue-options.js';
import { Tenants } from './tenants/tenants.js';
import { Counter } from './value/counter.js';
import { Sequence, type SequenceOptions } from './value/sequence.js';
import { SharedValue, type SharedValueOptions } from './value/shared-value.js';

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
  #tenants: Tenants | undefined;
  #container: DependencyContainer | undefined;

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

  /** Everything that is in there, for those who operate it: list, usage, clear, export and import. */
  get contents(): Contents {
    return new Contents(this.store, this.#parts.maxTxnOps ?? maxTxnOps);
  }

  /**
   * Those who share this etcd, each in a prefix of its own that etcd itself lets nobody leave.
   *
   * @throws ArgumentError on a namespace.
   * @throws ClosedError after `close`.
   */
  get tenants(): Tenants {
    const session = this.#open();
    this.#tenants ??= new Tenants(session);
    return this.#tenants;
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
   * A lock held by many readers or by one writer.
   *
   * @throws ArgumentError if the name is empty.
   * @throws ClosedError after `close`.
   */
  readWriteLock(name: string): ReadWriteLock {
    return new ReadWriteLock(this.#open(), name);
  }

  /**
   * A number of permits that all processes share.
   *
   * @throws ArgumentError if the name is empty or an option is not usable.
   * @throws ClosedError after `close`.
   */
  semaphore(name: string, options?: SemaphoreOptions): Semaphore {
    return new Semaphore(this.#open(), name, options);
  }

  /**
   * The mutexes of these names as one lock: all at once, or none.
   *
   * @throws ArgumentError if there is no name, an empty one, or more than 60.
   * @throws ClosedError after `close`.
   */
  multiLock(names: readonly string[]): MultiLock {
    return new MultiLock(this.#open(), names);
  }

  /**
   * An election; the same name means the same leader for everybody on this etcd and namespace.
   *
   * @throws ArgumentError if the name is empty or an option is not usable.
   * @throws ClosedError after `close`.
   */
  election(name: string, options?: ElectionOptions): Election {
    return new Election(this.#open(), name, options);
  }

  /**
   * A schedule of a job, of which each tick is run once, by whichever process.
   *
   * @param cron - when: five fields, or six with seconds before them, or a nickname such as `@daily`
   * @throws ArgumentError if the name is empty, the expression none, or an option not usable.
   * @throws ClosedError after `close`.
   */
  schedule(name: string, cron: string, options?: ScheduleOptions): Schedule {
    return new Schedule(this.#open(), name, cron, options);
  }

  /**
   * A gate, which everybody waits for while it is raised.
   *
   * @throws ArgumentError if the name is empty.
   * @throws ClosedError after `close`.
   */
  gate(name: string): Gate {
    return new Gate(this.#open(), name);
  }

  /**
   * A latch, which opens when `count` parties have counted down.
   *
   * @throws ArgumentError if the name is empty, or the count not a whole number from 1.
   * @throws ClosedError after `close`.
   */
  latch(name: string, count: number): Latch {
    return new Latch(this.#open(), name, count);
  }

  /**
   * A barrier at which `count` parties wait for each other, time and again.
   *
   * @throws ArgumentError if the name is empty, or the count not a whole number from 1.
   * @throws ClosedError after `close`.
   */
  cyclicBarrier(name: string, count: number): CyclicBarrier {
    return new CyclicBarrier(this.#open(), name, count);
  }

  /**
   * A barrier at which `count` parties wait for each other before they begin, and again when they end.
   *
   * @throws ArgumentError if the name is empty, or the count not a whole number from 1.
   * @throws ClosedError after `close`.
   */
  doubleBarrier(name: string, count: number): DoubleBarrier {
    return new DoubleBarrier(this.#open(), name, count);
  }

  /**
   * A queue of jobs; the same name means the same jobs for everybody on this etcd and namespace.
   *
   * @throws ArgumentError if the name is empty or an option is not usable.
   * @throws ClosedError after `close`.
   */
  queue<T>(name: string, options?: QueueOptions<T>): Queue<T> {
    return new Queue<T>(this.#open(), name, options);
  }

  /**
   * A group of processes that know of each other; the same name means the same group for everybody on this etcd and namespace.
   *
   * @throws ArgumentError if the name is empty.
   * @throws ClosedError after `close`.
   */
  group<T>(name: string): Group<T> {
    return new Group<T>(this.#open(), name);
  }

  /**
   * A number of shards that processes divide between them, each owned by one at a time.
   *
   * @throws ArgumentError if the name is empty or an option is not usable.
   * @throws ClosedError after `close`.
   */
  partitioner(name: string, options: PartitionerOptions): Partitioner {
    return new Partitioner(this.#open(), name, options);
  }

  /**
   * A counter; the same name means the same number for everybody on this etcd and namespace.
   *
   * @throws ArgumentError if the name is empty.
   * @throws ClosedError after `close`.
   */
  counter(name: string): Counter {
    return new Counter(this.#open(), name);
  }

  /**
   * A sequence of numbers, each of which is given once.
   *
   * @throws ArgumentError if the name is empty or an option is not usable.
   * @throws ClosedError after `close`.
   */
  sequence(name: string, options?: SequenceOptions): Sequence {
    return new Sequence(this.#open(), name, options);
  }

  /**
   * A value that all processes see and may change.
   *
   * @throws ArgumentError if the name is empty.
   * @throws ClosedError after `close`.
   */
  value<T>(name: string, options?: SharedValueOptions<T>): SharedValue<T> {
    return new SharedValue<T>(this.#open(), name, options);
  }

  /**
   * A live copy of a key, or of a range such as `prefixRange('services/')`. It begins at once; close it when it is not needed.
   *
   * @throws ArgumentError if a key or an option is not usable.
   * @throws ClosedError after `close`.
   */
  mirror<T>(keys: Keys, options?: MirrorOptions<T>): Mirror<T> {
    return new Mirror<T>(this.#open(), keys, options);
  }

  /**
   * A service; the same name means the same instances for everybody on this etcd and namespace.
   *
   * @throws ArgumentError if the name is empty or an option is not usable.
   * @throws ClosedError after `close`.
   */
  service(name: string, options?: ServiceOptions): Service {
    return new Service(this.#open(), name, options);
  }

  /**
   * The same coordinator, with `prefix` before every key: what is made here and what is made outside never
   * meet, nor do two namespaces, as long as no prefix begins another: end them with a slash. Shares the session;
   * closing it is the business of the coordinator that was connected.
   *
   * @throws ArgumentError if the prefix is empty, or recipes outside may have keys that begin with it.
   * @throws ClosedError after `close`.
   */
  namespace(prefix: string): Coordinator {
    return this.#over(new Namespace(this.#open().store, apartFromRecipes(prefix)));
  }

  /**
   * The coordinator of a tenant, on its prefix and within its quota; see `tenants`. Connected as the tenant's user, or as root.
   * Shares the session; closing it is the business of the coordinator that was connected.
   *
   * @throws ArgumentError on a namespace.
   * @throws ConflictError if there is no such tenant, or it is not active.
   * @throws RefusedError if we are another tenant.
   * @throws ClosedError after `close`.
   */
  async tenant(name: string): Promise<Coordinator> {
    return this.#over(await this.tenants.open(name));
  }

  /** In which `STORE` and `SESSION` are those of this coordinator; on a namespace or tenant, a container of its own. */
  get container(): DependencyContainer {
    const { container } = this.#parts;
    if (!this.#parent) return container;
    this.#container ??= containerWithin(container, this.session);
    return this.#container;
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

  #over(store: Store): Coordinator {
    return new Coordinator({ ...this.#parts, session: this.session.over(store) }, this);
  }

  #open(): Session {
    if (this.session.state === 'closed') throw new ClosedError('coordinator');
    return this.session;
  }
}
