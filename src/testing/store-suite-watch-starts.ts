import assert from 'node:assert/strict';
import { ArgumentError } from '../core/store/errors.js';
import type { StoreCase } from './store-bench.js';

/** Where in history watches begin. */
export const watchStartCases: readonly StoreCase[] = [
  {
    name: 'a watch from a past revision begins with what came then',
    async run(bench) {
      await bench.put('a', '1');
      const from = await bench.put('a', '2');
      await bench.remove('a');
      const recording = bench.record(bench.all, { from });
      await bench.heard(recording, 'delete a');
      await recording.watch.ready;
      assert.equal(recording.watch.since, from);
      await bench.put('a', '3');
      await bench.heard(recording, 'put a=3');
      assert.deepEqual(recording.seen, ['put a=2', 'delete a', 'put a=3']);
    },
  },
  {
    name: 'a watch from a revision to come leaves out what comes before',
    async run(bench) {
      const from = (await bench.put('a')) + 3n;
      const recording = await bench.recordNow(bench.all, { from });
      const expected: string[] = [];
      for (let i = 0; expected.length < 2; i += 1) {
        if ((await bench.put('a', String(i))) >= from) expected.push(`put a=${i}`);
      }
      await bench.heard(recording, expected.at(-1) ?? '');
      assert.deepEqual(recording.seen, expected);
    },
  },
  {
    name: 'a watch of the present misses nothing while the same is watched from a revision to come',
    async run(bench) {
      const now = await bench.put('a', '1');
      const future = await bench.recordNow(bench.all, { from: now + 1_000n });
      const present = await bench.recordNow(bench.all);
      await bench.put('a', '2');
      await bench.heard(present, 'put a=2');
      assert.deepEqual(present.seen, ['put a=2']);
      assert.deepEqual(future.seen, []);
    },
  },
  {
    name: 'a watch cannot begin before there was anything, nor at what is no revision',
    async run(bench) {
      for (const from of [0n, -1n, 1 as unknown as bigint]) {
        assert.throws(() => bench.record(bench.all, { from }), ArgumentError);
      }
    },
  },
  {
    name: 'a watch that comes late to a range that is watched gets the past it asks for',
    async run(bench) {
      const early = await bench.recordNow(bench.all);
      const from = await bench.put('a', '1');
      await bench.put('a', '2');
      await bench.heard(early, 'put a=2');
      const late = bench.record(bench.all, { from });
      const later = await bench.recordNow(bench.all);
      await bench.put('a', '3');
      await Promise.all([early, late, later].map((each) => bench.heard(each, 'put a=3')));
      assert.deepEqual(early.seen, ['put a=1', 'put a=2', 'put a=3']);
      assert.deepEqual(late.seen, early.seen);
      assert.deepEqual(later.seen, ['put a=3']);
    },
  },
];
