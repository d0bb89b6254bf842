import { status } from '@grpc/grpc-js';
import { ClosedError, isCoordinationError, UnavailableError } from '../../../core/errors.js';
import { failureOf, judge, refusalOf } from '../../../core/etcd3-status.js';
import type { KeyRange } from '../../../core/keys.js';
import { abortable, onAbort } from '../../../core/signals.js';
import type {
  CallOptions,
  CommitOptions,
  RangeReply,
  RangeRequest,
  Store,
  Txn,
  TxnReply,
  Watch,
  WatchListener,
  WatchOptions,
} from '../../../core/store.js';
import type { Backend } from '../backend.js';
import { EtcdError } from '../errors.js';
import type { Faults, RpcName } from '../faults.js';
import { DirectWatch } from './direct-watch.js';
import { fromRange, fromTxn } from './replies.js';
import { toInterval, toRange, toTxn } from './requests.js';

const SECOND = 1000;
const TIMEOUT = 5000;
/** Who is said to have failed. */
const NAME = 'in-process etcd';

/**
 * The `Store` on an etcd in this process, without a connection in between: calls go straight to its data, and
 * wait only for faults. One attempt per call.
 */
export class DirectStore implements Store {
  readonly #backend: Backend;
  readonly #faults: Faults;
  readonly #life = new AbortController();
  readonly #watches = new Set<DirectWatch>();

  /** @internal */
  constructor(backend: Backend, faults: Faults) {
    this.#backend = backend;
    this.#faults = faults;
  }

  async read(range: RangeRequest, options?: CallOptions): Promise<RangeReply> {
    const request = toRange(range);
    const reply = await this.#call(
      'KV.Range',
      () => this.#backend.kv.range(request),
      false,
      options,
    );
    return { ...fromRange(reply), revision: BigInt(reply.header?.revision ?? 0) };
  }

  async commit(txn: Txn, options?: CommitOptions): Promise<TxnReply> {
    const request = toTxn(txn);
    return fromTxn(await this.#call('KV.Txn', () => this.#backend.kv.txn(request), true, options));
  }

  watch(range: KeyRange, listener: WatchListener, options: WatchOptions = {}): Watch {
    this.#checkOpen();
    const { from, only } = options;
    const spec = {
      interval: toInterval(range),
      from: from === undefined ? this.#backend.store.revision + 1 : Number(from),
      puts: only !== 'delete',
      deletions: only !== 'put',
    };
    const watch = new DirectWatch(this.#backend, spec, listener, () => this.#watches.delete(watch));
    this.#watches.add(watch);
    return watch;
  }

  async grant(lease: bigint, ttl: number, options?: CallOptions): Promise<number> {
    const { leases } = this.#backend;
    const grant = (): number => {
      // The ID is the caller's alone: an earlier try got through.
      const found = leases.timeToLive(lease) ?? leases.grant(Math.ceil(ttl / SECOND), lease);
      return found.ttl * SECOND;
    };
    return this.#call('Lease.LeaseGrant', grant, true, options);
  }

  async keepAlive(lease: bigint, options?: CallOptions): Promise<number> {
    const { leases } = this.#backend;
    const renew = (): number => leases.keepAlive(lease) * SECOND;
    return this.#call('Lease.LeaseKeepAlive', renew, true, options);
  }

  async revoke(lease: bigint, options?: CallOptions): Promise<void> {
    const { leases } = this.#backend;
    const revoke = (): void => {
      if (leases.has(lease)) leases.revoke(lease);
    };
    await this.#call('Lease.LeaseRevoke', revoke, true, options);
  }

  close(): void {
    const error = new ClosedError('store');
    this.#life.abort(error);
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
    try {
      return this.#faults.none ? act() : await this.#struck(rpc, act, options);
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
    const { signal, timeout = TIMEOUT } = options;
    const life = new AbortController();
    const giveUp = (reason: unknown): void => life.abort(reason);
    const undo = [
      onAbort(signal, () => giveUp(signal?.reason)),
      onAbort(this.#life.signal, () => giveUp(this.#life.signal.reason)),
      this.#backend.clock.after(timeout, () =>
        giveUp(new EtcdError(status.DEADLINE_EXCEEDED, `no answer within ${timeout} ms`)),
      ),
    ];
    const actInTime = (): T => {
      life.signal.throwIfAborted();
      return act();
    };
    try {
      return await abortable(this.#faults.run(rpc, actInTime), life.signal);
    } finally {
      for (const release of undo) release();
    }
  }

  #checkOpen(): void {
    this.#life.signal.throwIfAborted();
  }
}
