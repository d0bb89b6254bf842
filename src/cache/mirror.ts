import { Emitter } from '../core/events/emitter.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError, ClosedError, UnavailableError } from '../core/store/errors.js';
import { type Keys, rangeOf } from '../core/store/key-span.js';
import { type Data, keyId, toBytes } from '../core/store/keys.js';
import {
  abortable,
  onAbort,
  type WaitOptions,
  type WaitScope,
  waitScope,
} from '../core/time/signals.js';
import { checkNumber, milliseconds } from '../core/validate.js';
import { added } from './change.js';
import type { Fault } from './contents.js';
import type {
  IndexOf,
  MirrorEntry,
  MirrorEvents,
  MirrorOptions,
  MirrorState,
  MirrorStep,
} from './mirror-options.js';
import { specOf } from './mirror-spec.js';
import { Replica } from './replica.js';
import { StepQueue } from './step-queue.js';
import type { Table } from './table.js';
import type { ValueIndex } from './value-index.js';

/**
 * A live copy of a key or a range: reads that cost no call. It begins at once, shows one revision after the other, and goes on
 * through outages and compaction. Mirrors of the same in one process share one copy and one watch. What can be read stays
 * readable while it is stale; before `ready`, and after the end, reading throws.
 */
export class Mirror<T> extends Emitter<MirrorEvents<T>> implements Iterable<MirrorEntry<T>> {
  readonly #session: Session;
  readonly #what: string;
  readonly #replica: Replica<T>;
  readonly #indexes = new Map<string, readonly [IndexOf<T>, ValueIndex<T>]>();
  readonly #queues = new Set<StepQueue<T>>();
  readonly #life = new AbortController();
  readonly #stopListening: () => void;
  readonly #user = {
    step: (step: MirrorStep<T>, faults: readonly Fault[]): void => this.#step(step, faults),
    turned: (isCurrent: boolean): boolean => this.emit(isCurrent ? 'current' : 'stale'),
    failed: (error: unknown): void => this.#fail(error),
  };
  /** What is there to be read. */
  #table: Table<T> | undefined;
  #isTold = false;
  #error: unknown;
  /** Why it has failed, as was told, since it was well. */
  #toldError: string | undefined;

  /**
   * @param keys - a key, or a range such as `prefixRange('services/')`
   * @throws ArgumentError if a key or an option is not usable.
   * @throws ClosedError if the session is closed.
   */
  constructor(session: Session, keys: Keys, options: MirrorOptions<T> = {}) {
    super();
    const { store, clock, closing } = session;
    const spec = specOf(store, clock, rangeOf(keys), options);
    if (closing.aborted) throw new ClosedError('session');
    this.#session = session;
    this.#what = `mirror of ${toBytes(spec.range.key).toString()}`;
    this.#replica = Replica.join(spec, this.#user);
    const { contents, isSynced } = this.#replica;
    for (const [name, indexOf] of Object.entries(options.indexes ?? {})) {
      this.#indexes.set(name, [indexOf, contents.index(indexOf)]);
    }
    if (isSynced) {
      this.#table = contents.table;
      // Whoever made it is to be told, too.
      queueMicrotask(() => this.#tellAll());
    }
    this.#stopListening = onAbort(closing, () => this.#end(closing.reason));
  }

  /** How it is. */
  get state(): MirrorState {
    if (this.#life.signal.aborted) return this.#error === undefined ? 'closed' : 'failed';
    if (this.#replica.failure !== undefined) return 'failed';
    if (!this.#table) return 'syncing';
    return this.#replica.freshness.isStale ? 'stale' : 'current';
  }

  /** Why it has failed; `undefined` as long as it has not. */
  get error(): unknown {
    return this.#error ?? this.#replica.failure;
  }

  /** It is as the store was at this revision; 0 while it is `syncing`. */
  get revision(): bigint {
    return this.#replica.freshness.revision;
  }

  /**
   * Milliseconds: everything that was written longer ago can be read here. `Infinity` while it is `syncing`, and grows without end
   * when it is over.
   */
  get staleness(): number {
    return this.#replica.freshness.staleness;
  }

  /** How many keys can be read. */
  get size(): number {
    return this.#shown.size;
  }

  /** How many bytes all keys and values have in etcd. */
  get bytes(): number {
    return this.#replica.contents.bytes;
  }

  /** The keys that are left out as the codec cannot read their values. */
  get undecodable(): readonly string[] {
    return this.#replica.contents.undecodable.map(({ key }) => key);
  }

  /**
   * Settles when there is something to read, also if that is nothing.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`; the mirror goes on.
   * @throws ClosedError if it or the session is closed; or why it failed: LimitError, RefusedError.
   */
  async ready(wait: WaitOptions = {}): Promise<void> {
    const scope = this.#scope(wait);
    try {
      await abortable(this.#replica.synced, scope.signal);
    } finally {
      scope.dispose();
    }
  }

  /**
   * Waits until everything up to `revision` can be read: after `const { revision } = await client.put(...)`, what was written.
   * Gives the revision that was reached.
   *
   * @throws ArgumentError if `revision` is none; or as `ready`.
   */
  async waitForRevision(revision: bigint, wait: WaitOptions = {}): Promise<bigint> {
    checkNumber('revision', revision);
    const scope = this.#scope(wait);
    const { synced, freshness } = this.#replica;
    try {
      await abortable(synced, scope.signal);
      await freshness.reach(revision, scope.signal);
      return freshness.revision;
    } finally {
      scope.dispose();
    }
  }

  /**
   * Waits until `staleness` is below so many milliseconds: after an outage, or a failure after which it is tried again, until it is
   * known again what there is.
   *
   * @throws ArgumentError if `age` is not a duration; or as `ready`.
   */
  async waitForStaleness(age: number, wait: WaitOptions = {}): Promise<void> {
    milliseconds('age', age, 1);
    const scope = this.#scope(wait);
    const { synced, freshness } = this.#replica;
    try {
      await abortable(synced, scope.signal);
      await freshness.within(age, scope.signal);
    } finally {
      scope.dispose();
    }
  }

  /** The value of a key; `undefined` if it is not there. @throws as `entries`. */
  get(key: Data): T | undefined {
    return this.#shown.get(keyId(key))?.value;
  }

  /** A key with all that etcd knows of it; `undefined` if it is not there. @throws as `entries`. */
  entry(key: Data): MirrorEntry<T> | undefined {
    return this.#shown.get(keyId(key));
  }

  /** Whether the key is there. @throws as `entries`. */
  has(key: Data): boolean {
    return this.entry(key) !== undefined;
  }

  /**
   * All, or those whose keys begin with `prefix`, in the order of keys. What is given is of one revision, and stays as it is.
   *
   * @throws UnavailableError before it is `ready`; ClosedError when it is closed; or why it failed.
   */
  entries(prefix?: string): readonly MirrorEntry<T>[] {
    return this.#shown.list(prefix);
  }

  /** The keys of these. @throws as `entries`. */
  keys(prefix?: string): string[] {
    return this.entries(prefix).map(({ key }) => key);
  }

  /** The values of these. @throws as `entries`. */
  values(prefix?: string): T[] {
    return this.entries(prefix).map(({ value }) => value);
  }

  /** Over all entries. @throws as `entries`. */
  [Symbol.iterator](): Iterator<MirrorEntry<T>> {
    return this.entries()[Symbol.iterator]();
  }

  /**
   * Those that an index has under `place`, in the order of keys. What is given stays as it is.
   *
   * @throws ArgumentError if there is no such index; or as `entries`.
   */
  by(index: string, place: string): readonly MirrorEntry<T>[] {
    const found = this.#indexes.get(index)?.[1];
    if (!found) {
      const names = [...this.#indexes.keys()].join(', ') || 'there is none';
      throw new ArgumentError('index', `the name of an index: ${names}`, index);
    }
    return this.#table ? found.find(place) : this.#refuse();
  }

  /**
   * All that there is, and then how it changes: in steps from one state to a later one. Where the loop is slower than others
   * write, one step stands for all that waits. Ends when the loop is left, or with an error that says why.
   *
   * @throws the reason of `options.signal`; or as `ready`.
   */
  async *watch({
    signal,
  }: Pick<WaitOptions, 'signal'> = {}): AsyncGenerator<MirrorStep<T>, void, void> {
    const scope = this.#scope(signal ? { signal } : {});
    let queue: StepQueue<T> | undefined;
    try {
      await abortable(this.#replica.synced, scope.signal);
      queue = new StepQueue(this.#all());
      this.#queues.add(queue);
      for (;;) yield await queue.take(scope.signal);
    } finally {
      if (queue) this.#queues.delete(queue);
      scope.dispose();
    }
  }

  /** Ends it; loops over it and waits reject with a `ClosedError`. */
  close(): void {
    this.#end(new ClosedError(this.#what));
  }

  /** The same as `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  get #shown(): Table<T> {
    return this.#table ?? this.#refuse();
  }

  #refuse(): never {
    this.#life.signal.throwIfAborted();
    if (this.#replica.failure !== undefined) throw this.#replica.failure;
    const message = 'the first state is being read: wait for ready()';
    throw new UnavailableError('not-applied', [
      { endpoint: this.#what, status: 'SYNCING', message },
    ]);
  }

  #scope(wait: WaitOptions): WaitScope {
    return waitScope(wait, this.#life.signal, this.#session.clock, this.#what);
  }

  /** What there is, as the first step. */
  #all(): MirrorStep<T> {
    const changes = this.#shown.list().map(added);
    return { revision: this.revision, changes, origin: 'initial' };
  }

  /** To who came later what others were told before. */
  #tellAll(): void {
    if (!this.#isTold && this.#table) this.#tell(this.#all(), this.#replica.contents.undecodable);
  }

  #step(step: MirrorStep<T>, faults: readonly Fault[]): void {
    this.#table = this.#replica.contents.table;
    this.#toldError = undefined;
    for (const queue of this.#queues) queue.push(step);
    // Otherwise all will be told in a moment.
    if (this.#isTold || step.origin === 'initial') this.#tell(step, faults);
  }

  #tell({ changes, origin, revision }: MirrorStep<T>, faults: readonly Fault[]): void {
    this.#isTold = true;
    for (const { key, error } of faults) this.emit('error', error, key);
    for (const { type, key, entry, previous } of changes) {
      // Who listens may have closed it.
      if (!this.#table) return;
      for (const [, { faults: thrown }] of this.#indexes.values()) {
        if (thrown.has(keyId(key))) this.emit('error', thrown.get(keyId(key)), key);
      }
      if (type === 'added') this.emit('added', entry);
      else if (type === 'changed') this.emit('changed', entry, previous);
      else this.emit('removed', previous);
    }
    if (origin && this.#table) this.emit('synced', revision);
  }

  #fail(error: unknown): void {
    if (this.#life.signal.aborted) return;
    if (this.#replica.failure === undefined) {
      // A store that was closed is no fault.
      if (!(error instanceof ClosedError)) this.#error = error;
      this.#end(error);
    }
    if (this.error === undefined || String(error) === this.#toldError) return;
    this.#toldError = String(error);
    this.emit('error', error);
  }

  #end(reason: unknown): void {
    if (this.#life.signal.aborted) return;
    this.#table = undefined;
    this.#stopListening();
    this.#life.abort(reason);
    for (const [indexOf] of this.#indexes.values()) this.#replica.contents.release(indexOf);
    this.#replica.leave(this.#user, reason);
  }
}
