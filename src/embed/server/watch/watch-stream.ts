import type { Clock } from '../../../core/time/clock.js';
import type { Access } from '../auth/access.js';
import { EtcdError, inGo, refusal } from '../errors.js';
import { toKeyValue } from '../kv/key-value.js';
import { type Interval, intervalOf, isEmpty } from '../mvcc/interval.js';
import type { MvccStore } from '../mvcc/store.js';
import { isDeletion, type Version } from '../mvcc/version.js';
import type { Init } from '../wire/codec.js';
import type { Event, WatchCreateRequest, WatchRequest, WatchResponse } from '../wire/watch.js';
import { inFragments } from './fragments.js';
import { before, type Receiver, type Watcher } from './watcher.js';
import type { Watches } from './watches.js';

/** The ID in replies that are about no watch in particular, or about one that was refused. */
const NO_WATCH = -1n;

/** What is behind a stream. */
export interface WatchStreamParts {
  /** What its client may do. */
  readonly access: Access;
  readonly store: MvccStore;
  readonly watches: Watches;
  readonly clock: Clock;
  /** Milliseconds between progress notifications. */
  readonly progressInterval: number;
  /** Bytes from which a response is split, for watches that ask for it. */
  readonly fragmentSize: number;
}

interface OwnWatch {
  readonly watcher: Watcher;
  /** The revision that was asked for; 0 for now. */
  readonly start: number;
  readonly notify: boolean;
  readonly activity: Activity;
}

interface Activity {
  /** Whether nothing was sent since the last progress notification was due. */
  quiet: boolean;
}

/** The watches of one client's stream, told apart by IDs. */
export class WatchStream {
  readonly #parts: WatchStreamParts;
  readonly #send: (response: Init<WatchResponse>) => boolean;
  readonly #watches = new Map<bigint, OwnWatch>();
  #nextId = 0n;
  #ready = true;
  #stopTimer: (() => void) | undefined;

  /** `send` says whether more may be sent at once; if not, `drained` must be called when it may. */
  constructor(parts: WatchStreamParts, send: (response: Init<WatchResponse>) => boolean) {
    this.#parts = parts;
    this.#send = send;
  }

  request({ create, cancel, progress }: WatchRequest): void {
    if (create) this.#create(create);
    else if (cancel) this.#cancel(cancel.watchId);
    else if (progress) this.#progress();
  }

  /** Goes on with what was held back. */
  drained(): void {
    this.#ready = true;
    for (const { watcher } of this.#watches.values()) this.#parts.watches.resume(watcher);
  }

  close(): void {
    this.#stopTimer?.();
    for (const { watcher } of this.#watches.values()) this.#parts.watches.remove(watcher);
    this.#watches.clear();
  }

  #create(request: WatchCreateRequest): void {
    const { store, watches } = this.#parts;
    const header = { revision: store.revision };
    const { startRevision, filters } = request;
    const interval = intervalOf(request.key || '\0', request.rangeEnd);
    const cancelReason = this.#objection(request, interval);
    if (cancelReason !== undefined) {
      this.#write({ header, watchId: NO_WATCH, created: true, canceled: true, cancelReason });
      return;
    }
    const watchId = request.watchId === 0n ? this.#freeId() : request.watchId;
    this.#write({ header, watchId, created: true });
    const spec = {
      interval,
      from: startRevision === 0 ? store.revision + 1 : startRevision,
      puts: !filters.includes(0),
      deletions: !filters.includes(1),
    };
    const activity = { quiet: true };
    const watcher = watches.add(spec, this.#receiver(watchId, activity, request));
    const { progressNotify: notify } = request;
    this.#watches.set(watchId, { watcher, start: startRevision, notify, activity });
    watches.resume(watcher);
    if (request.progressNotify) this.#stopTimer ??= this.#nextNotification();
  }

  /** Why a watch cannot be set, if it cannot. */
  #objection(
    { key, rangeEnd, startRevision, watchId }: WatchCreateRequest,
    interval: Interval,
  ): string | undefined {
    if (startRevision < 0) return refusal('compacted').details;
    try {
      this.#parts.access.read(key || '\0', rangeEnd);
    } catch (error) {
      if (error instanceof EtcdError) return inGo(error);
      throw error;
    }
    if (isEmpty(interval)) return 'mvcc: watcher range is empty';
    const isTaken = watchId !== 0n && this.#watches.has(watchId);
    return isTaken ? 'mvcc: duplicate watch ID provided on the WatchStream' : undefined;
  }

  #receiver(
    watchId: bigint,
    activity: Activity,
    { prevKv, fragment }: WatchCreateRequest,
  ): Receiver {
    const { store, fragmentSize } = this.#parts;
    return {
      isReady: () => this.#ready,
      events: (changes) => {
        activity.quiet = false;
        const events = changes.map((change) => toEvent(change, prevKv ? store : undefined));
        const response = { header: { revision: store.revision }, watchId, events };
        for (const part of fragment ? inFragments(response, fragmentSize) : [response]) {
          this.#write(part);
        }
      },
      compacted: (compactRevision) => {
        // As with etcd, its ID stays taken until the client cancels it, and there is no more progress to tell.
        this.#write({ header: { revision: 0 }, watchId, canceled: true, compactRevision });
      },
    };
  }

  #cancel(watchId: bigint): void {
    const own = this.#watches.get(watchId);
    if (!own) return;
    const { store, watches } = this.#parts;
    watches.remove(own.watcher);
    this.#watches.delete(watchId);
    this.#write({ header: { revision: store.revision }, watchId, canceled: true });
  }

  /** Says how far all watches are, if they all are as far as the store. */
  #progress(): void {
    const { revision } = this.#parts.store;
    const watches = [...this.#watches.values()];
    if (watches.length > 0 && watches.every((own) => isUpToDate(own, revision))) {
      this.#write({ header: { revision }, watchId: NO_WATCH });
    }
  }

  #nextNotification(): () => void {
    const { clock, progressInterval } = this.#parts;
    return clock.after(progressInterval, () => {
      this.#notify();
      this.#stopTimer = this.#nextNotification();
    });
  }

  #notify(): void {
    const { revision } = this.#parts.store;
    for (const [watchId, own] of this.#watches) {
      if (own.notify && own.activity.quiet && isUpToDate(own, revision)) {
        this.#write({ header: { revision }, watchId });
      }
      own.activity.quiet = true;
    }
  }

  #freeId(): bigint {
    while (this.#watches.has(this.#nextId)) this.#nextId += 1n;
    this.#nextId += 1n;
    return this.#nextId - 1n;
  }

  #write(response: Init<WatchResponse>): void {
    if (!this.#send(response)) this.#ready = false;
  }
}

/** Whether it has begun and was told of everything. */
function isUpToDate({ watcher, start }: OwnWatch, revision: number): boolean {
  return watcher.live && start <= revision;
}

function toEvent(change: Version, store: MvccStore | undefined): Init<Event> {
  const event = { type: isDeletion(change) ? 1 : 0, kv: toKeyValue(change) };
  const previous = store && before(change, store);
  return previous ? { ...event, prevKv: toKeyValue(previous) } : event;
}
