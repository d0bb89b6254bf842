import type { IRangeRequest } from 'etcd3';
import { type Clock, systemClock } from './clock.js';
import { RefusedError } from './errors.js';
import type { AttemptOptions, Endpoint } from './etcd3-endpoint.js';
import { KeepAlives } from './etcd3-keep-alives.js';
import { checkEtcd3Options, type Etcd3Options } from './etcd3-options.js';
import { EndpointPool } from './etcd3-pool.js';
import { statusOf, understood } from './etcd3-status.js';
import { Watches } from './etcd3-watches.js';
import { rangeFromWire, readToWire, txnFromWire, txnToWire } from './etcd3-wire.js';
import { writes } from './footprint.js';
import type { KeyRange } from './keys.js';
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
} from './store.js';

/** The `Store` on a real etcd cluster, through etcd3's typed clients over gRPC. */
export class Etcd3Store implements Store {
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
    this.#pool = new EndpointPool(options, clock);
    this.#watches = new Watches(this.#pool, clock);
    this.#keepAlives = new KeepAlives(this.#pool, clock);
  }

  async read(range: RangeRequest, options: ReadOptions = {}): Promise<RangeReply> {
    const request = readToWire(range);
    const reply = await this.#pool.call('none', options, async (endpoint, attempt) => {
      const near = options.serializable && (await this.#readNear(endpoint, request, attempt));
      if (near) return near;
      const response = await endpoint.kv.range(request, attempt);
      return understood(() => rangeFromWire(response));
    });
    this.#note(reply.revision);
    return reply;
  }

  async commit(txn: Txn, options: CommitOptions = {}): Promise<TxnReply> {
    const request = txnToWire(txn);
    const write = options.idempotent ? 'idempotent' : 'once';
    const effect = writes(txn) ? write : 'none';
    const reply = await this.#pool.call(effect, options, async (endpoint, attempt) => {
      const response = await endpoint.kv.txn(request, attempt);
      return understood(() => txnFromWire(response, txn));
    });
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
    return this.#watches.watch(range, noting, options);
  }

  async grant(lease: bigint, ttl: number, options: CallOptions = {}): Promise<number> {
    const ID = String(lease);
    try {
      const request = { ID, TTL: Math.ceil(ttl / 1_000) };
      const reply = await this.#pool.call('idempotent', options, (endpoint, attempt) =>
        endpoint.leases.leaseGrant(request, attempt),
      );
      return Number(reply.TTL) * 1_000;
    } catch (error) {
      // An earlier attempt was applied although its answer was lost: the ID is ours alone.
      if (!(error instanceof RefusedError && /already exists/.test(error.message))) throw error;
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
    try {
      await this.#pool.call('idempotent', options, (endpoint, attempt) =>
        endpoint.leases.leaseRevoke({ ID: String(lease) }, attempt),
      );
    } catch (error) {
      if (!(error instanceof RefusedError && error.status === 'NOT_FOUND')) throw error;
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

  /** What a member has without asking the others; `undefined` if it is behind what we know, or what is asked for. */
  async #readNear(
    endpoint: Endpoint,
    request: IRangeRequest,
    options: AttemptOptions,
  ): Promise<RangeReply | undefined> {
    try {
      const near = await endpoint.kv.range({ ...request, serializable: true }, options);
      const reply = understood(() => rangeFromWire(near));
      return reply.revision >= this.#seen ? reply : undefined;
    } catch (error) {
      if (/future revision/.test(statusOf(error).details)) return undefined;
      throw error;
    }
  }

  #note(revision: bigint): void {
    if (revision > this.#seen) this.#seen = revision;
  }
}
