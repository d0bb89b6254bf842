import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { StoreCase } from './store-bench.js';

/** As large as a value may be for every etcd, whose limit of a request is 1.5 MiB unless it is told otherwise. */
const mebibyte = 2 ** 20;

/** More names than a page of anything has, in the order of keys. */
const many = Array.from({ length: 1_500 }, (_, i) => `k${String(i).padStart(4, '0')}`);

/** Values, ranges and histories of a size at which something may be cut. */
export const sizeCases: readonly StoreCase[] = [
  {
    name: 'a value of 1 MiB is read and watched whole',
    async run(bench) {
      const value = randomBytes(mebibyte);
      const recording = await bench.recordNow(bench.all);
      await bench.put('a', value);
      await bench.put('end');
      await bench.heard(recording, 'put end=');
      const told = recording.batches.flat()[0]?.kv;
      for (const [how, kv] of [['read', await bench.get('a')] as const, ['told', told] as const]) {
        assert.equal(kv?.value.length, mebibyte, how);
        // Not `deepEqual`, which would show all of the bytes.
        assert.ok(value.equals(kv.value), `the value that was ${how} is the one that was written`);
      }
    },
  },
  {
    name: 'a range of 1,500 keys is read and counted whole',
    async run(bench) {
      await bench.putAll(many);
      const { kvs, count } = await bench.store.read(bench.all);
      assert.deepEqual([kvs.length, count], [many.length, many.length]);
      assert.equal(kvs.map(({ value }) => value.toString()).join(' '), many.join(' '));
      assert.equal(await bench.names(), many.join(' '));
      assert.equal((await bench.store.read({ ...bench.all, limit: 1 })).count, many.length);
    },
  },
  {
    name: 'a watch from the past tells of 1,500 changes whole and in order',
    async run(bench) {
      // Not in the order of keys.
      const names = many.toReversed();
      const from = await bench.putAll(names);
      const recording = bench.record(bench.all, { from });
      await bench.put('end');
      await bench.heard(recording, 'put end=');
      const expected = names.map((name) => `put ${name}=${name}`);
      assert.deepEqual(recording.seen, [...expected, 'put end=']);
    },
  },
];
