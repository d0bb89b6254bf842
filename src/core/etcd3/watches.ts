import { status } from '@grpc/grpc-js';
import {
  FilterType,
  type IDuplexStream,
  type IWatchCreateRequest,
  type IWatchRequest,
} from 'etcd3';
import { ClosedError, LimitError, RefusedError } from '../store/errors.js';
import { type KeyRange, keyId } from '../store/keys.js';
import type { Watch, WatchListener, WatchOptions } from '../store/store.js';
import type { Clock } from '../time/clock.js';
import { tell } from '../trace.js';
import { checkNumber } from '../validate.js';
import { Subscription, WatchTarget } from '../watch/watch-target.js';
import type { Endpoint } from './endpoint.js';
import type { EndpointPool } from './pool.js';
import { judge, refusalOf, statusOf } from './status.js';
import { SteadyStream, type StreamUser } from './stream.js';
import { rangeToWire, type WatchReply } from './wire/watch.js';

/** A stream that has said nothing for so long is asked whether it lives. */
const idleLimit = 3_000;
/** A watch nobody uses any more stays for so long: the next use of a lock is likely to be soon. */
const linger = 5_000;
const lingerersAtMost = 256;
/** So many creations may be on their way: an etcd that begins thousands of watches anew serves others in between. */
const creationsAtMost = 1_000;
/** Another token that is refused too will not get better. */
const tokensAtMost = 3;
/** What etcd gives for an ID where it has none. */
const noWatch = '-1';

/**
 * All watches of a process over one stream. Watches of one range from now on share one watch of etcd's.
 * Each resumes after a reconnect behind the last event delivered; where etcd has compacted what came
 * next, it begins at the present and its listeners are told of the gap.
 */
