import { type Footprint, footprintOf } from '../core/commit/footprint.js';
import type { Operation, Txn } from '../core/store/store.js';
import { checkTxn } from '../core/txn/check-txn.js';
import { StepList } from '../core/txn/step-list.js';
import type { JobOptions } from './queue-options.js';

/** A queue that jobs can be put into as part of a transaction. */
interface Enqueues<T> {
  /** A step that puts a job. */
  enqueuing(value: T, options?: Omit<JobOptions, 'signal' | 'timeout'>): Operation;
}

/** What is to be done in the same transaction as the end of a job. */
export class JobTxn extends StepList {
  /** @param others - to be done with it */
  constructor(others?: JobTxn) {
    super();
    this.conditions.push(...(others?.conditions ?? []));
    this.steps.push(...(others?.steps ?? []));
  }

  /** Puts a job into a queue of the same coordinator. @throws as `queue.put`, for what is not usable. */
  enqueue<T>(
    queue: Enqueues<T>,
    value: T,
    options?: Parameters<Enqueues<T>['enqueuing']>[1],
  ): this {
    this.steps.push(queue.enqueuing(value, options));
    return this;
  }

  /** What it has to do with. */
  get footprint(): Footprint {
    return footprintOf({ compare: this.conditions, success: this.steps });
  }

  get isEmpty(): boolean {
    return this.steps.length + this.conditions.length === 0;
  }

  /** All of it, and `others`. @throws ArgumentError, LimitError if it is malformed. */
  with(others: readonly Operation[]): Txn {
    if (this.isEmpty) return { success: others };
    const txn = { compare: this.conditions, success: [...others, ...this.steps] };
    // How many steps there may be is for etcd to say.
    checkTxn(txn, Number.POSITIVE_INFINITY);
    return txn;
  }
}
