import assert from 'node:assert/strict';
import type { Compare, KeyValue } from '../core/store/store.js';
import type { StoreCase } from './store-bench.js';

/** What etcd says that comparisons give when a number is less than, equal to and greater than the other. */
const truth = {
  '=': [false, true, false],
  '!=': [true, false, true],
  '<': [true, false, false],
  '>': [false, false, true],
} as const;
const operators = ['=', '!=', '<', '>'] as const;
const numbers = ['create', 'mod', 'version', 'lease'] as const;
const fields = {
  create: 'createRevision',
  mod: 'modRevision',
  version: 'version',
  lease: 'lease',
} as const;

/** Comparisons of what a pair has with something a little greater, equal, and a little less; of numbers and of its value 'b'. */
function* comparisons(kv: KeyValue): Generator<{ compare: Compare; expected: boolean }> {
  const { key } = kv;
  for (const is of operators) {
    for (const place of [0, 1, 2] as const) {
      const expected = truth[is][place];
      for (const target of numbers) {
        const to = kv[fields[target]] + 1n - BigInt(place);
        yield { compare: { key, target, is, to }, expected };
      }
      yield {
        compare: { key, target: 'value', is, to: ['ba', 'b', 'a\xff'][place] ?? '' },
        expected,
      };
    }
  }
}

