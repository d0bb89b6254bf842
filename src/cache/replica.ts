import { ChangeQueue, type WatchBatch } from '../core/events/change-queue.js';
import { ClosedError } from '../core/store/errors.js';
import { spanOf } from '../core/store/key-span.js';
import { type KeyRange, toBytes } from '../core/store/keys.js';
import type { Store } from '../core/store/store.js';
import { Backoff } from '../core/time/backoff.js';
import type { Clock } from '../core/time/clock.js';
import { type Deferred, deferred } from '../core/time/deferred.js';
import { type Notes, tell } from '../core/trace.js';
import { WatchFeed, type WatchFeedUser } from '../core/watch/watch-feed.js';
import { Namespace } from '../namespace/namespace.js';
import { Contents, type ContentsSpec, type Fault } from './contents.js';
import { Freshness, type FreshnessUser } from './freshness.js';
import type { MirrorStep } from './mirror-options.js';

/** So many changes may wait while a state is read; what comes then stays at etcd. */
const buffer = 10_000;

/** What is copied, and how. */
export interface ReplicaSpec<T> extends ContentsSpec<T> {
  readonly store: Store;
  readonly clock: Clock;
  readonly range: KeyRange;
  readonly staleAfter: number;
  readonly onFailure: 'end' | 'retry';
}

/** Who looks at a replica. */
export interface ReplicaUser<T> {
  step(step: MirrorStep<T>, faults: readonly Fault[]): void;
  turned(isCurrent: boolean): void;
  /** It is over, for this reason, or is tried again. */
  failed(error: unknown): void;
}

/** A copy of a range, kept up to date by one watch for all in this process who want the same. */
export class Replica<T> implements WatchFeedUser, FreshnessUser {
  static readonly #all = new Set<Replica<unknown>>();
  readonly queue: ChangeQueue = new ChangeQueue(false);
  readonly contents: Contents<T>;
  readonly freshness: Freshness;
  readonly #spec: ReplicaSpec<T>;
  readonly #users = new Set<ReplicaUser<T>>();
  readonly #life = new AbortController();
  readonly #pause = new Backoff(100, 30_000);
  /** Aborts when it is over, or has failed and is tried again. */
  #attempt = new AbortController();
  #feed: WatchFeed;
  #began = 0;
  #synced: Deferred<void> = deferred();
  #isSynced = false;
  #failure: unknown;

  private constructor(spec: ReplicaSpec<T>) {
    this.#spec = spec;
    this.contents = new Contents(spec);
    this.freshness = new Freshness(spec, this);
    this.#feed = this.#follow();
  }

  /** The one there is for this, or a new one. @throws ClosedError if the store is closed. */
  static join<T>(spec: ReplicaSpec<T>, user: ReplicaUser<T>): Replica<T> {
    const found = [...Replica.#all].find((each) => each.#serves(spec as ReplicaSpec<never>));
    const replica = (found ?? new Replica(spec)) as Replica<T>;
    Replica.#all.add(replica as Replica<unknown>);
    replica.#users.add(user);
    return replica;
  }

  /** Settles when the first state is there, or the first try to have it has failed, or the next. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  /** Why there is nothing new until it was tried again with success. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Whether there is a state to look at. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  get size(): number {
    return this.contents.size;
  }

  /** Who was the last to use it ends it. */
  leave(user: ReplicaUser<T>, reason: unknown): void {
    this.#users.delete(user);
    if (this.#users.size === 0) this.#end(reason);
  }

  pushed(): void {
    try {
      for (let batch = this.#next(); batch; batch = this.#next()) {
        const { revision } = batch;
        const origin = this.#isSynced && batch.origin ? 'resync' : batch.origin;
        const { changes, faults } = this.contents.apply(batch);
        this.freshness.advance(revision);
        if (batch.origin === 'initial') this.#begin();
        this.#note({ changes: origin === 'initial' ? [] : changes });
        const step = { revision, changes, ...(origin && { origin }) };
        for (const user of this.#users) user.step(step, faults);
        this.contents.checkLimit();
      }
    } catch (error) {
      this.failed(error);
    }
  }

  failed(error: unknown): void {
    const users = [...this.#users];
    if (this.#spec.onFailure === 'retry' && !(error instanceof ClosedError)) {
      this.#pauseFor(error);
    } else {
      this.#users.clear();
      this.#end(error);
    }
    for (const user of users) user.failed(error);
  }

  turned(isCurrent: boolean): void {
    this.#note({ isStale: !isCurrent });
    for (const user of this.#users) user.turned(isCurrent);
  }

  refused(error: unknown): void {
    this.failed(error);
  }

  unchanged(revision: bigint): void {
    this.#feed.unchanged(revision);
  }

  missed(revision: bigint): void {
    this.#feed.gap(revision);
  }

  #next(): WatchBatch | undefined {
    return this.#attempt.signal.aborted ? undefined : this.queue.shift(true);
  }

  #follow(): WatchFeed {
    const { store, range, clock, limit } = this.#spec;
    this.#began = clock.now();
    const known = (): Iterable<string> => this.contents.ids();
    const options = { initial: true, onGap: 'resync', buffer, limit, known } as const;
    return new WatchFeed(store, range, options, this, clock);
  }

  #begin(): void {
    this.#isSynced = true;
    this.#failure = undefined;
    this.#pause.reset();
    this.#synced.resolve();
    this.freshness.begin(this.#began, this.#attempt.signal);
  }

  #stop(reason: unknown): void {
    this.#attempt.abort(reason);
    this.#feed.close(reason);
    this.#synced.reject(reason);
  }

  /** Tells those who observe all views. */
  #note(what: Partial<Notes['view']>): void {
    tell('view', () => ({
      view: toBytes(this.#spec.range.key).toString(),
      copy: this,
      keys: this.size,
      isStale: this.freshness.isStale,
      changes: [],
      ...what,
    }));
  }

  #end(reason: unknown): void {
    if (this.#life.signal.aborted) return;
    Replica.#all.delete(this as Replica<unknown>);
    this.#note({ keys: 0, isStale: false });
    this.#failure = undefined;
    this.#life.abort(reason);
    this.freshness.end();
    this.#stop(reason);
  }

  /** What made it fail may pass: until then it shows what it has. */
  #pauseFor(error: unknown): void {
    if (this.#attempt.signal.aborted) return;
    this.#failure = error;
    this.#stop(error);
    void this.#tryAgain();
  }

  async #tryAgain(): Promise<void> {
    try {
      await this.#spec.clock.sleep(this.#pause.next(), this.#life.signal);
    } catch {
      return;
    }
    this.queue.clear();
    if (!this.#isSynced) this.#synced = deferred();
    this.#attempt = new AbortController();
    try {
      this.#feed = this.#follow();
    } catch (error) {
      this.failed(error);
    }
  }

  #serves(other: ReplicaSpec<never>): boolean {
    const { store, clock, range, codec, limit, staleAfter, undecodable, onFailure } = this.#spec;
    const [a, b] = [spanOf(range), spanOf(other.range)];
    return (
      a.low === b.low &&
      a.high === b.high &&
      (codec as unknown) === other.codec &&
      clock === other.clock &&
      limit.keys === other.limit.keys &&
      limit.bytes === other.limit.bytes &&
      staleAfter === other.staleAfter &&
      onFailure === other.onFailure &&
      undecodable === other.undecodable &&
      Namespace.isSame(store, other.store)
    );
  }
}
