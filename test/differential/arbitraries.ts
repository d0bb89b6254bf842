import fc, { type Arbitrary } from 'fast-check';
import { flag, merged, once, weighted } from './choices.js';
import { withoutKept } from './lethal.js';
import type { Operation, RevisionAt, Template } from './operations.js';

const { constant, constantFrom, record } = fc;

/** Few, so that they meet: prefixes of each other, neighbours, first and last ones. */
const KEYS = ['a', 'a\0', 'aa', 'ab', 'b', 'b\xff', 'c', '\0', '\xff', '\xff\xff'];
const OWN_LEASES = [1n, 2n, 3n, -5n];
const HUGE = Number.MAX_SAFE_INTEGER;

export const key: Arbitrary<string> = weighted([200, constantFrom(...KEYS)], [1, constant('')]);
/** Also inverted ones, empty ones, and all that there is. */
const rangeEnd: Arbitrary<string | undefined> = weighted<string | undefined>(
  [5, constant(undefined)],
  [2, constant('\0')],
  [5, constantFrom('b', 'ac', 'd', '\xff\xff\xff', ...KEYS)],
);
const wide = constantFrom<Template>(
  { key: '\0', rangeEnd: '\0' },
  { key: 'a', rangeEnd: 'c' },
  { key: 'a', rangeEnd: 'b' },
);
export const span: Arbitrary<Template> = weighted<Template>(
  [2, record({ key, rangeEnd })],
  [1, wide],
);

const at = (place: RevisionAt['at'], ...plus: number[]): Arbitrary<RevisionAt> =>
  record({ at: constant(place), plus: constantFrom(...plus) });
const ofKey = record({
  at: constant('put' as const),
  of: constantFrom(...KEYS),
  plus: constantFrom(0, 0, 0, 1, -1),
});
const past = record({ at: constant('now' as const), plus: fc.integer({ min: -12, max: 0 }) });
const anyRevision = weighted<RevisionAt>(
  [8, past],
  [3, ofKey],
  [2, at('start', 0, 1, 2)],
  [2, at('compacted', -1, 0, 1)],
  [1, at('now', 1, 2)],
  [1, at('zero', -1, -2, 0, 1, HUGE, -HUGE)],
);

const value = weighted<unknown>(
  [40, constantFrom('', 'x', 'y', '\0', '\xff')],
  [1, constantFrom(5000).map((times) => ({ repeat: 'v', times }))],
);
const ownLease = constantFrom(...OWN_LEASES);
const chosenLease = fc.nat({ max: 2 }).map((chosen) => ({ chosen }));
export const lease: Arbitrary<unknown> = weighted<unknown>(
  [24, ownLease],
  [8, chosenLease],
  [1, constant(404n)],
);
const limit = weighted([6, constantFrom(1, 2, 3)], [1, constantFrom(-1, 100, HUGE)]);

export const range: Arbitrary<Template> = merged(
  span,
  record({
    limit: once(3, limit),
    revision: once(3, anyRevision),
    sortOrder: once(3, weighted([80, constantFrom(1, 2)], [1, constantFrom(3, -1)])),
    sortTarget: once(3, weighted([80, constantFrom(1, 2, 3, 4)], [1, constantFrom(5, -1)])),
    serializable: flag(4),
    keysOnly: flag(5),
    countOnly: flag(8),
    minModRevision: once(12, anyRevision),
    maxModRevision: once(12, anyRevision),
    minCreateRevision: once(12, anyRevision),
    maxCreateRevision: once(12, anyRevision),
  }),
);

/**
 * With something to sort by but no order, etcd sorts each piece, and goes on behind the key that came last in it: it
 * leaves out keys and counts wrong. That is not imitated.
 */
export const streamed: Arbitrary<Template> = range.map((request) =>
  request['sortOrder'] === undefined ? { ...request, sortTarget: undefined } : request,
);

