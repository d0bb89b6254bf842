import { type ScanOptions, scan } from './scan.js';
import { Stm } from './stm/stm.js';
import type { StmOptions } from './stm/stm-options.js';
import type { StmFunction } from './stm/stm-run.js';
import { type Keys, rangeOf } from './store/key-span.js';
import type { Data, KeyRange } from './store/keys.js';
import type {
  CallOptions,
  CommitOptions,
  EndpointHealth,
  KeyValue,
  RangeReply,
  RangeRequest,
  ReadOptions,
  Store,
} from './store/store.js';
import { Backoff } from './time/backoff.js';
import { type Clock, systemClock } from './time/clock.js';
import { persist } from './time/persist.js';
import { type WaitOptions, waitScope } from './time/signals.js';
import { checkRead, maxTxnOps } from './txn/check-txn.js';
import { TxnBuilder } from './txn/txn-builder.js';
import {
  type DeleteOptions,
  type DeleteResult,
  type GetOptions,
  getRequest,
  op,
  type PutOptions,
  type PutResult,
  type RangeOptions,
  rangeRequest,
  type Step,
} from './txn/txn-steps.js';
import { checkNumber } from './validate.js';
import { Watching, type WatchingOptions } from './watch/watching.js';

/** The revision at which a write took effect. */
export interface Written {
  readonly revision: bigint;
}

/** What a client can be told beyond its store. */
export interface ClientOptions {
  /** Where time comes from. @defaultValue Node's */
  readonly clock?: Clock;
  /** How many operations etcd takes in a transaction, if it was told otherwise. @defaultValue 128 */
  readonly maxTxnOps?: number | undefined;
}

/**
 * What etcd can do, by key: reads and writes, transactions whose types follow from their steps, and functions that
 * run as transactions. It works on any store, so in a namespace too. Writes are applied exactly once where the store
 * can make sure of that, and otherwise sent once; values are bytes.
 */
export class Client {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #maxOps: number;
  readonly #stm: Stm;

  constructor(store: Store, options: ClientOptions = {}) {
    const { clock = systemClock, maxTxnOps: maxOps = maxTxnOps } = options;
    this.#store = store;
    this.#clock = clock;
    this.#maxOps = maxOps;
    this.#stm = new Stm(store, clock, maxOps);
  }

  /**
   * Reads a key: `undefined` if it does not exist.
   *
   * @throws ArgumentError if something is not usable; nothing was sent.
   * @throws CompactedError if `revision` is so old that etcd has forgotten it.
   * @throws UnavailableError if no endpoint answers.
   */
  async get(key: Data, options: GetOptions & ReadOptions = {}): Promise<KeyValue | undefined> {
    const { kvs } = await this.#read(getRequest(key, options), options);
    return kvs[0];
  }

  /** Reads a range, by key unless told otherwise. Rejects as `get` does. For large ranges there is `scan`. */
  range(keys: Keys, options: RangeOptions & ReadOptions = {}): Promise<RangeReply> {
    return this.#read(rangeRequest(keys, options), options);
  }

  /** How many keys a range holds. Rejects as `get` does. */
  async count(
    keys: Keys,
    options: Pick<RangeOptions, 'revision'> & ReadOptions = {},
  ): Promise<number> {
    const request = rangeRequest(keys, { ...options, countOnly: true });
    return (await this.#read(request, options)).count;
  }

  /**
   * Goes through a range by key, page by page, all as of one revision; the next page is on its way while
   * you work on one. Each iteration is a scan of its own, and rejects as `get` does: with a `CompactedError`
   * if etcd forgets the revision meanwhile.
   *
   * @throws ArgumentError if something is not usable.
   */
  scan(range: KeyRange, options?: ScanOptions): AsyncIterable<KeyValue> {
    return scan(this.#store, range, options);
  }

  /** Writes a key. Rejects as `TxnBuilder.commit` does. */
  put(
    key: Data,
    value: Data,
    options: PutOptions & CommitOptions = {},
  ): Promise<PutResult & Written> {
    return this.#write(op.put(key, value, options), options);
  }

  /** Deletes a key or range. Rejects as `TxnBuilder.commit` does. */
  delete(keys: Keys, options: DeleteOptions & CommitOptions = {}): Promise<DeleteResult & Written> {
    return this.#write(op.delete(keys, options), options);
  }

  /** Begins a transaction: `client.txn().if(...).success(...).failure(...).commit()`. */
  txn(): TxnBuilder {
    return new TxnBuilder(
      (txn, options) => this.#store.commit(txn, { exactlyOnce: true, ...options }),
      this.#maxOps,
    );
  }

  /**
   * Runs a function as a transaction: what it writes through `tx` takes effect all at once, if what it read
   * has not changed; otherwise it runs again. An error that it throws is passed on, and nothing is written.
   *
   * @throws ConflictError if others were faster, each time; nothing was written.
   * @throws LimitError if it reads or writes too many keys for one transaction; nothing was written.
   * @throws WaitTimeoutError, or the reason of `signal`, before it is committed; nothing was written.
   * @throws UnavailableError if etcd did not answer; `outcome` says whether it may have been applied.
   * @throws ArgumentError if an option is not usable, or if called within the function of another.
   */
  stm<T>(fn: StmFunction<T>, options?: StmOptions): Promise<T> {
    return this.#stm.run(fn, options);
  }

  /**
   * Waits until reads through this client show `revision`, those with `serializable` too: for when another process
   * tells at which revision it wrote. Gives the revision that was reached. What it asks etcd for is the key of
   * one zero byte, which users with restricted permissions must be allowed to read. Goes on through outages.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`.
   * @throws RefusedError if that key may not be read.
   * @throws ArgumentError if something is not usable.
   */
  async waitForRevision(revision: bigint, wait: WaitOptions = {}): Promise<bigint> {
    checkNumber('revision', revision);
    const scope = waitScope(wait, new AbortController().signal, this.#clock);
    const { signal } = scope;
    const pause = new Backoff(5, 500);
    // It is the header that is of interest, not the key.
    const look = (limit: CallOptions): Promise<RangeReply> =>
      this.#store.read({ key: '\0', countOnly: true }, limit);
    try {
      for (;;) {
        const reply = await persist(look, signal, this.#clock);
        if (reply.revision >= revision) return reply.revision;
        await this.#clock.sleep(pause.next(), signal);
      }
    } finally {
      scope.dispose();
    }
  }

  /**
   * Follows the changes of a range: `for await (const { type, kv } of client.watch(prefixRange('jobs/')))`. One loop for
   * each watch. It ends with an error that says why, or when the loop is left.
   *
   * @throws ArgumentError if the range or an option is not usable.
   * @throws ClosedError if the store is closed.
   */
  watch(range: KeyRange, options?: WatchingOptions): Watching {
    checkRead(rangeOf(range));
    return new Watching(this.#store, range, options, this.#clock);
  }

  /** Asks every endpoint how it is. Does not reject for one that fails. */
  health(options?: CallOptions): Promise<readonly EndpointHealth[]> {
    return this.#store.health(options);
  }

  async #read(request: RangeRequest, options: ReadOptions): Promise<RangeReply> {
    checkRead(request);
    return this.#store.read(request, options);
  }

  async #write<Result>(step: Step<Result>, options: CommitOptions): Promise<Result & Written> {
    const { revision, success } = await this.txn().success(step).commit(options);
    return { revision, ...success[0] };
  }
}