/** How transactions compare, branch and write. */
export const commitCases: readonly StoreCase[] = [
  {
    name: 'a comparison of every property, by every operator, says what it should',
    async run(bench) {
      await bench.put('a', 'x');
      await bench.put('a', 'b', await bench.lease());
      const kv = await bench.get('a');
      assert.ok(kv);
      for (const { compare, expected } of comparisons(kv)) {
        const { target, is, to } = compare;
        assert.equal(await bench.holds(compare), expected, `${target} is ${is} ${String(to)}`);
      }
      assert.equal(await bench.holds({ key: kv.key, target: 'version', to: 2n }), true);
      assert.equal(await bench.holds({ key: kv.key, target: 'version', to: 3n }), false);
    },
  },
  {
    name: 'a missing key has 0 for every number, and no value',
    async run(bench) {
      const key = bench.key('a');
      for (const target of numbers) {
        assert.equal(await bench.holds({ key, target, to: 0n }), true, target);
        assert.equal(await bench.holds({ key, target, is: '>', to: 0n }), false, target);
      }
      for (const is of operators) {
        assert.equal(await bench.holds({ key, target: 'value', is, to: '' }), false, is);
      }
    },
  },
  {
    name: 'a comparison of a range holds if it does for each of its keys',
    async run(bench) {
      await bench.put('a');
      await bench.put('b');
      await bench.put('b');
      const version = { ...bench.all, target: 'version' } as const;
      assert.equal(await bench.holds({ ...version, is: '>', to: 0n }), true);
      assert.equal(await bench.holds({ ...version, to: 1n }), false);
      assert.equal(await bench.holds({ ...version, to: 2n }), false);
      assert.equal(await bench.holds({ ...version, ...bench.range('b', 'c'), to: 2n }), true);
    },
  },
  {
    name: 'a comparison of an empty range is that of a missing key',
    async run(bench) {
      await bench.put('a');
      const empty = bench.range('b', 'c');
      assert.equal(await bench.holds({ ...empty, target: 'create', to: 0n }), true);
      assert.equal(await bench.holds({ ...empty, target: 'create', is: '>', to: 0n }), false);
      assert.equal(await bench.holds({ ...empty, target: 'value', is: '!=', to: 'x' }), false);
    },
  },
  {
    name: 'a transaction runs one branch: success if all comparisons hold, else failure',
    async run(bench) {
      const missing = { key: bench.key('a'), target: 'create', to: 0n } as const;
      const branches = {
        success: [{ put: { key: bench.key('yes'), value: '' } }],
        failure: [{ range: bench.all }],
      };
      const compare = [missing, { ...missing, is: '>' }] as const;
      const failed = await bench.store.commit({ compare, ...branches });
      assert.equal(failed.succeeded, false);
      assert.deepEqual(failed.replies, [{ kvs: [], count: 0 }]);
      assert.equal(await bench.names(), '');
      const succeeded = await bench.store.commit({ compare: [missing], ...branches });
      assert.equal(succeeded.succeeded, true);
      assert.equal(await bench.names(), 'yes');
      const unconditional = await bench.store.commit({ failure: branches.success });
      assert.deepEqual([unconditional.succeeded, unconditional.replies], [true, []]);
    },
  },
  {
    name: 'each step of a transaction has a reply, and sees the steps before it',
    async run(bench) {
      await bench.put('a', '1');
      await bench.put('b', '2');
      const reply = await bench.store.commit({
        success: [
          { range: bench.all },
          { put: { key: bench.key('c'), value: '3' } },
          { range: { ...bench.all, limit: 1, sortBy: 'key', order: 'descending' } },
          { delete: bench.range('a', 'c') },
          { range: bench.all },
          { delete: { key: bench.key('none') } },
        ],
      });
      assert.deepEqual(
        reply.replies.map(({ count }) => count),
        [2, 0, 3, 2, 1, 0],
      );
      assert.deepEqual(
        reply.replies.map((_, step) => bench.namesIn(reply, step)),
        ['a b', '', 'c', '', 'c', ''],
      );
    },
  },
  {
    name: 'a nested transaction compares with the state before the whole transaction',
    async run(bench) {
      const key = bench.key('a');
      const { succeeded, replies } = await bench.store.commit({
        success: [
          { put: { key, value: 'new' } },
          {
            txn: {
              compare: [{ key, target: 'create', to: 0n }],
              success: [{ range: { key } }, { put: { key: bench.key('b'), value: '' } }],
              failure: [{ delete: { key: bench.key('c') } }],
            },
          },
          {
            txn: {
              compare: [{ key, target: 'create', is: '>', to: 0n }],
              success: [{ put: { key: bench.key('d'), value: '' } }],
            },
          },
        ],
      });
      assert.equal(succeeded, true);
      const [, first, second] = replies;
      assert.equal(first?.txn?.succeeded, true);
      assert.equal(first.txn.replies[0]?.kvs[0]?.value.toString(), 'new');
      assert.equal(first.txn.replies.length, 2);
      assert.deepEqual([second?.txn?.succeeded, second?.txn?.replies], [false, []]);
      assert.equal(await bench.names(), 'a b');
    },
  },
  {
    name: 'all that a transaction writes has one revision, larger than any before',
    async run(bench) {
      const before = await bench.put('old');
      const { revision } = await bench.store.commit({
        success: [
          { put: { key: bench.key('a'), value: '' } },
          { delete: { key: bench.key('old') } },
          { txn: { success: [{ put: { key: bench.key('b'), value: '' } }] } },
        ],
      });
      assert.ok(revision > before, `${revision} is larger than ${before}`);
      const { kvs } = await bench.store.read(bench.all);
      assert.deepEqual(
        kvs.map(({ createRevision, modRevision }) => [createRevision, modRevision]),
        [
          [revision, revision],
          [revision, revision],
        ],
      );
      assert.equal(await bench.names({ revision: revision - 1n }), 'old');
      assert.ok((await bench.put('a')) > revision, 'the next write has a larger one');
    },
  },
  {
    name: 'a key that is written again after its deletion begins anew',
    async run(bench) {
      await bench.put('a', '1', await bench.lease());
      await bench.put('a', '2');
      const kept = await bench.get('a');
      assert.deepEqual([kept?.version, kept?.lease], [2n, 0n]);
      await bench.remove('a');
      const revision = await bench.put('a', '3');
      const kv = await bench.get('a');
      assert.deepEqual(
        [kv?.version, kv?.createRevision, kv?.modRevision],
        [1n, revision, revision],
      );
    },
  },
  {
    name: 'one of many rival transactions wins',
    async run(bench) {
      const key = bench.key('a');
      const contend = (_: unknown, i: number): Promise<{ succeeded: boolean }> =>
        bench.store.commit({
          compare: [{ key, target: 'create', to: 0n }],
          success: [{ put: { key, value: String(i) } }],
        });
      const replies = await Promise.all(Array.from({ length: 20 }, contend));
      const winners = replies.flatMap(({ succeeded }, i) => (succeeded ? [String(i)] : []));
      assert.equal(winners.length, 1);
      const kv = await bench.get('a');
      assert.deepEqual([kv?.value.toString(), kv?.version], [winners[0], 1n]);
    },
  },
];
