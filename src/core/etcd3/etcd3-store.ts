import { writes } from '../commit/footprint.js';
import type { AccessControl } from '../store/access-control.js';
import type { KeyRange } from '../store/keys.js';
import { refusalIn } from '../store/refusals.js';
import type {
  CallOptions,
  CommitOptions,
  EndpointHealth,
  RangeReply,
  RangeRequest,
  ReadOptions,
  Store,
  Txn,
  TxnReply,
  Watch,
  WatchListener,
  WatchOptions,
} from '../store/store.js';
import { type Clock, systemClock } from '../time/clock.js';
import { checkGrant, checkNumber } from '../validate.js';
import type { AttemptOptions, Endpoint } from './endpoint.js';
import { Etcd3AccessControl } from './etcd3-access-control.js';
import { KeepAlives } from './keep-alives.js';
import { checkEtcd3Options, type Etcd3Options } from './options.js';
import { EndpointPool } from './pool.js';
import { statusOf } from './status.js';
import { Watches } from './watches.js';
import { type Call, rangeCall, txnCall } from './wire/calls.js';

/** The `Store` on a real etcd cluster, through etcd3's typed clients over gRPC. */
export class Etcd3Store implements Store {
  readonly access: AccessControl;
  readonly #clock: Clock;
  readonly #pool: EndpointPool;
  readonly #watches: Watches;
  readonly #keepAlives: KeepAlives;
  /** The newest revision that anything told. */
  #seen = 0n;

  /**
   * Connects when first used.
   *
   * @throws ArgumentError if an option is not usable.
   */
  constructor(options: Etcd3Options, clock: Clock = systemClock) {
    checkEtcd3Options(options);
    this.#clock = clock;
    this.#pool = new EndpointPool(options, clock);
    this.access = new Etcd3AccessControl(this.#pool);
    this.#watches = new Watches(this.#pool, clock);
    this.#keepAlives = new KeepAlives(this.#pool, clock);
  }

  async read(range: RangeRequest, options: ReadOptions = {}): Promise<RangeReply> {
    // What is no range is its caller's fault, and no endpoint's.
    const call = rangeCall(range);
    const near = options.serializable ? rangeCall(range, true) : undefined;
    const leaderless = new Set<Endpoint>();
    const reply = await this.#pool.call('none', options, (endpoint, attempt) =>
      near
        ? this.#readNear(endpoint, near, call, attempt, leaderless)
        : endpoint.call(call, attempt),
    );
    this.#note(reply.revision);
    return reply;
  }

  async commit(txn: Txn, options: CommitOptions = {}): Promise<TxnReply> {
    const call = txnCall(txn);
    const write = options.idempotent ? 'idempotent' : 'once';
    const effect = writes(txn) ? write : 'none';
    const reply = await this.#pool.call(effect, options, (endpoint, attempt) =>
      endpoint.call(call, attempt),
    );
    this.#note(reply.revision);
    return reply;
  }

  watch(range: KeyRange, listener: WatchListener, options: WatchOptions = {}): Watch {
    const noting: WatchListener = {
      events: (events) => {
        this.#note(events.at(-1)?.kv.modRevision ?? 0n);
        listener.events(events);
      },
      gap: (revision) => listener.gap(revision),
      closed: (error) => listener.closed(error),
    };
    return this.#watches.watch(range, noting, options, this.#seen);
  }

  async grant(lease: bigint, ttl: number, options: CallOptions = {}): Promise<number> {
    checkGrant(lease, ttl);
    const ID = String(lease);
    try {
      const request = { ID, TTL: Math.ceil(ttl / 1_000) };
      const reply = await this.#pool.call('idempotent', options, (endpoint, attempt) =>
        endpoint.leases.leaseGrant(request, attempt),
      );
      return Number(reply.TTL) * 1_000;
    } catch (error) {
      // An earlier attempt was applied although its answer was lost: the ID is ours alone.
      if (!/already exists/.test(refusalIn(error)?.message ?? '')) throw error;
      const reply = await this.#pool.call('none', options, (endpoint, attempt) =>
        endpoint.leases.leaseTimeToLive({ ID }, attempt),
      );
      return Number(reply.grantedTTL) * 1_000;
    }
  }

  keepAlive(lease: bigint, options: CallOptions = {}): Promise<number> {
    return this.#keepAlives.renew(lease, options);
  }

  async revoke(lease: bigint, options: CallOptions = {}): Promise<void> {
    checkNumber('lease', lease);
    try {
      await this.#pool.call('idempotent', options, (endpoint, attempt) =>
        endpoint.leases.leaseRevoke({ ID: String(lease) }, attempt),
      );
    } catch (error) {
      if (refusalIn(error)?.status !== 'NOT_FOUND') throw error;
    }
  }

  health(options: CallOptions = {}): Promise<readonly EndpointHealth[]> {
    return this.#pool.health(options);
  }

  close(): void {
    this.#watches.close();
    this.#keepAlives.close();
    this.#pool.close();
  }

  /**
   * What a member has without asking the others, unless it is behind what we know, or what is asked for. One that knows of no
   * leader may be cut off, and answers only when it is asked again: by then all others were.
   */
  async #readNear(
    endpoint: Endpoint,
    nearCall: Call<RangeReply>,
    call: Call<RangeReply>,
    { limit, signal }: AttemptOptions,
    leaderless: Set<Endpoint>,
  ): Promise<RangeReply> {
    const began = this.#clock.now();
    try {
      const attempt = { limit, signal, leaderless: leaderless.has(endpoint) };
      const near = await endpoint.call(nearCall, attempt);
      if (near.revision >= this.#seen) return near;
    } catch (error) {
      const { details } = statusOf(error);
      if (/no leader/.test(details)) leaderless.add(endpoint);
      if (!/future revision/.test(details)) throw error;
    }
    const left = limit && Math.max(1, limit - (this.#clock.now() - began));
    return endpoint.call(call, { limit: left, signal });
  }

  #note(revision: bigint): void {
    if (revision > this.#seen) this.#seen = revision;
  }
}