export const put: Arbitrary<Template> = weighted<Template>(
  [12, record({ key, value, lease: once(4, lease), prevKv: flag(3) })],
  [1, record({ key, lease: once(3, lease), ignoreValue: constant(true), prevKv: flag(3) })],
  [1, record({ key, value, ignoreLease: constant(true), prevKv: flag(3) })],
  // Some of these contradict themselves.
  [1, record({ key, value, lease: once(3, lease), ignoreValue: flag(2), ignoreLease: flag(2) })],
);

export const deletion: Arbitrary<Template> = merged(
  weighted<Template>([10, record({ key })], [5, record({ key, rangeEnd })], [1, wide]),
  record({ prevKv: flag(2) }),
);

const count = weighted<unknown>([4, constantFrom(0, 1, 2, 3)], [1, constantFrom(-1, HUGE)]);
const compareTargets: Arbitrary<Template> = weighted<Template>(
  [5, record({ target: constant(0), version: count })],
  [3, record({ target: constant(1), createRevision: once(4, anyRevision) })],
  [3, record({ target: constant(2), modRevision: once(4, anyRevision) })],
  [3, record({ target: constant(3), value: once(9, value) })],
  [3, record({ target: constant(4), lease: once(2, ownLease) })],
  // Each etcd chooses its own IDs, which is the larger one too.
  [1, record({ target: constant(4), lease: chosenLease, result: constantFrom(0, 3) })],
  // What is compared is not what is given, or there is no such thing.
  [1, record({ target: constantFrom(0, 1, 2, 3, 4), version: count })],
  [1, record({ target: constantFrom(0, 3), version: count, value: once(2, value) })],
  [1, record({ target: constantFrom(5, -1), version: count })],
);
const compare: Arbitrary<Template> = merged(
  weighted<Template>([4, record({ key })], [1, span]),
  record({ result: weighted([20, constantFrom(0, 1, 2, 3)], [1, constantFrom(4, -1)]) }),
  compareTargets,
);

export function txn(depth: number): Arbitrary<Template> {
  const step: Arbitrary<Template> = weighted<Template>(
    [6, record({ put })],
    [3, record({ range })],
    [3, record({ deleteRange: deletion })],
    ...(depth > 1 ? [[2, record({ txn: txn(depth - 1) })] as const] : []),
  );
  const branch = fc.array(
    weighted<Template>(
      [200, step],
      [1, constant({})],
      // The last one is meant.
      [1, record({ range, put })],
    ),
    { maxLength: 5 },
  );
  return record({
    compare: fc.array(compare, { maxLength: 2 }),
    success: branch,
    failure: branch,
  }).map(withoutKept);
}

/** Around the largest number of operations, alone and nested. */
const largeTxn: Arbitrary<Template> = fc
  .tuple(
    constantFrom(126, 127, 128, 129),
    constantFrom(1, 2, 3),
    constantFrom('compare', 'success', 'failure'),
    fc.boolean(),
  )
  .map(([copies, inner, where, nested]) => {
    const item = where === 'compare' ? { key: 'a' } : { range: { key: 'a' } };
    const large = { [where]: { copies, item } };
    if (!nested) return large;
    const small = { txn: { success: { copies: inner, item: { range: { key: 'a' } } } } };
    const other = where === 'success' ? 'failure' : 'success';
    return { [where]: { copies, item }, [other]: [small] };
  });

const compaction = record({
  revision: weighted<RevisionAt>(
    [6, record({ at: constant('now' as const), plus: fc.integer({ min: -6, max: 0 }) })],
    [1, at('compacted', 0, -1, 1)],
    [1, at('now', 1)],
    [1, at('zero', 0, -1, HUGE)],
  ),
  // Otherwise it goes on in the background, and what is left changes meanwhile.
  physical: constant(true),
});

