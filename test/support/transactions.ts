import fc, { type Arbitrary } from 'fast-check';
import type { Compare, Operation, Txn } from '../../src/index.js';

const { constantFrom, record, array, oneof, option } = fc;

/** How large random transactions are. */
export interface Shape {
  /** Begins every key. */
  readonly prefix: string;
  /** How many keys there are, at most 6. */
  readonly keys: number;
  /** Steps of a branch. */
  readonly steps: number;
  /** Levels of transactions in transactions. */
  readonly depth: number;
}

/** Without what is left out; an optional property must not be `undefined`. */
function compact<T extends object>(arbitrary: Arbitrary<T>): Arbitrary<never> {
  return arbitrary.map(
    (object) =>
      Object.fromEntries(
        Object.entries(object).filter(([, value]) => value !== undefined),
      ) as never,
  );
}

/** Transactions that read, compare and write a few keys in all ways that can be told from history. */
export function transactions({ prefix, keys, steps, depth }: Shape): Arbitrary<Txn> {
  const name = constantFrom(
    ...'abcdef'
      .slice(0, keys)
      .split('')
      .map((letter) => prefix + letter),
  );
  const end = constantFrom(`${prefix}b`, `${prefix}d`, `${prefix}z`);
  const maybe = <T>(arbitrary: Arbitrary<T>): Arbitrary<T | undefined> =>
    option(arbitrary, { nil: undefined, freq: 2 });
  const span = { key: name, end: maybe(end) };
  const number = constantFrom(0n, 1n, 2n, 3n);
  const is = maybe(constantFrom('=', '!=', '<', '>'));
  const compare: Arbitrary<Compare> = oneof(
    compact(
      record({
        ...span,
        is,
        target: constantFrom('create', 'mod', 'version', 'lease'),
        to: number,
      }),
    ),
    compact(record({ ...span, is, target: constantFrom('value'), to: constantFrom('x', 'y') })),
  );
  const previous = maybe(fc.boolean());
  const range = compact(
    record({
      ...span,
      limit: maybe(constantFrom(1, 2)),
      sortBy: maybe(constantFrom('key')),
      order: maybe(constantFrom('ascending', 'descending')),
      keysOnly: maybe(fc.boolean()),
      countOnly: maybe(fc.boolean()),
    }),
  );
  const operation = (levels: number): Arbitrary<Operation> =>
    oneof(
      {
        weight: 4,
        arbitrary: record({
          put: compact(record({ key: name, value: constantFrom('x', 'y'), previous })),
        }),
      },
      { weight: 4, arbitrary: record({ range }) },
      { weight: 2, arbitrary: record({ delete: compact(record({ ...span, previous })) }) },
      ...(levels > 1 ? [{ weight: 2, arbitrary: record({ txn: txn(levels - 1) }) }] : []),
    ) as Arbitrary<Operation>;
  const txn = (levels: number): Arbitrary<Txn> =>
    record({
      compare: array(compare, { maxLength: 2 }),
      success: array(operation(levels), { maxLength: steps }),
      failure: array(operation(levels), { maxLength: steps }),
    });
  return txn(depth);
}
