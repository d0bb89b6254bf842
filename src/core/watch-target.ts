import type { IWatchCreateRequest } from 'etcd3';
import { ClosedError } from './errors.js';
import type { Watch, WatchEvent, WatchListener } from './store.js';

/** One watch at etcd, for one or many subscriptions. */
export class WatchTarget {
  /** The range and filters, as etcd is asked for them. */
  readonly request: IWatchCreateRequest;
  /** Under which name it is shared; `undefined` if it is not. */
  readonly share: string | undefined;
  /** Its ID on the present stream. */
  id = '';
  /** The first revision whose events were not delivered yet; `undefined` before etcd's confirmation. */
  next: bigint | undefined;
  /** The first revision it covers without a gap; `undefined` before etcd's confirmation. */
  since: bigint | undefined;
  readonly #subscriptions = new Set<Subscription>();
  #partial: WatchEvent[] = [];
  #gap = false;

  constructor(request: IWatchCreateRequest, from: bigint | undefined, share: string | undefined) {
    this.request = request;
    this.next = from;
    this.share = share;
  }

  /**
   * From where to ask etcd: 0 for the present. When resumed, one revision before what comes next: if history was
   * compacted up to just there, etcd 3.4 would leave a deletion out without a word; so it says that it is gone.
   */
  get start(): bigint {
    const { next, since } = this;
    return next === undefined ? 0n : next - (since === undefined ? 0n : 1n);
  }

  /** Whether a subscription made now gets every event from `from` on. */
  covers(from: bigint | undefined): boolean {
    if (from === undefined) return true;
    return this.since !== undefined && this.next !== undefined && this.next <= from;
  }

  /** etcd has confirmed the watch at `revision`. */
  created(revision: bigint): void {
    this.next ??= revision + 1n;
    this.since ??= this.next;
    for (const subscription of this.#subscriptions) subscription.begin(this.since);
    if (!this.#gap) return;
    this.#gap = false;
    for (const { listener } of Array.from(this.#subscriptions)) listener.gap(revision);
  }

  /** Hands out new events; a message split in fragments only when its last part has come. */
  deliver(events: readonly WatchEvent[], fragment: boolean): void {
    const from = this.next ?? 0n;
    this.#partial.push(...events.filter(({ kv }) => kv.modRevision >= from));
    if (fragment) return;
    const whole = this.#partial;
    this.#partial = [];
    const last = whole.at(-1);
    if (!last) return;
    this.next = last.kv.modRevision + 1n;
    for (const subscription of Array.from(this.#subscriptions)) subscription.deliver(whole);
  }

  /** The stream broke: what was half received comes again. */
  dropPartial(): void {
    this.#partial = [];
  }

  /** etcd no longer has what comes next: go on at the present. */
  restart(): void {
    this.#gap = true;
    this.next = undefined;
    this.since = undefined;
  }

  /** The watch is over for good. */
  close(error: Error): void {
    for (const subscription of Array.from(this.#subscriptions)) subscription.fail(error);
    this.#subscriptions.clear();
  }

  add(subscription: Subscription): void {
    this.#subscriptions.add(subscription);
  }

  /** Says whether that was the last one. */
  remove(subscription: Subscription): boolean {
    return this.#subscriptions.delete(subscription) && this.#subscriptions.size === 0;
  }
}

/** One listener's share of a `WatchTarget`. */
export class Subscription implements Watch {
  readonly listener: WatchListener;
  readonly ready: Promise<void>;
  since: bigint | undefined;
  readonly #target: WatchTarget;
  readonly #release: (target: WatchTarget) => void;
  readonly #settle: { resolve(): void; reject(error: Error): void };

  constructor(
    target: WatchTarget,
    listener: WatchListener,
    from: bigint | undefined,
    release: (target: WatchTarget) => void,
  ) {
    this.#target = target;
    this.listener = listener;
    this.#release = release;
    let settle: { resolve(): void; reject(error: Error): void } | undefined;
    this.ready = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.#settle = settle as NonNullable<typeof settle>;
    this.ready.catch(() => {});
    target.add(this);
    // Events before `next` have gone to those who were here earlier.
    const since = from ?? target.next;
    if (target.since !== undefined && since !== undefined) this.begin(since);
  }

  begin(since: bigint): void {
    this.since ??= since;
    this.#settle.resolve();
  }

  /** Passes on what is in its share: others may have come in earlier. */
  deliver(events: readonly WatchEvent[]): void {
    const { since = 0n } = this;
    const inShare = ({ kv }: WatchEvent): boolean => kv.modRevision >= since;
    const mine = events[0] && inShare(events[0]) ? events : events.filter(inShare);
    if (mine.length > 0) this.listener.events(mine);
  }

  fail(error: Error): void {
    this.#settle.reject(error);
    this.listener.closed(error);
  }

  close(): void {
    this.#settle.reject(new ClosedError('watch'));
    if (this.#target.remove(this)) this.#release(this.#target);
  }
}
