import type { Data, KeyRange } from '../store/keys.js';
import type { Compare, Operation, Txn } from '../store/store.js';

/** Steps of a transaction that are gathered one by one, and the conditions on which they are done. */
export abstract class StepList {
  protected readonly conditions: Compare[] = [];
  protected readonly steps: Operation[] = [];

  /** Adds conditions of your own: if one fails, nothing is done. */
  if(...conditions: readonly Compare[]): this {
    return this.add({ compare: conditions });
  }

  /** Writes a key. */
  put(key: Data, value: Data): this {
    return this.add({ success: [{ put: { key, value } }] });
  }

  /** Deletes a key, or with `end` a range. */
  delete(key: Data, end?: KeyRange['end']): this {
    return this.add({ success: [{ delete: end === undefined ? { key } : { key, end } }] });
  }

  protected add({ compare = [], success = [] }: Txn): this {
    this.conditions.push(...compare);
    this.steps.push(...success);
    return this;
  }
}
