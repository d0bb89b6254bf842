import { type Footprint, footprintOf } from '../core/commit/footprint.js';
import { ClosedError } from '../core/store/errors.js';
import type { Operation, Txn } from '../core/store/store.js';
import { checkTxn } from '../core/txn/check-txn.js';
import { StepList } from '../core/txn/step-list.js';
import type { JobOptions } from './queue-options.js';

/** A queue that jobs can be put into as part of a transaction. */
interface Enqueues<T> {
  readonly name: string;
  /** A step that puts a job. */
  enqueuing(value: T, options?: Omit<JobOptions, 'signal' | 'timeout'>): Operation;
}

/** What is to be done in the same transaction as the end of a job. */
export class JobTxn extends StepList {
  readonly #isOpen: () => boolean;
  /** A key for each order that jobs are put into, which nobody else has. */
  readonly #orders: string[] = [];

  /** @param isOpen - whether something can be added still */
  constructor(isOpen: () => boolean = () => true) {
    super();
    this.#isOpen = isOpen;
  }

  /** Puts a job into a queue of the same coordinator. @throws as `queue.put`, for what is not usable. */
  enqueue<T>(
    queue: Enqueues<T>,
    value: T,
    options?: Parameters<Enqueues<T>['enqueuing']>[1],
  ): this {
    const { orderKey } = options ?? {};
    if (orderKey !== undefined) this.#orders.push(`\0${queue.name}\0${orderKey}`);
    return this.add({ success: [queue.enqueuing(value, options)] });
  }

  /** Does that, too. */
  include(others: JobTxn): this {
    this.#orders.push(...others.#orders);
    return this.add({ compare: others.conditions, success: others.steps });
  }

  /** What it has to do with: of jobs that it puts, with those before and after them in their order. */
  get footprint(): Footprint {
    const orders = this.#orders.map((key) => ({ put: { key, value: '' } }));
    return footprintOf({ compare: this.conditions, success: [...this.steps, ...orders] });
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

  protected override add(txn: Txn): this {
    if (!this.#isOpen()) throw new ClosedError("the list of a job's effects");
    return super.add(txn);
  }
}
