import type { CommitOptions, Compare, Txn, TxnReply } from '../store/store.js';
import { checkTxn, maxTxnOps } from './check-txn.js';
import { op, type Results, type Step, type TxnResult } from './txn-steps.js';

/** Sends a transaction that was put together. */
export type SendTxn = (txn: Txn, options: CommitOptions) => Promise<TxnReply>;

/** What `commit` gives: without conditions, always the results of `success`. */
export type TxnOutcome<
  S extends readonly unknown[],
  F extends readonly unknown[],
  Conditional extends boolean,
> = { readonly revision: bigint } & (Conditional extends true
  ? TxnResult<S, F>
  : Extract<TxnResult<S, F>, { succeeded: true }>);

/**
 * A transaction in the making: conditions, what is done if they hold, and what if not. The type of what
 * `commit` gives follows from the steps; so chain the calls, or lose it.
 */
export class TxnBuilder<
  S extends readonly unknown[] = [],
  F extends readonly unknown[] = [],
  Conditional extends boolean = false,
> {
  readonly #send: SendTxn;
  readonly #maxOps: number;
  readonly #conditions: Compare[] = [];
  readonly #success: Step<unknown>[] = [];
  readonly #failure: Step<unknown>[] = [];

  /** @param maxOps - how many operations it may have */
  constructor(send: SendTxn, maxOps?: number) {
    this.#send = send;
    this.#maxOps = maxOps ?? maxTxnOps;
  }

  /** Adds conditions, made with `compare`: all must hold for `success`. */
  if(...conditions: readonly Compare[]): TxnBuilder<S, F, true> {
    this.#conditions.push(...conditions);
    return this as never;
  }

  /** Adds steps, made with `op`, for when all conditions hold, or there is none. */
  success<const T extends readonly Step<unknown>[]>(
    ...steps: T
  ): TxnBuilder<[...S, ...Results<T>], F, Conditional> {
    this.#success.push(...steps);
    return this as never;
  }

  /** Adds steps for when a condition does not hold. */
  failure<const T extends readonly Step<unknown>[]>(
    ...steps: T
  ): TxnBuilder<S, [...F, ...Results<T>], Conditional> {
    this.#failure.push(...steps);
    return this as never;
  }

  /**
   * Sends it: one step for etcd, all or nothing. Called again, it sends what was gathered by then as another transaction.
   *
   * @throws ArgumentError, LimitError if it is malformed or too large, or writes a key twice; nothing was sent.
   * @throws UnavailableError if etcd did not answer; `outcome` says whether it may have been applied.
   * @throws RefusedError if etcd refused it; nothing was written.
   */
  async commit(options: CommitOptions = {}): Promise<TxnOutcome<S, F, Conditional>> {
    const [success, failure] = [[...this.#success], [...this.#failure]];
    const step = op.txn({ if: [...this.#conditions], success, failure });
    const { txn } = step.operation;
    checkTxn(txn, this.#maxOps);
    const reply = await this.#send(txn, options);
    const result = step.result({ kvs: [], count: 0, txn: reply });
    return { revision: reply.revision, ...result } as never;
  }
}
