import type { Data, KeyRange } from '../store/keys.js';
import type { Compare, Operation } from '../store/store.js';

/** Steps of a transaction that are gathered one by one, and the conditions on which they are done. */
export abstract class StepList {
  protected readonly conditions: Compare[] = [];
  protected readonly steps: Operation[] = [];

  /** Adds conditions of your own: if one fails, nothing is done. */
  if(...conditions: readonly Compare[]): this {
    this.conditions.push(...conditions);
    return this;
  }

  /** Writes a key. */
  put(key: Data, value: Data): this {
    this.steps.push({ put: { key, value } });
    return this;
  }

  /** Deletes a key, or with `end` a range. */
  delete(key: Data, end?: KeyRange['end']): this {
    this.steps.push({ delete: end === undefined ? { key } : { key, end } });
    return this;
  }
}
