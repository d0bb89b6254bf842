import assert from 'node:assert/strict';
import { RefusedError } from '../core/store/errors.js';
import type { StoreCase } from './store-bench.js';
import { watchStartCases } from './store-suite-watch-starts.js';

/** What watches tell. */
export const watchCases: readonly StoreCase[] = [
  ...watchStartCases,
  {
    name: 'a watch knows since when it covers once it is ready',
    async run(bench) {
      const { watch, seen } = await bench.recordNow(bench.all);
      assert.ok(watch.since !== undefined);
      const next = await bench.put('a');
      assert.ok(watch.since <= next, `covers from ${watch.since}, and the next write is ${next}`);
      await bench.until('the event', () => seen.length > 0);
    },
  },
  {
    name: 'a watch that is closed at once does not leave anybody waiting until it is ready',
    async run(bench) {
      const watch = bench.store.watch(bench.all, { events() {}, gap() {}, closed() {} });
      let settled = false;
      const settle = (): void => {
        settled = true;
      };
      watch.ready.then(settle, settle);
      watch.close();
      await bench.until('the end of the wait', () => settled);
    },
  },
  {
    name: 'a watch tells of every change once, in the order of revisions',
    async run(bench) {
      const recording = await bench.recordNow(bench.all);
      const expected: string[] = [];
      for (let i = 0; i < 20; i += 1) {
        await bench.put(`k${i % 3}`, String(i));
        expected.push(`put k${i % 3}=${i}`);
        if (i % 5 !== 4) continue;
        await bench.remove(`k${i % 3}`);
        expected.push(`delete k${i % 3}`);
      }
      await bench.put('end');
      await bench.heard(recording, 'put end=');
      assert.deepEqual(recording.seen, [...expected, 'put end=']);
    },
  },
  {
    name: 'an event of a put has the pair whole, and one of a deletion its key and revision',
    async run(bench) {
      const recording = await bench.recordNow(bench.all);
      await bench.put('a', '1');
      await bench.put('a', Buffer.from([255, 0]), await bench.lease());
      const kv = await bench.get('a');
      const removed = await bench.remove('a');
      await bench.heard(recording, 'delete a');
      const [, put, deletion] = recording.batches.flat();
      assert.deepEqual(put, { type: 'put', kv });
      assert.equal(deletion?.type, 'delete');
      assert.deepEqual([deletion.kv.key, deletion.kv.modRevision], [bench.key('a'), removed]);
    },
  },
  {
    name: 'a watch of one key tells of no other',
    async run(bench) {
      const recording = await bench.recordNow({ key: bench.key('b') });
      for (const name of ['a', 'b', 'b/c', 'bb', 'c']) await bench.put(name);
      await bench.put('b', 'end');
      await bench.heard(recording, 'put b=end');
      assert.deepEqual(recording.seen, ['put b=', 'put b=end']);
    },
  },
  {
    name: 'a watch of a range tells of its keys only',
    async run(bench) {
      const recording = await bench.recordNow(bench.range('b', 'd'));
      for (const name of ['a', 'b', 'c', 'cc', 'd', 'e']) await bench.put(name);
      await bench.put('b', 'end');
      await bench.heard(recording, 'put b=end');
      assert.deepEqual(recording.seen, ['put b=', 'put c=', 'put cc=', 'put b=end']);
    },
  },
  {
    name: 'a watch without an upper bound tells of all keys from its own on',
    async run(bench) {
      const recording = await bench.recordNow({ key: bench.key('b'), end: '\0' });
      for (const name of ['a', 'b', 'z']) await bench.put(name);
      await bench.heard(recording, 'put z=');
      assert.deepEqual(recording.seen, ['put b=', 'put z=']);
    },
  },
  {
    name: 'a watch leaves out the type of change that is not asked for',
    async run(bench) {
      const from = await bench.put('a', '1');
      const past = bench.record(bench.all, { only: 'delete', from });
      const puts = await bench.recordNow(bench.all, { only: 'put' });
      const deletes = await bench.recordNow(bench.all, { only: 'delete' });
      await bench.remove('a');
      await bench.put('b', '2');
      await bench.remove('b');
      await bench.put('b', '3');
      await bench.heard(puts, 'put b=3');
      await Promise.all([past, deletes].map((each) => bench.heard(each, 'delete b')));
      assert.deepEqual(puts.seen, ['put b=2', 'put b=3']);
      assert.deepEqual(deletes.seen, ['delete a', 'delete b']);
      assert.deepEqual(past.seen, deletes.seen);
    },
  },
  {
    name: 'a watch gives the pair before each change to who asks for it',
    async run(bench) {
      await bench.put('a', '1');
      const before = await bench.get('a');
      const asked = await bench.recordNow(bench.all, { previous: true });
      const other = await bench.recordNow(bench.all);
      await bench.put('a', '2');
      await bench.remove('a');
      await bench.put('b', '1');
      await Promise.all([asked, other].map((each) => bench.heard(each, 'put b=1')));
      const pairs = asked.batches.flat().map(({ previous }) => previous?.value.toString());
      assert.deepEqual(pairs, ['1', '2', undefined]);
      assert.deepEqual(asked.batches[0]?.[0]?.previous, before);
      assert.ok(other.batches.flat().every((event) => !('previous' in event)));
    },
  },
  {
    name: 'a watch tells of all changes of one transaction together',
    async run(bench) {
      await bench.put('old');
      const recording = await bench.recordNow(bench.all);
      await bench.store.commit({
        success: [
          { put: { key: bench.key('b'), value: '' } },
          { delete: { key: bench.key('old') } },
          { txn: { success: [{ put: { key: bench.key('a'), value: '' } }] } },
        ],
      });
      await bench.heard(recording, 'put a=');
      assert.deepEqual(recording.seen, ['put b=', 'delete old', 'put a=']);
      assert.equal(recording.batches.length, 1);
      assert.equal(new Set(recording.batches[0]?.map(({ kv }) => kv.modRevision)).size, 1);
    },
  },
  {
    name: 'a watch tells of each key that a deletion of many takes, and of none that was not there',
    async run(bench) {
      for (const name of ['b', 'a', 'c']) await bench.put(name);
      const recording = await bench.recordNow(bench.all);
      await bench.remove('none');
      await bench.store.commit({ success: [{ delete: bench.range('a', 'c') }] });
      await bench.put('end');
      await bench.heard(recording, 'put end=');
      const told = recording.seen.slice(0, -1);
      assert.deepEqual(told.toSorted(), ['delete a', 'delete b']);
    },
  },
  {
    name: 'a watch tells of keys that go with their lease',
    async run(bench) {
      const lease = await bench.lease();
      await bench.put('a', '', lease);
      const recording = await bench.recordNow(bench.all, { only: 'delete' });
      await bench.store.revoke(lease);
      await bench.heard(recording, 'delete a');
      assert.deepEqual(recording.seen, ['delete a']);
    },
  },
  {
    name: 'a watch that is closed hears no more, and others go on',
    async run(bench) {
      const closed = await bench.recordNow(bench.all);
      const open = await bench.recordNow(bench.all);
      await bench.put('a', '1');
      await Promise.all([closed, open].map((each) => bench.heard(each, 'put a=1')));
      closed.watch.close();
      closed.watch.close();
      await bench.put('a', '2');
      await bench.heard(open, 'put a=2');
      await bench.put('a', '3');
      await bench.heard(open, 'put a=3');
      assert.deepEqual(closed.seen, ['put a=1']);
      assert.deepEqual([...closed.closed, ...open.closed], []);
    },
  },
  {
    name: 'a watch that is closed before it is ready hears nothing',
    async run(bench) {
      const closed = bench.record(bench.all);
      closed.watch.close();
      const open = await bench.recordNow(bench.all);
      await bench.put('a');
      await bench.heard(open, 'put a=');
      assert.deepEqual([closed.seen, closed.closed], [[], []]);
    },
  },
  {
    name: 'a watch of a range that holds no key is refused',
    async run(bench) {
      const { watch, closed } = bench.record(bench.range('b', 'a'));
      await bench.until('the watch is closed', () => closed.length > 0);
      assert.equal(closed.length, 1);
      assert.ok(closed[0] instanceof RefusedError);
      await assert.rejects(watch.ready, RefusedError);
    },
  },
];
