import type { ChangeOrigin, ChangeQueue, WatchChange } from '../events/change-queue.js';
import { type KnownKeys, ToldState } from '../events/told-state.js';
import { CompactedError, RefusedError } from '../store/errors.js';
import type { KeyRange } from '../store/keys.js';
import { type RangeLimit, RangeReader, type RangeState } from '../store/range-reader.js';
import type { Store, Watch, WatchEvent, WatchListener, WatchOptions } from '../store/store.js';
import type { Clock } from '../time/clock.js';
import { abortable } from '../time/signals.js';

/** What is watched, and how. */
export interface WatchFeedOptions extends WatchOptions {
  readonly initial: boolean;
  readonly onGap: 'resync' | 'error';
  /** How many changes may wait. */
  readonly buffer: number;
  /** How much a state may have that is read. @defaultValue as much as there is */
  readonly limit?: RangeLimit;
  /** Of who takes every change at once, and keeps the keys himself. @defaultValue they are kept here */
  readonly known?: KnownKeys;
}

/** Who takes the changes. */
export interface WatchFeedUser {
  readonly queue: ChangeQueue;
  /** There is something new in the queue. */
  pushed(): void;
  /** Nothing more will come. */
  failed(error: unknown): void;
}

/**
 * Fills a queue with the changes of a range: nothing twice, nothing left out, in order. When the queue is full it ends the
 * watch, and goes on from where it was once there is room: until then etcd's history keeps what is to come. What was
 * compacted by then is made good by reading the state and comparing it with what was told.
 */
export class WatchFeed implements WatchListener {
  /** Settles when everything from here on will be told, with the revision up to which there is nothing to tell. */
  readonly ready: Promise<bigint>;
  readonly #store: Store;
  readonly #range: KeyRange;
  readonly #options: WatchFeedOptions;
  readonly #user: WatchFeedUser;
  readonly #life = new AbortController();
  readonly #reader: RangeReader;
  /** `undefined` until it is known from where on everything is told. */
  #told: ToldState | undefined;
  /** `undefined` while the queue is full. */
  #watch: Watch | undefined;
  /** What comes while the state is being read: some of it is part of that. */
  #held: WatchEvent[] | undefined = [];
  /** The state is to be read as of this revision or a later one. */
  #atLeast = 0n;

