import { setMaxListeners } from 'node:events';
import { status } from '@grpc/grpc-js';
import { failureOf, judge, refusalOf } from '../../../core/etcd3/status.js';
import {
  ClosedError,
  isCoordinationError,
  RefusedError,
  UnavailableError,
} from '../../../core/store/errors.js';
import type { KeyRange } from '../../../core/store/keys.js';
import type {
  CallOptions,
  CommitOptions,
  EndpointHealth,
  EndpointStatus,
  RangeReply,
  RangeRequest,
  Store,
  Txn,
  TxnReply,
  Watch,
  WatchListener,
  WatchOptions,
} from '../../../core/store/store.js';
import type { Clock } from '../../../core/time/clock.js';
import { abortable, onAbort } from '../../../core/time/signals.js';
import { checkGrant, checkNumber, milliseconds } from '../../../core/validate.js';
import type { Backend } from '../backend.js';
import { EtcdError } from '../errors.js';
import type { Faults, RpcName } from '../faults.js';
import { VERSION } from '../rpcs.js';
import { DirectWatch } from './direct-watch.js';
import { fromRange, fromTxn } from './replies.js';
import { toInterval, toRange, toTxn } from './requests.js';

const SECOND = 1000;
const TIMEOUT = 5000;
/** Who is said to have failed. */
const NAME = 'in-process etcd';

/** What a `DirectStore` is made of. */
export interface DirectStoreParts {
  readonly backend: Backend;
  readonly faults: Faults;
  /** By which callers lose patience. */
  readonly clock: Clock;
  readonly onClose: (store: DirectStore) => void;
}

/**
 * The `Store` on an etcd in this process, without a connection in between: calls go straight to its data, and
 * wait only for faults. One attempt per call.
 */
export class DirectStore implements Store {
  readonly #parts: DirectStoreParts;
  readonly #life = new AbortController();
  readonly #watches = new Set<DirectWatch>();

  /** @internal */
  constructor(parts: DirectStoreParts) {
    this.#parts = parts;
    // One listener for each call that waits.
    setMaxListeners(0, this.#life.signal);
  }

  async read(range: RangeRequest, options?: CallOptions): Promise<RangeReply> {
    const request = toRange(range);
    const reply = await this.#call(
      'KV.Range',
      () => this.#parts.backend.kv.range(request),
      false,
      options,
    );
    return { ...fromRange(reply), revision: BigInt(reply.header?.revision ?? 0) };
  }

  async commit(txn: Txn, options?: CommitOptions): Promise<TxnReply> {
    const request = toTxn(txn);
    return fromTxn(
      await this.#call('KV.Txn', () => this.#parts.backend.kv.txn(request), true, options),
    );
  }

  watch(range: KeyRange, listener: WatchListener, options: WatchOptions = {}): Watch {
    this.#checkOpen();
    const { from, only, previous = false } = options;
    if (from !== undefined) checkNumber('from', from, 1n);
    const spec = {
      interval: toInterval(range),
      from: from === undefined ? undefined : Number(from),
      puts: only !== 'delete',
      deletions: only !== 'put',
      previous,
    };
    const watch = new DirectWatch(this.#parts.backend, spec, listener);
    this.#watches.add(watch);
    onAbort(watch.over, () => this.#watches.delete(watch));
    watch.open(this.#parts.faults);
    return watch;
  }

  async grant(lease: bigint, ttl: number, options?: CallOptions): Promise<number> {
    checkGrant(lease, ttl);
    const { leases } = this.#parts.backend;
    const grant = (): number => {
      // The ID is the caller's alone: an earlier try got through.
      const found = leases.timeToLive(lease) ?? leases.grant(Math.ceil(ttl / SECOND), lease);
      return found.ttl * SECOND;
    };
    return this.#call('Lease.LeaseGrant', grant, true, options);
  }

  async keepAlive(lease: bigint, options?: CallOptions): Promise<number> {
    checkNumber('lease', lease);
    const { leases } = this.#parts.backend;
    const renew = (): number => leases.keepAlive(lease) * SECOND;
    return this.#call('Lease.LeaseKeepAlive', renew, true, options);
  }

  async revoke(lease: bigint, options?: CallOptions): Promise<void> {
    checkNumber('lease', lease);
    const { leases } = this.#parts.backend;
    const revoke = (): void => {
      if (leases.has(lease)) leases.revoke(lease);
    };
    await this.#call('Lease.LeaseRevoke', revoke, true, options);
  }

  async health(options?: CallOptions): Promise<readonly EndpointHealth[]> {
    const { backend, clock } = this.#parts;
    const asked = clock.now();
    try {
      const ask = (): EndpointStatus => statusOf(backend);
      const said = await this.#call('Maintenance.Status', ask, false, options);
      return [{ endpoint: NAME, healthy: true, latency: clock.now() - asked, status: said }];
    } catch (error) {
      if (!(error instanceof UnavailableError || error instanceof RefusedError)) throw error;
      return [{ endpoint: NAME, healthy: false, error }];
    }
  }

  close(): void {
    if (this.#life.signal.aborted) return;
    const error = new ClosedError('store');
    this.#life.abort(error);
    this.#parts.onClose(this);
    for (const watch of this.#watches) watch.fail(error);
  }

  async #call<T>(
    rpc: RpcName,
    act: () => T,
    isWrite: boolean,
    options: CallOptions = {},
  ): Promise<T> {
    this.#checkOpen();
    options.signal?.throwIfAborted();
    if (options.timeout !== undefined) milliseconds('timeout', options.timeout);
    try {
      return this.#parts.faults.none ? act() : await this.#struck(rpc, act, options);
    } catch (error) {
      if (isCoordinationError(error) || options.signal?.aborted) throw error;
      const verdict = judge(error);
      if (verdict === 'refused') throw refusalOf(error);
      const outcome = isWrite && verdict === 'unknown' ? 'unknown' : 'not-applied';
      throw new UnavailableError(outcome, [failureOf(NAME, error)], { cause: error });
    }
  }

  /** A call that meets faults may be given up; it has no effect then if it has had none before. */
  async #struck<T>(rpc: RpcName, act: () => T, options: CallOptions): Promise<T> {
    const { signal, timeout = TIMEOUT, attemptTimeout = timeout } = options;
    const limit = Math.min(timeout, attemptTimeout);
    const life = new AbortController();
    const giveUp = (reason: unknown): void => life.abort(reason);
    const undo = [
      onAbort(signal, () => giveUp(signal?.reason)),
      onAbort(this.#life.signal, () => giveUp(this.#life.signal.reason)),
      this.#parts.clock.after(limit, () =>
        giveUp(new EtcdError(status.DEADLINE_EXCEEDED, `no answer within ${limit} ms`)),
      ),
    ];
    const actInTime = (): T => {
      life.signal.throwIfAborted();
      return act();
    };
    try {
      return await abortable(this.#parts.faults.run(rpc, actInTime, life.signal), life.signal);
    } finally {
      for (const release of undo) release();
    }
  }

  #checkOpen(): void {
    this.#life.signal.throwIfAborted();
  }
}

function statusOf(backend: Backend): EndpointStatus {
  const { memberId, store } = backend;
  const { revision, raftTerm } = backend.header();
  return {
    version: VERSION,
    memberId,
    leader: memberId,
    isLearner: false,
    revision: BigInt(revision),
    raftTerm,
    dbSize: store.bytes,
    dbSizeInUse: store.bytes,
    alarms: [],
  };
}
