import type { Session } from '../core/session/session.js';
import { keyId, prefixRange } from '../core/store/keys.js';
import type { Watch, WatchEvent, WatchListener } from '../core/store/store.js';
import { persist } from '../core/time/persist.js';
import { abortable } from '../core/time/signals.js';
import { Lane } from './lane.js';
import { cancelledIn, priorities, priorityOf, type QueueKeys } from './queue-keys.js';
import type { QueueState } from './queue-state.js';
import type { Ready } from './ready.js';

/** What was read so many milliseconds ago may have changed by now. */
const fresh = 30;
/** After so many milliseconds it is looked again at those that come first. */
const turn = 500;
/** Doing so takes no more than one of so many parts of the time: where many processes read, all of them get slower by it. */
const share = 20;
/** Where nobody tells of them, it is looked so often in milliseconds whether there are jobs of higher priority. */
const glances = 100;
/** With more jobs than these in sight, those that come are not followed one by one. */
const crowd = 3_000;

type Reading = 'anew' | 'first' | 'on' | 'all' | 'glance';

/**
 * The jobs of a queue that come first, as far as they are known in this process. A long queue is read page by page as jobs are
 * taken; of a short one all is known, and a watch tells what changes, so that a job that comes is seen at once.
 */
export class Front implements WatchListener {
  readonly #session: Session;
  readonly #keys: QueueKeys;
  readonly #onNews: () => void;
  readonly #onCancelled: (record: string) => void;
  readonly #lanes: readonly Lane[];
  readonly #state: QueueState;
  /** The revision up to which all is known that this tells. */
  revision = 0n;
  #watch: Watch | undefined;
  /** Whether the watch tells of everything since `revision`. */
  #isLive = false;
  /** What comes while the state is being read. */
  #held: WatchEvent[] = [];
  #failure: Error | undefined;
  /** The read that is under way: what one gives is taken up before the next is sent. */
  #reading: Promise<void> | undefined;
  /** Those that are not sent yet. */
  readonly #asked = new Map<Reading, Promise<void>>();
  /** Until what a watch has told is sure to be all. */
  #catching: Promise<void> | undefined;
  /** When it was read from the beginning, by our clock. */
  #anewAt: number = Number.NEGATIVE_INFINITY;
  /** Milliseconds that the last look at those that come first took. */
  #took = 0;
  /** When it was last looked at those that come first; nobody has to look again before. */
  #glancedAt: number = Number.POSITIVE_INFINITY;

  /** @param onCancelled - is told of jobs that were cancelled while they were worked on, where a watch tells of what changes */
  constructor(
    session: Session,
    keys: QueueKeys,
    state: QueueState,
    onNews: () => void,
    onCancelled: (record: string) => void,
  ) {
    this.#session = session;
    this.#keys = keys;
    this.#onNews = onNews;
    this.#onCancelled = onCancelled;
    this.#state = state;
    this.#lanes = Array.from({ length: priorities }, (_, i) => new Lane(keys, i, state.groups));
  }

  /** Whether watches tell of what changes. */
  get isLive(): boolean {
    return this.#isLive && this.#state.isFollowed;
  }

  /** Whether so few jobs are known, and no others are missing, that a watch may tell of what changes. */
  get isShort(): boolean {
    return this.#lanes.every((lane) => lane.isThrough) && this.#size < crowd;
  }

  /** Whether what is known was read so long ago that jobs may have come that are to be taken before. */
  get isOld(): boolean {
    const limit = this.isShort ? fresh : glances;
    return !this.isLive && this.#session.clock.now() - this.#glancedAt >= limit;
  }