  constructor(
    store: Store,
    range: KeyRange,
    options: WatchFeedOptions,
    user: WatchFeedUser,
    clock: Clock,
  ) {
    this.#store = store;
    this.#range = range;
    this.#options = options;
    this.#user = user;
    this.#reader = new RangeReader(store, range, this.#life.signal, clock, options.limit);
    this.ready = this.#begin(this.#set(options.from));
    this.ready.catch((error: unknown) => this.#fail(error));
  }

  /** The queue is shorter than it was. */
  taken(): void {
    const { queue } = this.#user;
    const isPaused = !this.#watch && !this.#held && !this.#life.signal.aborted;
    if (!isPaused || !this.#told || queue.size > this.#options.buffer / 2) return;
    try {
      // With a revision that was told: if it is forgotten, a deletion at the next may be, and etcd 3.4 does not say so.
      this.#set(this.#told.revision || 1n);
    } catch (error) {
      this.#fail(error);
    }
  }

  close(reason: unknown): void {
    this.#life.abort(reason);
    this.#pause();
  }

  events(events: readonly WatchEvent[]): void {
    if (!this.#held) this.#accept(events);
    else if (this.#held.length >= this.#options.buffer) this.#pause();
    else for (const event of events) this.#held.push(event);
  }

  /** What came up to `revision` has to be read: it was compacted, or is not told. */
  gap(revision: bigint): void {
    this.#expect(revision);
    if (this.#held) return;
    this.#held = [];
    this.#resync().catch((error: unknown) => this.#fail(error));
  }

  /** The range is at `revision` as it was told: what is to come of before has no effect. */
  unchanged(revision: bigint): void {
    this.#expect(revision);
    if (this.#told && this.#told.revision < revision) this.#told.tell(revision, []);
  }

  closed(error: Error): void {
    this.#fail(error);
  }

  #expect(revision: bigint): void {
    if (revision > this.#atLeast) this.#atLeast = revision;
  }

  async #begin(watch: Watch): Promise<bigint> {
    await abortable(watch.ready, this.#life.signal);
    const { from } = this.#options;
    if (from === undefined) this.#told = await this.#beginNow(watch);
    else {
      const keys = this.#remembers ? await this.#keysAt(from - 1n) : undefined;
      this.#told = new ToldState(from - 1n, keys, this.#options.only);
    }
    const { revision } = this.#told;
    if (this.#atLeast > revision) await this.#resync();
    else this.#release();
    return revision;
  }

  /** Whatever comes before this is settled is not promised to anybody. */
  async #beginNow({ since = 1n }: Watch): Promise<ToldState> {
    const { initial, only, known = new Set<string>() } = this.#options;
    this.#atLeast = since - 1n;
    if (!initial && !this.#remembers) return new ToldState(this.#atLeast, undefined, only);
    const state = await this.#state(!initial);
    const told = new ToldState(0n, this.#remembers ? known : undefined, only);
    const changes = told.compare(state, 'initial');
    if (initial) this.#push(state.revision, changes, 'initial');
    return told;
  }

  async #resync(): Promise<void> {
    if (this.#options.onGap === 'error' || !this.#told?.isComparable) {
      throw new CompactedError(`changes up to revision ${this.#atLeast} were compacted`);
    }
    const state = await this.#state(false);
    this.#push(state.revision, this.#told.compare(state, 'resync'), 'resync');
    this.#release();
  }

  /** Whether the keys that there are must be known, to tell later which are gone. */
  get #remembers(): boolean {
    return this.#options.onGap === 'resync' && this.#options.only !== 'put';
  }

  async #state(keysOnly: boolean): Promise<RangeState> {
    let state = await this.#reader.now(keysOnly);
    // A gap may have come meanwhile.
    while (state.revision < this.#atLeast) state = await this.#reader.now(keysOnly);
    return state;
  }

  /** Without them a later gap is an error. */
  async #keysAt(revision: bigint): Promise<Set<string> | undefined> {
    try {
      return await this.#reader.keysAt(revision);
    } catch (error) {
      if (error instanceof RefusedError && /revision/.test(error.message)) return undefined;
      throw error;
    }
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#accept(held);
    this.taken();
  }

  #accept(events: readonly WatchEvent[]): void {
    for (let i = 0, end = 0; i < events.length && this.#told; i = end) {
      const { modRevision } = (events[i] as WatchEvent).kv;
      while (events[end]?.kv.modRevision === modRevision) end += 1;
      if (modRevision <= this.#told.revision) continue;
      this.#push(modRevision, this.#told.tell(modRevision, events.slice(i, end)));
    }
    // Only now: what etcd has sent at once would otherwise have to be sent again, and again.
    if (this.#user.queue.size >= this.#options.buffer) this.#pause();
  }

  #push(revision: bigint, changes: readonly WatchChange[], origin?: ChangeOrigin): void {
    this.#user.queue.push({ revision, changes, ...(origin && { origin }) });
    this.#user.pushed();
  }

  #set(from: bigint | undefined): Watch {
    const { only, previous = false } = this.#options;
    // To know which keys there are takes both.
    const filter = only && !this.#remembers ? { only } : {};
    const options = { previous, ...filter, ...(from && { from }) };
    this.#watch = this.#store.watch(this.#range, this, options);
    return this.#watch;
  }

  /** What is not taken now comes again: it stays in etcd's history. */
  #pause(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  #fail(error: unknown): void {
    if (this.#life.signal.aborted) return;
    this.close(error);
    this.#user.failed(error);
  }
}
