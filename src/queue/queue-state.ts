import type { Session } from '../core/session/session.js';
import { keyId } from '../core/store/keys.js';
import type {
  KeyValue,
  RangeRequest,
  Watch,
  WatchEvent,
  WatchListener,
} from '../core/store/store.js';
import { abortable } from '../core/time/signals.js';
import { Groups } from './groups.js';
import type { QueueKeys } from './queue-keys.js';

/** What is true of a queue as a whole, followed while jobs are taken here. */
export class QueueState implements WatchListener {
  /** Processes that take jobs: another set where it is not the same ones any more. */
  consumers: ReadonlySet<string> = new Set();
  /** Of which groups another job may be worked on. */
  readonly groups: Groups;
  /** Whether nobody is to take jobs. */
  isPaused = false;
  /** Reads it. */
  readonly request: RangeRequest;
  readonly #session: Session;
  readonly #keys: QueueKeys;
  readonly #onNews: () => void;
  #watch: Watch | undefined;
  /** Up to which it is known. */
  #revision = 0n;
  /** What comes until it was read what there was before that; `undefined` from then on. */
  #held: WatchEvent[] | undefined = [];

  /** @param perGroup - how many jobs of one group may be worked on at a time */
  constructor(session: Session, keys: QueueKeys, perGroup: number, onNews: () => void) {
    this.#session = session;
    this.#keys = keys;
    this.#onNews = onNews;
    this.groups = new Groups(keys.slots, perGroup);
    this.request = { key: keys.state, end: keys.ready, keysOnly: true };
  }

  /** Whether a watch tells of changes, and what was before them is known. */
  get isFollowed(): boolean {
    return this.#held === undefined;
  }

  /**
   * Has a watch tell of changes: what is read after this misses none. Says whether it has to be read.
   *
   * @throws the reason of `signal`, RefusedError.
   */
  async follow(signal: AbortSignal): Promise<boolean> {
    this.#watch ??= this.#session.store.watch(this.request, this);
    if (this.#watch.since === undefined) await abortable(this.#watch.ready, signal);
    return !this.isFollowed;
  }

  unfollow(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.#held = [];
  }

  /** Takes up what was read. */
  learn(kvs: readonly KeyValue[], revision: bigint): void {
    if (revision < this.#revision) return;
    this.#revision = revision;
    this.isPaused = false;
    this.groups.reset();
    const there = new Set(kvs.map(({ key }) => keyId(key)));
    for (const key of this.consumers) if (!there.has(key)) this.#take(key, false);
    for (const key of there) this.#take(key, true);
    const [held, since] = [this.#held, this.#watch?.since];
    // What came after this and before the watch is yet to be read.
    if (!held || since === undefined || since > revision + 1n) return;
    this.#held = undefined;
    this.events(held);
  }

  events(events: readonly WatchEvent[]): void {
    if (this.#held) {
      for (const event of events) this.#held.push(event);
      return;
    }
    for (const { type, kv } of events) {
      if (kv.modRevision <= this.#revision) continue;
      this.#take(keyId(kv.key), type === 'put');
    }
    const last = events.at(-1)?.kv.modRevision ?? 0n;
    if (last > this.#revision) this.#revision = last;
    this.#onNews();
  }

  gap(): void {
    // What is read next begins another.
    this.unfollow();
    this.#onNews();
  }

  closed(): void {
    this.unfollow();
    this.#onNews();
  }

  #take(key: string, isThere: boolean): void {
    if (key === this.#keys.paused) this.isPaused = isThere;
    else if (key.startsWith(this.#keys.slots)) this.groups.heard(key, isThere);
    else if (!key.startsWith(this.#keys.consumers) || this.consumers.has(key) === isThere) return;
    else if (isThere) this.consumers = new Set([...this.consumers, key]);
    else this.consumers = new Set([...this.consumers].filter((each) => each !== key));
  }
}