  /**
   * Jobs that may be claimed, in their order: up to where there may be others, not known yet, that come before. The order is
   * that in which they were put, by the revision at which etcd has them.
   */
  *claimable(): Generator<Ready> {
    if (this.#state.isPaused) return;
    for (const job of this.#state.groups.heardOf()) {
      this.#laneOf(job.key)?.retry(job, this.#session.clock.now());
    }
    for (const lane of this.#lanes) {
      const isAll = yield* lane.claimable();
      if (!isAll) return;
    }
  }

  /** Whether a job is surely there, and free: or was so a moment ago. */
  isSure({ readAt }: Ready): boolean {
    return this.#isLive || this.#session.clock.now() - readAt < fresh;
  }

  /** A job is claimed by us, by a key that was put at this revision. */
  take(job: Ready, claim: string, token: bigint): void {
    this.#laneOf(job.key)?.take(job, claim, token);
  }

  /** A job could not be claimed, as it was told of at `toldIn`: until something new is told, it is not looked at. */
  refuse(job: Ready, toldIn: bigint): void {
    this.#laneOf(job.key)?.refuse(job, toldIn);
    this.#state.groups.refused(job);
  }

  /** We are about to claim a job no more. */
  letGo(job: Ready): void {
    this.#laneOf(job.key)?.letGo(job, this.#session.clock.now());
  }

  /** We have given up a job: these are its keys then. Where they are not known, nothing is: it may be the next. */
  returned(job: Ready, keys: Parameters<Lane['giveBack']>[1] | undefined): void {
    if (keys) this.#laneOf(job.key)?.giveBack(job, keys, this.#session.clock.now());
    else this.#loseTouch();
    this.#onNews();
  }

  /** We have ended a job: its record is gone. */
  ended(job: Ready): void {
    this.#laneOf(job.key)?.drop(job, this.#session.clock.now());
    this.#onNews();
  }

  /**
   * Learns more: of other jobs where they are needed, or else of those that are known. Says whether others are needed still.
   *
   * @throws the reason of `signal`; RefusedError; what ended the watch.
   */
  async advance(signal: AbortSignal): Promise<boolean> {
    this.#throwFailure();
    if (this.#isLive) return false;
    await this.#read(signal, this.#hasMore ? 'on' : 'anew');
    return this.#hasMore;
  }

  /** Reads it from the beginning. Gives, and throws, what `advance` does. */
  async refresh(signal: AbortSignal): Promise<boolean> {
    if (this.#catching) await abortable(this.#catching, signal);
    // What a watch tells may be late.
    if (this.#isLive) await this.#catchUp(signal);
    else await this.#read(signal, 'first');
    return this.#hasMore;
  }

  /**
   * Looks whether there are jobs now that are to be taken before those that are known: of higher priority, and now and then those
   * that were given back. @throws as `advance`.
   */
  async glance(signal: AbortSignal): Promise<void> {
    if (this.isShort) return this.follow(signal);
    const isDue = this.#session.clock.now() - this.#anewAt >= Math.max(turn, share * this.#took);
    const isAnew = isDue && !this.claimable().next().done;
    await this.#read(signal, isAnew ? 'anew' : 'glance');
  }

  /** Has a watch tell of what changes, if all is known. @throws as `advance`. */
  async follow(signal: AbortSignal): Promise<void> {
    this.#throwFailure();
    // What is read before that may miss what is true of the queue as a whole.
    if (await this.#state.follow(signal)) this.unfollow();
    if (this.#catching) return abortable(this.#catching, signal);
    if (this.#isLive) return;
    this.unfollow();
    const watch = this.#session.store.watch(prefixRange(this.#keys.ready), this);
    this.#watch = watch;
    try {
      await abortable(watch.ready, signal);
    } catch (error) {
      signal.throwIfAborted();
      // Why it was closed is told where it is read again.
      if (this.#watch === watch) throw error;
    }
    if (this.#watch === watch) await this.#catchUp(signal);
  }

  /** Has no watch tell of anything any more. */
  unfollow(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.#isLive = false;
    this.#held = [];
  }

  events(events: readonly WatchEvent[]): void {
    if (!this.#watch) return;
    if (!this.#isLive) {
      if (this.#held.length < crowd) for (const event of events) this.#held.push(event);
      else this.gap();
      return;
    }
    const now = this.#session.clock.now();
    for (const { type, kv } of events) {
      const key = keyId(kv.key);
      const cancelled = type === 'put' ? cancelledIn(key) : undefined;
      if (cancelled !== undefined) this.#onCancelled(cancelled);
      if (kv.modRevision <= this.revision) continue;
      if (type === 'put') this.#laneOf(key)?.put(key, kv, now);
      else this.#laneOf(key)?.delete(key, kv.modRevision, now);
    }
    const last = events.at(-1)?.kv.modRevision ?? 0n;
    if (last > this.revision) this.revision = last;
    // Who has just begun to follow does not stop for a few more.
    if (this.#size > 2 * crowd) this.#loseTouch();
    this.#onNews();
  }

  gap(): void {
    this.#loseTouch();
    this.#onNews();
  }

  closed(error: Error): void {
    this.#failure = error;
    this.gap();
  }

  /** Tells once why the last watch was closed. */
  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
  }

  /** From here on it is read again. */
  #loseTouch(): void {
    this.unfollow();
    for (const lane of this.#lanes) lane.forget();
  }

  /** Reads what came before the watch was ready, or what it has yet to tell; what it tells from here on waits until then. */
  #catchUp(signal: AbortSignal): Promise<void> {
    const over = (): void => {
      this.#catching = undefined;
    };
    const done = this.#readAll(signal);
    this.#catching = done.then(over, over);
    return done;
  }

  async #readAll(signal: AbortSignal): Promise<void> {
    const watch = this.#watch;
    this.#isLive = false;
    try {
      await this.#read(signal, 'all');
    } catch (error) {
      this.gap();
      throw error;
    }
    if (this.#watch !== watch) return;
    this.#isLive = true;
    if (!this.#isComplete) return this.gap();
    const held = this.#held;
    this.#held = [];
    this.events(held);
  }

  get #isComplete(): boolean {
    return this.#lanes.every((lane) => lane.isComplete);
  }

  get #size(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.size, 0);
  }

  /** Whether others are needed and to be read. Where nothing is known that may be claimed, that goes on to the end. */
  get #hasMore(): boolean {
    if (this.#state.isPaused) return false;
    if (!this.#lanes.some((lane) => lane.hasMore)) return false;
    if (this.claimable().next().done) return true;
    return this.#size < crowd && this.#session.clock.now() - this.#anewAt < turn;
  }

  /** One for all who want the same before it is sent. While all is read, that is for everybody: a part that is read after it would be taken for all. */
  #read(signal: AbortSignal, from: Reading): Promise<void> {
    if (this.#catching) return abortable(this.#catching, signal);
    const shared = this.#asked.get(from) ?? this.#readInTurn(from);
    this.#asked.set(from, shared);
    return abortable(shared, signal);
  }

  /** One after the other: a lane takes up what it has asked for last. */
  async #readInTurn(from: Reading): Promise<void> {
    // Who comes in the same turn of the event loop comes along.
    await Promise.resolve();
    while (this.#reading) await this.#reading;
    this.#asked.delete(from);
    const done = this.#readNow(from);
    const over = (): void => {
      this.#reading = undefined;
    };
    this.#reading = done.then(over, over);
    return done;
  }

  /** Reads each lane from its beginning, or on from where what is known ends; or again those that are known to their end. */
  async #readNow(from: Reading): Promise<void> {
    const { store, clock, closing } = this.#session;
    const began = clock.now();
    if (from !== 'on') this.#glancedAt = began;
    if (from !== 'on' && from !== 'glance') this.#anewAt = began;
    const lanes = this.#lanes.filter((lane) =>
      from === 'on' ? lane.hasMore : from !== 'glance' || lane.isComplete,
    );
    const requests = lanes.map((lane) => lane.next(from === 'glance' ? 'anew' : from));
    const success = [this.#state.request, ...requests].map((range) => ({ range }));
    const { revision, replies } = await persist(
      (limit) => store.commit({ success }, limit),
      closing,
      clock,
    );
    const now = clock.now();
    if (from === 'anew') this.#took = now - began;
    this.#state.learn(replies[0]?.kvs ?? [], revision);
    for (const [i, lane] of lanes.entries()) {
      const { kvs = [], count = 0 } = replies[i + 1] ?? {};
      lane.learn(kvs, count, revision, now);
    }
    this.revision = revision;
    if (this.#isLive && !this.#isComplete) this.gap();
    // What came since was left out for the sake of jobs that others have taken.
    if (from === 'anew' && lanes.some((lane) => lane.isBlind)) await this.#readNow(from);
  }

  #laneOf(key: string): Lane | undefined {
    return this.#lanes[priorityOf(key.slice(this.#keys.ready.length))];
  }
}
