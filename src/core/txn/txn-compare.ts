import { type Keys, rangeOf } from '../store/key-span.js';
import type { Data } from '../store/keys.js';
import type { Compare } from '../store/store.js';

/** How two values are compared. */
export type Operator = NonNullable<Compare['is']>;

/** Conditions on a key, or on every key of a range. */
export interface Conditions {
  /** The key exists; of a range, at least one key does. */
  exists(): Compare;
  /** The key does not exist; of a range, none does. */
  missing(): Compare;
  /** What is its value? A missing key has none: whatever is asked of it does not hold. */
  value(is: Operator, to: Data): Compare;
  /** How many times was it written since it came into being? 0 if it is missing. */
  version(is: Operator, to: bigint): Compare;
  /** At which revision did it come into being? 0 if it is missing. */
  create(is: Operator, to: bigint): Compare;
  /** At which revision was it last changed? 0 if it is missing. */
  mod(is: Operator, to: bigint): Compare;
  /** Which lease keeps it? 0 if none does, or it is missing. */
  lease(is: Operator, to: bigint): Compare;
}

/**
 * Conditions for transactions: `compare('config').version('=', 3n)`. On a range they hold if they do for each
 * of its keys; where there is none, as for a missing key.
 */
export function compare(keys: Keys): Conditions {
  const range = rangeOf(keys);
  const by =
    (target: Compare['target']) =>
    (is: Operator, to: Compare['to']): Compare => ({ ...range, target, is, to });
  const create = by('create');
  return {
    exists: () => create('>', 0n),
    missing: () => create('=', 0n),
    value: by('value'),
    version: by('version'),
    create,
    mod: by('mod'),
    lease: by('lease'),
  };
}
