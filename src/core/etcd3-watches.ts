import { status } from '@grpc/grpc-js';
import {
  FilterType,
  type IDuplexStream,
  type IWatchCreateRequest,
  type IWatchRequest,
  type IWatchResponse,
} from 'etcd3';
import type { Clock } from './clock.js';
import { ClosedError, RefusedError } from './errors.js';
import type { Endpoint } from './etcd3-endpoint.js';
import type { EndpointPool } from './etcd3-pool.js';
import { judge } from './etcd3-status.js';
import { SteadyStream, type StreamUser } from './etcd3-stream.js';
import { eventFromWire, rangeToWire } from './etcd3-wire.js';
import { type KeyRange, keyId } from './keys.js';
import type { Watch, WatchListener, WatchOptions } from './store.js';
import { Subscription, WatchTarget } from './watch-target.js';

/** A stream that has said nothing for so long is asked whether it lives. */
const idleLimit = 3_000;
/** A watch nobody uses any more stays for so long: the next use of a lock is likely to be soon. */
const linger = 5_000;
const lingerersAtMost = 256;

/**
 * All watches of a process over one stream. Watches of one range from now on share one watch of etcd's.
 * Each resumes after a reconnect behind the last event delivered; where etcd has compacted what came
 * next, it begins at the present and its listeners are told of the gap.
 */
export class Watches implements StreamUser<IWatchRequest, IWatchResponse> {
  readonly #stream: SteadyStream<IWatchRequest, IWatchResponse>;
  readonly #pool: EndpointPool;
  readonly #clock: Clock;
  readonly #targets = new Map<string, WatchTarget>();
  readonly #shared = new Map<string, WatchTarget>();
  /** Targets without subscribers, oldest first, and how to stop their removal. */
  readonly #lingering = new Map<WatchTarget, () => void>();
  /** Creations on their way, in order: a refusal does not carry the ID of its watch. */
  #creating: { readonly id: string; readonly met: () => void }[] = [];
  #lastID = 0;
  #stopProbe: (() => void) | undefined;
  #closed = false;

  constructor(pool: EndpointPool, clock: Clock) {
    this.#stream = new SteadyStream(pool, clock, this);
    this.#pool = pool;
    this.#clock = clock;
  }

  watch(
    range: KeyRange,
    listener: WatchListener,
    { from, only, previous = false }: WatchOptions,
  ): Watch {
    if (this.#closed) throw new ClosedError('store');
    const share = JSON.stringify([keyId(range.key), keyId(range.end ?? ''), only, previous]);
    let target = this.#shared.get(share);
    if (!target?.covers(from)) {
      const { key, range_end } = rangeToWire(range);
      const filters = only && [only === 'put' ? FilterType.Nodelete : FilterType.Noput];
      const bounds = { key, ...(range_end && { range_end }) };
      const request = { ...bounds, prev_kv: previous, ...(filters && { filters }) };
      const shared = !target;
      target = new WatchTarget(request, from, shared ? share : undefined);
      if (shared) this.#shared.set(share, target);
      this.#create(target);
    }
    this.#lingering.get(target)?.();
    this.#lingering.delete(target);
    return new Subscription(target, listener, from, (emptied) => this.#release(emptied));
  }

  open(endpoint: Endpoint): Promise<IDuplexStream<IWatchRequest, IWatchResponse>> {
    return endpoint.watches.watch();
  }

  opened(): void {
    const targets = [...this.#targets.values()];
    this.#targets.clear();
    for (const target of targets) this.#create(target);
    this.#probe();
  }

  data(reply: IWatchResponse): void {
    if (reply.created) this.#created(reply);
    else if (reply.canceled) this.#canceled(this.#targets.get(reply.watch_id), reply);
    else
      this.#targets.get(reply.watch_id)?.deliver(reply.events.map(eventFromWire), reply.fragment);
  }

  lost(): void {
    this.#creating = [];
    this.#stopProbe?.();
    for (const target of this.#targets.values()) target.dropPartial();
  }

  needed(): boolean {
    return this.#targets.size > 0;
  }

  close(): void {
    this.#closed = true;
    this.#stopProbe?.();
    for (const stop of this.#lingering.values()) stop();
    this.#stream.close();
    for (const target of this.#targets.values()) target.close(new ClosedError('store'));
    this.#targets.clear();
  }

  #create(target: WatchTarget): void {
    target.id = this.#nextID();
    this.#targets.set(target.id, target);
    this.#requestWatch(target.id, { ...target.request, start_revision: String(target.start) });
  }

  #created(reply: IWatchResponse): void {
    const creation = this.#creating.shift();
    creation?.met();
    // The target may have been released, or created again, meanwhile.
    const target = this.#targets.get(creation?.id ?? '');
    if (!target) return;
    if (reply.canceled) this.#canceled(target, reply);
    else target.created(BigInt(reply.header.revision));
  }

  #canceled(target: WatchTarget | undefined, reply: IWatchResponse): void {
    if (!target) return;
    this.#targets.delete(target.id);
    if (BigInt(reply.compact_revision) > 0n || /has been compacted/.test(reply.cancel_reason)) {
      target.restart();
      this.#create(target);
      return;
    }
    const error = { code: status.UNAVAILABLE, details: reply.cancel_reason };
    const tokenRefused = judge(error) === 'unauthenticated';
    if (
      /permission denied|range is empty/.test(reply.cancel_reason) ||
      (tokenRefused && !this.#pool.canLogin)
    ) {
      this.#forget(target);
      target.close(new RefusedError('WATCH_CANCELED', reply.cancel_reason));
    } else {
      // Begin anew, after a pause, and with a new token if it was for that.
      this.#targets.set(target.id, target);
      this.#stream.fail(error);
    }
  }

  #release(target: WatchTarget): void {
    if (this.#closed) return;
    if (target.share === undefined) {
      this.#cancel(target);
      return;
    }
    this.#lingering.set(
      target,
      this.#clock.after(linger, () => this.#cancel(target)),
    );
    if (this.#lingering.size > lingerersAtMost) {
      const [oldest] = this.#lingering.keys();
      if (oldest) this.#cancel(oldest);
    }
  }

  #cancel(target: WatchTarget): void {
    this.#forget(target);
    if (this.#targets.delete(target.id) && this.#stream.isOpen) {
      this.#stream.send({ cancel_request: { watch_id: target.id } });
    }
  }

  #forget(target: WatchTarget): void {
    this.#lingering.get(target)?.();
    this.#lingering.delete(target);
    if (target.share !== undefined) this.#shared.delete(target.share);
  }

  /**
   * Has a silent stream say something: by a watch that is cancelled at once. A progress request would
   * not do: it stays unanswered while any watch of the stream begins in the future.
   */
  #probe(): void {
    this.#stopProbe = this.#clock.after(idleLimit, () => {
      const idle = this.#clock.now() - this.#stream.heardAt;
      if (idle >= idleLimit && this.needed() && this.#stream.isOpen) {
        const id = this.#nextID();
        this.#requestWatch(id, { key: Buffer.from([0]) });
        this.#stream.send({ cancel_request: { watch_id: id } });
      }
      this.#probe();
    });
  }

  #nextID(): string {
    this.#lastID += 1;
    return String(this.#lastID);
  }

  #requestWatch(id: string, request: IWatchCreateRequest): void {
    const create_request = { ...request, watch_id: id, fragment: true };
    // Without an open stream this opens one, and `opened` then asks for every target.
    if (this.#stream.send({ create_request })) {
      this.#creating.push({ id, met: this.#stream.expect(this.#pool.attemptTimeout) });
    }
  }
}