export const grant: Arbitrary<Template> = weighted<Template>(
  [6, record({ id: constantFrom(...OWN_LEASES), ttl: constantFrom(1000, 2000, 5000) })],
  [2, record({ id: constantFrom(undefined, 0n), ttl: constantFrom(1000, 3000, 9_000_000_000) })],
  [1, record({ id: constantFrom(undefined, 1n, 2n), ttl: constantFrom(9_000_000_001, HUGE) })],
);
const briefLease = record({
  id: constantFrom(77n, -77n),
  ttl: constantFrom(undefined, 0, -1, 1, 2, -HUGE),
});

const stream = fc.nat({ max: 1 });
const watch = record({
  key: weighted([6, constantFrom(...KEYS)], [3, constantFrom('a', '\0')], [1, constant('')]),
  rangeEnd: weighted([2, rangeEnd], [3, constantFrom('\0', '\xff', 'b')]),
  startRevision: weighted<unknown>(
    [3, constant(undefined)],
    [2, past],
    [1, at('start', 0, 1, 2)],
    [1, at('compacted', -1, 0, 1)],
    [1, at('now', 1, 2, 3)],
    [1, at('zero', -1, 1, HUGE)],
  ),
  filters: once(3, fc.array(constantFrom(0, 1, 0, 1, 2), { minLength: 1, maxLength: 2 })),
  prevKv: flag(2),
  watchId: once(3, constantFrom(1n, 2n, 3n, 7n, -2n)),
  fragment: flag(4),
  progressNotify: flag(6),
});
const watchId = constantFrom(0n, 0n, 0n, 1n, 1n, 2n, 3n, 7n, -2n, -1n);

const large = constantFrom(1_600_000, 2_200_000).map((times) => ({ repeat: 'v', times }));

const unary = (does: Operation['does'], request: Arbitrary<Template>): Arbitrary<Operation> =>
  record({ does: constant(does), request }) as Arbitrary<Operation>;

const operation: Arbitrary<Operation> = weighted<Operation>(
  [260, unary('KV.Put', put)],
  [330, unary('KV.Range', range)],
  [20, unary('range stream', streamed)],
  [70, unary('KV.DeleteRange', deletion)],
  [300, unary('KV.Txn', txn(3))],
  [6, unary('KV.Txn', largeTxn)],
  [8, unary('KV.Compact', compaction)],
  [70, unary('Lease.LeaseGrant', grant)],
  [8, unary('brief lease', briefLease)],
  [25, unary('Lease.LeaseRevoke', record({ id: lease }))],
  [30, unary('Lease.LeaseTimeToLive', record({ id: lease, keys: flag(2) }))],
  [15, unary('Lease.LeaseLeases', constant({}))],
  [25, record({ does: constant('keep alive' as const), id: lease })],
  [30, record({ does: constant('watch' as const), stream, request: watch })],
  [8, record({ does: constant('cancel' as const), stream, watchId })],
  [6, record({ does: constant('progress' as const), stream })],
  [2, record({ does: constant('end' as const), stream })],
  [1, unary('KV.Put', record({ key: weighted([4, key], [1, constant('')]), value: large }))],
);

/** Events that are too large together for one message. */
const fragments: Arbitrary<Operation[]> = record({
  stream,
  prevKv: flag(2),
  times: constantFrom(600_000, 800_000, 1_100_000),
}).map((chosen) => {
  const putLarge = (name: string): Operation => {
    const request = { key: name, value: { repeat: 'v', times: chosen.times } };
    return { does: 'KV.Put', request };
  };
  const create = {
    key: 'a',
    rangeEnd: 'd',
    startRevision: { at: 'now', plus: -2 },
    fragment: true,
    prevKv: chosen.prevKv,
  };
  const watchAll: Operation = { does: 'watch', stream: chosen.stream, request: create };
  return ['a', 'b', 'c'].map(putLarge).concat(watchAll);
});

/** Things to do one after the other. */
export const operations: Arbitrary<Operation[]> = fc
  .array(weighted<Operation[]>([2000, operation.map((one) => [one])], [1, fragments]), {
    minLength: 1,
    maxLength: 120,
    size: 'max',
  })
  .map((parts) => parts.flat());
