import type { IWatchCreateRequest } from 'etcd3';
import { ClosedError } from '../store/errors.js';
import type { Watch, WatchEvent, WatchListener } from '../store/store.js';
import { deferred } from '../time/deferred.js';

/** One watch at etcd, for one or many subscriptions. */
export class WatchTarget {
  /** The range and filters, as etcd is asked for them. */
  readonly request: IWatchCreateRequest;
  /** Under which name it is shared, as long as no later one is. */
  readonly share: string;
  /** Its ID on the present stream; empty while etcd is not asked for it. */
  id = '';
  /** How often in a row etcd refused our token for it. */
  tokensRefused = 0;
  /** The first revision whose events were not delivered yet; `undefined` before etcd's confirmation. */
  next: bigint | undefined;
  /** The first revision it covers without a gap; `undefined` before etcd's confirmation. */
  since: bigint | undefined;
  /** Whether it began at the present, whenever that was. */
  readonly #fromNow: boolean;
  /** Whether what comes next may be past at etcd: at first as far as we know, and always when it is resumed. */
  #isLate: boolean;
  /** Whether etcd has told of anything since it was asked on the present stream. */
  #isHeard = false;
  readonly #subscriptions = new Set<Subscription>();
  #partial: WatchEvent[] = [];
  /** From where on what comes next was compacted, until it is known up to where. */
  #missed: bigint | undefined;

  /** From `from` on; `newest` is the newest revision known of. */
  constructor(
    request: IWatchCreateRequest,
    from: bigint | undefined,
    newest: bigint,
    share: string,
  ) {
    this.request = request;
    this.next = from;
    this.share = share;
    this.#fromNow = from === undefined;
    this.#isLate = from !== undefined && from <= newest;
  }

  /**
   * From where to ask etcd: 0 for the present. When late, one revision before what comes next: if history was compacted up
   * to just there, etcd before 3.4.36 and 3.5.18 would leave a deletion out without a word; so it says that it is gone. Only
   * when late: etcd looks at watches of the past every 100 ms, and at those of what is to come at once.
   */
  get start(): bigint {
    const { next = 0n } = this;
    return this.#isLate && next > 1n ? next - 1n : next;
  }

