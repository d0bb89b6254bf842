import assert from 'node:assert/strict';
import type { StoreBench, StoreCase } from './store-bench.js';

const zero = Buffer.from([0]);

/** Writes one key after the other, each with its name as value, and gives their revisions. */
async function write(bench: StoreBench, ...names: string[]): Promise<bigint[]> {
  const revisions: bigint[] = [];
  for (const name of names) revisions.push(await bench.put(name, name));
  return revisions;
}

/** How pairs are read. */
export const readCases: readonly StoreCase[] = [
  {
    name: 'a read gives a pair whole and exact',
    async run(bench) {
      const name = Buffer.from([0, 1, 127, 128, 255]);
      const value = Buffer.from([255, 0, 128, 13, 10]);
      const lease = await bench.lease();
      const createRevision = await bench.put(name, 'first');
      const modRevision = await bench.put(name, value, lease);
      const key = bench.key(name);
      const { kvs, count } = await bench.store.read({ key });
      assert.deepEqual(kvs, [{ key, value, createRevision, modRevision, version: 2n, lease }]);
      assert.equal(count, 1);
    },
  },
  {
    name: 'a read of a missing key gives nothing',
    async run(bench) {
      await bench.put('a/longer');
      const { kvs, count } = await bench.store.read({ key: bench.key('a') });
      assert.deepEqual([kvs, count], [[], 0]);
    },
  },
  {
    name: 'a read sees every write that was answered before',
    async run(bench) {
      for (let i = 0; i < 20; i += 1) {
        const written = await bench.put('a', String(i));
        const { kvs, revision } = await bench.store.read({ key: bench.key('a') });
        assert.equal(kvs[0]?.value.toString(), String(i));
        assert.ok(revision >= written, `read revision ${revision} after writing ${written}`);
      }
    },
  },
  {
    name: 'a range begins with its key and ends before its end',
    async run(bench) {
      await write(bench, 'd', 'a', 'c', 'b', 'bb');
      assert.equal(await bench.names(bench.range('b', 'd')), 'b bb c');
      assert.equal((await bench.store.read(bench.range('b', 'd'))).count, 3);
    },
  },
  {
    name: 'a range without an upper bound goes to the last key of all',
    async run(bench) {
      await write(bench, 'a', 'b', 'c');
      await bench.put(Buffer.from([255, 255]), 'the last');
      const { kvs } = await bench.store.read({ key: bench.key('b'), end: zero });
      const values = kvs.slice(0, 3).map(({ value }) => value.toString());
      assert.deepEqual(values, ['b', 'c', 'the last']);
    },
  },
  {
    name: 'a range whose end is not behind its key is empty',
    async run(bench) {
      await write(bench, 'a', 'b', 'c');
      for (const end of ['a', 'b']) {
        const { kvs, count } = await bench.store.read(bench.range('b', end));
        assert.deepEqual([kvs, count], [[], 0]);
      }
    },
  },
  {
    name: 'a limit cuts a read short, and the count is that of the range',
    async run(bench) {
      await write(bench, 'a', 'b', 'c');
      const { kvs, count } = await bench.store.read({ ...bench.all, limit: 2 });
      assert.deepEqual([kvs.length, count], [2, 3]);
      assert.equal(await bench.names({ limit: 2 }), 'a b');
      assert.equal(await bench.names({ limit: 3 }), 'a b c');
    },
  },
  {
    name: 'a read is sorted as it is asked to, before it is limited',
    async run(bench) {
      await write(bench, 'b', 'c', 'a', 'c');
      assert.equal(await bench.names({ sortBy: 'key' }), 'a b c');
      assert.equal(await bench.names({ sortBy: 'key', order: 'descending' }), 'c b a');
      assert.equal(await bench.names({ sortBy: 'create' }), 'b c a');
      assert.equal(await bench.names({ sortBy: 'create', order: 'descending' }), 'a c b');
      assert.equal(await bench.names({ sortBy: 'mod' }), 'b a c');
      assert.equal(await bench.names({ sortBy: 'mod', order: 'descending', limit: 2 }), 'c a');
    },
  },
  {
    name: 'a read of keys only leaves the values out and nothing else',
    async run(bench) {
      await write(bench, 'a');
      const whole = await bench.get('a');
      const { kvs } = await bench.store.read({ ...bench.all, keysOnly: true });
      assert.deepEqual(kvs, [{ ...whole, value: Buffer.alloc(0) }]);
    },
  },
  {
    name: 'a read leaves out what was created after a revision',
    async run(bench) {
      const [, second] = await write(bench, 'b', 'a', 'c', 'b');
      assert.equal(await bench.names({ maxCreateRevision: second ?? 0n }), 'a b');
    },
  },
  {
    name: 'a read of the past shows what was then',
    async run(bench) {
      const [first, second] = await write(bench, 'a', 'b');
      await bench.put('a', 'changed');
      const last = await bench.remove('b');
      const past = { ...bench.all, revision: second ?? 0n };
      const { kvs, count, revision } = await bench.store.read(past);
      assert.deepEqual(
        kvs.map(({ value }) => value.toString()),
        ['a', 'b'],
      );
      assert.equal(count, 2);
      assert.ok(revision >= last, 'the revision of a reply is that of the store');
      assert.equal(await bench.names({ revision: first ?? 0n }), 'a');
      assert.equal(await bench.names(), 'a');
    },
  },
];
