import type {
  CallOptions,
  Operation,
  OperationReply,
  RangeRequest,
  TxnReply,
} from '../store/store.js';
import { checkTxn } from './check-txn.js';
import { StepList } from './step-list.js';

/** What a guarded transaction gave. */
export interface GuardedReply {
  /** `false` if a condition given to `if` did not hold; nothing was written then. */
  readonly succeeded: boolean;
  /** The revision at which it took effect. */
  readonly revision: bigint;
  /** One for each step, in order; empty if not `succeeded`. */
  readonly replies: readonly OperationReply[];
}

/** Commits what was gathered, under the guard. */
export type CommitGuarded = (operation: Operation, options: CallOptions) => Promise<TxnReply>;

/**
 * A transaction that takes effect only while its hold is held: at its very revision, whatever clocks and
 * signals say. Gather steps, then `commit`.
 */
export class GuardedTxn extends StepList {
  readonly #commit: CommitGuarded;

  constructor(commit: CommitGuarded) {
    super();
    this.#commit = commit;
  }

  /** Reads a key or range, as of the steps before it. */
  read(range: RangeRequest): this {
    return this.add({ success: [{ range }] });
  }

  /**
   * Sends it: one step for etcd, all or nothing. A condition that does not hold gives `succeeded: false`.
   *
   * @throws ArgumentError if a step or condition is not usable; nothing was sent.
   * @throws HoldLostError if the hold is no longer held; nothing was written.
   * @throws UnavailableError if etcd did not answer; `outcome` says whether it may have been applied.
   * @throws RefusedError if etcd refused it; nothing was written.
   */
  async commit(options: CallOptions = {}): Promise<GuardedReply> {
    const inner = { compare: this.conditions, success: this.steps };
    // How many steps there may be is for etcd to say.
    checkTxn(inner, Infinity);
    const { revision, replies } = await this.#commit({ txn: inner }, options);
    const reply = replies[0]?.txn;
    return { revision, succeeded: reply?.succeeded === true, replies: reply?.replies ?? [] };
  }
}