  /** Whether a subscription made now gets every event from `from` on, and none of long ago without it. */
  covers(from: bigint | undefined): boolean {
    if (this.#missed !== undefined) return false;
    if (from === undefined) return this.#fromNow;
    return this.since !== undefined && this.next !== undefined && this.next <= from;
  }

  /** etcd has confirmed the watch at `revision`. Says whether it turns out to be late, and is to be asked for again. */
  created(revision: bigint): boolean {
    const asked = this.start;
    this.tokensRefused = 0;
    const missed = this.#missed;
    this.#missed = undefined;
    // The present of a member that fell behind may be what was delivered before.
    this.next ??= missed !== undefined && missed > revision ? missed : revision + 1n;
    this.#isLate = true;
    this.since ??= this.next;
    const subscriptions = [...this.#subscriptions];
    const lost = subscriptions.filter(
      (each) => missed !== undefined && each.from(missed) <= revision,
    );
    for (const subscription of subscriptions) subscription.begin(this.since);
    for (const subscription of lost) {
      if (this.#subscriptions.has(subscription)) subscription.miss(revision);
    }
    return this.next <= revision && this.start < asked;
  }

  /**
   * Whether what etcd tells first lacks what was before, though it was asked for: etcd begins to send before it has noted that.
   * Asked again it does not lack it, if etcd has it still; so this is said once only.
   */
  lacks(events: readonly WatchEvent[]): boolean {
    const isFirst = !this.#isHeard;
    this.#isHeard = true;
    return isFirst && this.request.prev_kv === true && events.some(isWithoutPrevious);
  }

  /**
   * Hands out new events; a message split in fragments only when its last part has come. What was delivered before is
   * left out: no server should, but etcd up to 3.4.23 repeats events at times.
   */
  deliver(events: readonly WatchEvent[], fragment: boolean): void {
    const from = this.next ?? 0n;
    for (const event of events) if (event.kv.modRevision >= from) this.#partial.push(event);
    if (fragment) return;
    const whole = inOrder(this.#partial);
    this.#partial = [];
    const last = whole.at(-1);
    if (!last) return;
    this.next = last.kv.modRevision + 1n;
    // Whoever comes in meanwhile begins at `next`.
    for (const subscription of this.#subscriptions) subscription.deliver(whole);
  }

  /** etcd says that there is nothing up to `revision` that was not delivered. */
  progress(revision: bigint): void {
    if (this.#partial.length > 0 || this.next === undefined) return;
    if (revision >= this.next) this.next = revision + 1n;
  }

  /** The stream broke: what was half received comes again. */
  lost(): void {
    this.id = '';
    this.#isHeard = false;
    this.#partial = [];
  }

  /** etcd no longer has what comes next: go on at the present. */
  restart(): void {
    this.#missed ??= this.next ?? 0n;
    this.next = undefined;
    this.since = undefined;
    this.#partial = [];
  }

  /** The watch is over for good. */
  close(error: Error): void {
    for (const subscription of this.#subscriptions) subscription.fail(error);
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
  readonly ready: Promise<void>;
  since: bigint | undefined;
  readonly #listener: WatchListener;
  readonly #target: WatchTarget;
  readonly #release: (target: WatchTarget) => void;
  readonly #ready = deferred<void>();

  constructor(
    target: WatchTarget,
    listener: WatchListener,
    from: bigint | undefined,
    release: (target: WatchTarget) => void,
  ) {
    this.#target = target;
    this.#listener = listener;
    this.#release = release;
    this.ready = this.#ready.promise;
    target.add(this);
    // Events before `next` have gone to those who were here earlier.
    const since = from ?? target.next;
    if (target.since !== undefined && since !== undefined) this.begin(since);
  }

  /** The first revision not before `revision` that concerns it. */
  from(revision: bigint): bigint {
    const { since = revision } = this;
    return since > revision ? since : revision;
  }

  begin(since: bigint): void {
    this.since ??= since;
    this.#ready.resolve();
  }

  /** Passes on what is in its share: others may have come in earlier. */
  deliver(events: readonly WatchEvent[]): void {
    const { since = 0n } = this;
    const inShare = ({ kv }: WatchEvent): boolean => kv.modRevision >= since;
    const mine = events[0] && inShare(events[0]) ? events : events.filter(inShare);
    if (mine.length > 0) tell(() => this.#listener.events(mine));
  }

  /** What came up to `revision` is not to be had any more. */
  miss(revision: bigint): void {
    this.since = revision + 1n;
    tell(() => this.#listener.gap(revision));
  }

  fail(error: Error): void {
    this.#ready.reject(error);
    tell(() => this.#listener.closed(error));
  }

  close(): void {
    this.#ready.reject(new ClosedError('watch'));
    if (this.#target.remove(this)) this.#release(this.#target);
  }
}

/** Without repetitions, and in order; almost always they are so already. */
function inOrder(events: readonly WatchEvent[]): readonly WatchEvent[] {
  if (events.every(follows)) return events;
  // Those of one revision stay as they came.
  return events.toSorted((a, b) => Number(a.kv.modRevision - b.kv.modRevision)).filter(follows);
}

function follows({ kv }: WatchEvent, i: number, events: readonly WatchEvent[]): boolean {
  const before = events[i - 1]?.kv;
  if (kv.modRevision !== before?.modRevision) return kv.modRevision > (before?.modRevision ?? 0n);
  return !kv.key.equals(before.key);
}

/** Whether there was something before, and etcd does not say what. */
function isWithoutPrevious({ type, kv, previous }: WatchEvent): boolean {
  return !previous && (type === 'delete' || kv.version > 1n);
}

/** A listener that throws disturbs no other: its error surfaces as an uncaught exception of its own. */
function tell(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