export class Watches implements StreamUser<IWatchRequest, WatchReply> {
  readonly #stream: SteadyStream<IWatchRequest, WatchReply>;
  readonly #pool: EndpointPool;
  readonly #clock: Clock;
  readonly #targets = new Set<WatchTarget>();
  /** Those that etcd is to be asked for yet. */
  readonly #waiting = new Set<WatchTarget>();
  /** Those that etcd was asked for on the present stream, by ID. */
  readonly #asked = new Map<string, WatchTarget>();
  /** Creations on their way, in order: a refusal does not carry the ID of its watch. */
  readonly #creating = new Map<string, () => void>();
  /** IDs whose end etcd has yet to confirm. */
  readonly #ending = new Set<string>();
  readonly #shared = new Map<string, WatchTarget>();
  /** Targets without subscribers, oldest first, and how to stop their removal. */
  readonly #lingering = new Map<WatchTarget, () => void>();
  /**
   * Whether etcd is to divide long messages. To know how long a part is, etcd goes through all of it again for each event it
   * adds: over 100,000 short ones a stream stands still for minutes. So only after one was too long, or took too long.
   */
  #inParts = false;
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
    newest: bigint,
  ): Watch {
    if (this.#closed) throw new ClosedError('store');
    if (from !== undefined) checkNumber('from', from, 1n);
    const share = JSON.stringify([keyId(range.key), keyId(range.end ?? ''), only, previous]);
    let target = this.#shared.get(share);
    if (!target?.covers(from)) {
      const { key, range_end } = rangeToWire(range);
      const filters = only && [only === 'put' ? FilterType.Nodelete : FilterType.Noput];
      const bounds = { key, ...(range_end && { range_end }) };
      const request = { ...bounds, prev_kv: previous, ...(filters && { filters }) };
      const isUseful = !target || from === undefined;
      target = new WatchTarget(request, from, newest, share);
      if (isUseful) this.#shared.set(share, target);
      this.#targets.add(target);
      this.#waiting.add(target);
      this.#ask();
    }
    this.#lingering.get(target)?.();
    this.#lingering.delete(target);
    return new Subscription(target, listener, from, (emptied) => this.#release(emptied));
  }

  async open(endpoint: Endpoint): Promise<IDuplexStream<IWatchRequest, WatchReply>> {
    return endpoint.watch();
  }

  opened(): void {
    this.#ask();
    this.#probe();
  }

  data(reply: WatchReply): void {
    const { id, isCreated, isCanceled, events, isPart } = reply;
    if (isCreated) this.#created(reply);
    else if (isCanceled) this.#canceled(id, reply);
    else if (id !== noWatch) {
      const target = this.#asked.get(id);
      if (!target) this.#end(id);
      // etcd says this of one watch, and not of a stream, only when the watch has had everything.
      else if (events.length === 0) target.progress(reply.revision);
      else if (target.lacks(events)) this.#askAgain(target);
      else target.deliver(events, isPart);
    }
  }

  lost(endpoint: string, error: unknown, forGood: boolean): void {
    tell('restart', () => ({ stream: 'watch', endpoint, error }));
    this.#stopProbe?.();
    const wasSilent = statusOf(error).code === status.DEADLINE_EXCEEDED;
    this.#inParts = refusalOf(error) instanceof LimitError || (wasSilent && !this.#inParts);
    this.#creating.clear();
    this.#ending.clear();
    this.#asked.clear();
    for (const target of this.#targets) {
      target.lost();
      this.#waiting.add(target);
    }
    if (forGood) this.#closeAll(refusalOf(error));
  }

  needed(): boolean {
    return this.#targets.size > 0;
  }

  close(): void {
    this.#closed = true;
    this.#stopProbe?.();
    this.#stream.close();
    this.#closeAll(new ClosedError('store'));
  }

  /** Asks etcd for what it was not asked for yet, as far as it may be now; opens a stream if there is none. */
  #ask(): void {
    for (const target of this.#waiting) {
      if (this.#creating.size >= creationsAtMost) return;
      const id = this.#nextID();
      if (!this.#create(id, { ...target.request, start_revision: String(target.start) })) return;
      target.id = id;
      this.#asked.set(id, target);
      this.#waiting.delete(target);
    }
  }

  #created(reply: WatchReply): void {
    const [first = ''] = this.#creating.keys();
    const id = reply.id === noWatch ? first : reply.id;
    this.#creating.get(id)?.();
    this.#creating.delete(id);
    const target = this.#asked.get(id);
    if (reply.isCanceled) this.#canceled(id, reply);
    else if (target?.created(reply.revision)) this.#askAgain(target);
    // Not if that was the end of the stream: the next one is opened after a pause.
    if (this.#stream.isOpen) this.#ask();
  }

  #canceled(id: string, reply: WatchReply): void {
    this.#ending.delete(id);
    const target = this.#asked.get(id);
    if (!target) return;
    const { cancelReason: details, compacted } = reply;
    if (compacted > 0n || /has been compacted/.test(details)) {
      tell('gap', () => ({ revision: compacted }));
      target.restart();
      this.#askAgain(target);
      return;
    }
    const error = { code: status.UNAVAILABLE, details };
    const tokenRefused = judge(error) === 'unauthenticated';
    if (tokenRefused) target.tokensRefused += 1;
    const noTokenHelps = !this.#pool.canLogin || target.tokensRefused >= tokensAtMost;
    if (/permission denied|range is empty/.test(details) || (tokenRefused && noTokenHelps)) {
      this.#forget(target);
      target.close(new RefusedError('WATCH_CANCELED', details));
    } else {
      // Begin anew, after a pause, and with a new token if it was for that: a stream keeps the one it began with.
      this.#stream.fail(error);
    }
  }

  #askAgain(target: WatchTarget): void {
    // etcd keeps what it cancelled itself until it is told that we know.
    this.#end(target.id);
    this.#asked.delete(target.id);
    this.#waiting.add(target);
    this.#ask();
  }

  #release(target: WatchTarget): void {
    if (this.#closed) return;
    if (this.#shared.get(target.share) !== target) {
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
    const { id } = target;
    this.#forget(target);
    if (id !== '') this.#end(id);
  }

  /** Has etcd end a watch, also one that is not known here: what it has yet to say of it is of no interest. */
  #end(id: string): void {
    if (this.#ending.has(id) || !this.#stream.isOpen) return;
    this.#ending.add(id);
    this.#stream.send({ cancel_request: { watch_id: id } });
  }

  #forget(target: WatchTarget): void {
    this.#lingering.get(target)?.();
    this.#lingering.delete(target);
    if (this.#shared.get(target.share) === target) this.#shared.delete(target.share);
    this.#targets.delete(target);
    this.#waiting.delete(target);
    this.#asked.delete(target.id);
  }

  #closeAll(error: Error): void {
    const targets = [...this.#targets];
    for (const target of targets) {
      this.#forget(target);
      target.close(error);
    }
  }

  /**
   * Has a silent stream say something: by a watch that is cancelled at once. A progress request would
   * not do: it stays unanswered while any watch of the stream begins in the future.
   */
  #probe(after: number = idleLimit): void {
    this.#stopProbe = this.#clock.after(after, () => {
      const left = idleLimit - (this.#clock.now() - this.#stream.heardAt);
      if (left <= 0 && this.needed() && this.#stream.isOpen) {
        const id = this.#nextID();
        this.#create(id, { key: Buffer.from([0]) });
        this.#end(id);
      }
      this.#probe(left > 0 ? left : idleLimit);
    });
  }

  #nextID(): string {
    this.#lastID += 1;
    return String(this.#lastID);
  }

  /** Says whether there is a stream; without one, one is being opened. */
  #create(id: string, request: IWatchCreateRequest): boolean {
    const create_request = {
      ...request,
      watch_id: id,
      fragment: this.#inParts,
      progress_notify: true,
    };
    if (!this.#stream.send({ create_request })) return false;
    this.#creating.set(id, this.#stream.expect());
    return true;
  }
}
