import { setTimeout as delay } from 'node:timers/promises';
import { keyId } from '../../src/core/store/keys.js';
import {
  type CallOptions,
  type CommitOptions,
  type Compare,
  type EndpointHealth,
  type KeyRange,
  type Operation,
  type RangeReply,
  type RangeRequest,
  type ReadOptions,
  type Store,
  type Txn,
  type TxnReply,
  UnavailableError,
  type Watch,
  type WatchListener,
  type WatchOptions,
} from '../../src/index.js';

/** What goes wrong with a call. */
export type Fault = 'lost reply' | 'lost request' | 'error' | 'delay';
/** All of them. */
export const faults: readonly Fault[] = ['lost reply', 'lost request', 'error', 'delay'];

/** A store in which each distinct call goes wrong the first time it is made, and works the second time. */
export class FaultyStore implements Store {
  readonly #store: Store;
  readonly #fault: Fault;
  readonly #onStrike: () => void;
  readonly #seen = new Map<string, number>();

  /** `onStrike` is called whenever a call goes wrong. */
  constructor(store: Store, fault: Fault, onStrike: () => void) {
    this.#onStrike = onStrike;
    this.#store = store;
    this.#fault = fault;
  }

  read(range: RangeRequest, options?: ReadOptions): Promise<RangeReply> {
    return this.#strike(`read ${keyId(range.key)}`, () => this.#store.read(range, options));
  }

  commit(txn: Txn, options?: CommitOptions): Promise<TxnReply> {
    return this.#strike(`commit ${shape(txn)}`, () => this.#store.commit(txn, options));
  }

  watch(range: KeyRange, listener: WatchListener, options?: WatchOptions): Watch {
    return this.#store.watch(range, listener, options);
  }

  grant(lease: bigint, ttl: number, options?: CallOptions): Promise<number> {
    // Each try of a session has an ID of its own.
    return this.#strike('grant', () => this.#store.grant(lease, ttl, options));
  }

  keepAlive(lease: bigint, options?: CallOptions): Promise<number> {
    return this.#strike('keep-alive', () => this.#store.keepAlive(lease, options));
  }

  revoke(lease: bigint, options?: CallOptions): Promise<void> {
    return this.#strike(`revoke ${lease}`, () => this.#store.revoke(lease, options));
  }

  health(options?: CallOptions): Promise<readonly EndpointHealth[]> {
    return this.#store.health(options);
  }

  close(): void {
    this.#store.close();
  }

  async #strike<T>(call: string, run: () => Promise<T>): Promise<T> {
    const times = this.#seen.get(call) ?? 0;
    this.#seen.set(call, times + 1);
    if (times % 2 === 1) return run();
    this.#onStrike();
    if (this.#fault === 'delay') {
      await delay(20);
      const result = await run();
      await delay(20);
      return result;
    }
    if (this.#fault === 'lost reply') await run();
    const outcome = this.#fault === 'error' ? 'not-applied' : 'unknown';
    throw new UnavailableError(outcome, [
      { endpoint: 'test', status: 'FAULT', message: this.#fault },
    ]);
  }
}

function shape({ compare = [], success = [], failure = [] }: Txn): string {
  const condition = ({ target, key }: Compare): string => `${target} ${keyId(key)}`;
  const step = (operation: Operation): string => {
    if ('txn' in operation) return shape(operation.txn);
    const [[kind, what] = []] = Object.entries(operation);
    return `${kind} ${keyId((what as KeyRange).key)}`;
  };
  return [compare.map(condition), success.map(step), failure.map(step)].join('/');
}
