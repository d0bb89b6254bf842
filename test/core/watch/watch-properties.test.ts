import { expect, it } from 'vitest';
import { prefixRange } from '../../../src/core/store/keys.js';
import type { WatchEvent } from '../../../src/index.js';
import {
  breachesOf,
  type ToldBatch,
  type WatchHistory,
  type WatchProperty,
  type Written,
} from '../../support/watch-properties.js';

const written: readonly Written[] = [
  { revision: 2n, changes: [{ key: 'k/a', value: '1' }] },
  {
    revision: 3n,
    changes: [
      { key: 'k/b', value: '1' },
      { key: 'k/c', value: '1' },
    ],
  },
  { revision: 4n, changes: [{ key: 'other', value: '1' }] },
  { revision: 5n, changes: [{ key: 'k/a', value: '2' }] },
  { revision: 6n, changes: [{ key: 'k/b', value: undefined }] },
  { revision: 7n, changes: [{ key: 'k/b', value: '2' }] },
];

const put = (
  key: string,
  value: string,
  modRevision: bigint,
  createRevision = modRevision,
  version = 1n,
  before?: [string, bigint],
): WatchEvent => ({
  type: 'put',
  kv: {
    key: Buffer.from(key),
    value: Buffer.from(value),
    modRevision,
    createRevision,
    version,
    lease: 0n,
  },
  ...(before && { previous: put(key, before[0], before[1]).kv }),
});
const gone = (key: string, revision: bigint, before?: [string, bigint]): WatchEvent => ({
  ...put(key, '', revision, 0n, 0n, before),
  type: 'delete',
});
const batch = (revision: bigint, ...changes: readonly WatchEvent[]): ToldBatch => ({
  revision,
  changes,
});
const [a1, b1, c1] = [put('k/a', '1', 2n), put('k/b', '1', 3n), put('k/c', '1', 3n)];
const a2 = put('k/a', '2', 5n, 2n, 2n, ['1', 2n]);
const [b2, b3] = [gone('k/b', 6n, ['1', 3n]), put('k/b', '2', 7n)];
const good = [batch(2n, a1), batch(3n, b1, c1), batch(5n, a2), batch(6n, b2), batch(7n, b3)];

const check = (
  batches: readonly ToldBatch[],
  more: Partial<WatchHistory> = {},
): WatchProperty[] => {
  const range = prefixRange('k/');
  const history = { name: 'w', range, previous: true, since: 2n, batches, until: 7n, ...more };
  return breachesOf(written, [history]).map(({ property }) => property);
};
const replaced = (index: number, ...by: readonly ToldBatch[]): ToldBatch[] =>
  good.toSpliced(index, 1, ...by);

it('finds nothing wrong with a watch that tells everything', () => {
  expect(check(good)).toEqual([]);
  expect(check([batch(7n, a1, b1, c1, a2, b2, b3)])).toEqual([]);
  expect(check(good.slice(2), { since: 4n })).toEqual([]);
  expect(check([batch(6n, b2)], { only: 'delete' })).toEqual([]);
  expect(check([batch(6n), batch(7n, b3)], { since: 7n })).toEqual([]);
});

const defects: readonly [WatchProperty, string, readonly ToldBatch[], Partial<WatchHistory>?][] = [
  ['filter', 'tells of another key', replaced(2, batch(4n, put('other', '1', 4n)), batch(5n, a2))],
  [
    'filter',
    'tells of another type',
    [batch(5n, a2), batch(6n, b2)],
    { only: 'delete', since: 5n },
  ],
  ['ordered', 'tells of later changes first', [batch(7n, b3, a1, b1, c1, a2, b2)]],
  ['unique', 'tells twice', replaced(1, batch(3n, b1, c1), batch(3n, c1))],
  ['atomic', 'tells one revision in two steps', replaced(1, batch(3n, b1), batch(3n, c1))],
  ['atomic', 'tells a part of a revision', replaced(1, batch(3n, c1))],
  ['bookmarkable', 'claims to be further than it is', replaced(0, batch(3n, a1))],
  ['bookmarkable', 'is further than it claims', replaced(1, batch(2n, b1, c1))],
  ['resumable', 'begins too early', good, { since: 3n }],
  ['resumable', 'begins too late', good.slice(1)],
  ['reliable', 'leaves one out', good.toSpliced(2, 1)],
  ['reliable', 'ends too early', good.slice(0, -1)],
  ['reliable', 'tells what was never written', replaced(2, batch(5n, put('k/a', '9', 5n, 2n, 2n)))],
  [
    'is-create',
    'takes an update for a creation',
    replaced(2, batch(5n, put('k/a', '2', 5n, 5n, 1n, ['1', 2n]))),
  ],
  [
    'prev_kv',
    'gives the wrong pair before',
    replaced(2, batch(5n, put('k/a', '2', 5n, 2n, 2n, ['0', 2n]))),
  ],
  ['prev_kv', 'gives no pair before', replaced(3, batch(6n, gone('k/b', 6n)))],
];

for (const [property, what, batches, more] of defects) {
  it(`finds that a watch ${what}`, () => {
    expect(check(batches, more)).toContain(property);
  });
}

it('knows what an initial state and a resync are to tell', () => {
  const initial: ToldBatch = { revision: 3n, origin: 'initial', changes: [a1, b1, c1] };
  const resync: ToldBatch = { revision: 6n, origin: 'resync', changes: [a2, gone('k/b', 6n)] };
  expect(check([initial, resync, batch(7n, b3)])).toEqual([]);
  const without = (b: ToldBatch, i: number): ToldBatch => ({
    ...b,
    changes: b.changes.toSpliced(i, 1),
  });
  expect(check([without(initial, 1), resync, batch(7n, b3)])).toEqual(['reliable']);
  expect(check([initial, without(resync, 0), batch(7n, b3)])).toEqual(['reliable']);
  expect(check([initial, without(resync, 1), batch(7n, b3)])).toEqual(['reliable']);
  const repeated = { ...resync, changes: [c1, ...resync.changes] };
  expect(check([initial, repeated, batch(7n, b3)])).toEqual(['reliable']);
  const reversed = { ...initial, changes: initial.changes.toReversed() };
  expect(check([reversed, resync, batch(7n, b3)])).toEqual(['ordered']);
  expect(check([initial, { revision: 6n, origin: 'gap', changes: [] }, batch(7n, b3)])).toEqual([]);
});
