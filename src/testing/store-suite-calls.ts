import assert from 'node:assert/strict';
import { ClosedError } from '../core/store/errors.js';
import { newLeaseId } from '../core/store/lease-id.js';
import type { CallOptions } from '../core/store/store.js';
import { forLater, rejection } from './rejection.js';
import type { StoreBench, StoreCase } from './store-bench.js';

/** One call of every kind that goes to etcd. */
function calls(bench: StoreBench, options?: CallOptions): readonly [string, Promise<unknown>][] {
  const { store } = bench;
  const lease = newLeaseId();
  const key = bench.key('a');
  const all: readonly [string, Promise<unknown>][] = [
    ['read', store.read({ key }, options)],
    ['commit', store.commit({ success: [{ put: { key, value: '' } }] }, options)],
    ['grant', store.grant(lease, 60_000, options)],
    ['keepAlive', store.keepAlive(lease, options)],
    ['revoke', store.revoke(lease, options)],
  ];
  for (const [, call] of all) void forLater(call);
  return all;
}

/** How calls end before their time. */
export const callCases: readonly StoreCase[] = [
  {
    name: 'a call whose signal is aborted rejects with the reason',
    async run(bench) {
      const reason = new Error('enough');
      for (const [name, call] of calls(bench, { signal: AbortSignal.abort(reason) })) {
        assert.equal(await rejection(call), reason, name);
      }
    },
  },
  {
    name: 'a call whose signal aborts on its way has its answer, or rejects with the reason',
    async run(bench) {
      const reason = new Error('enough');
      const controller = new AbortController();
      const all = calls(bench, { signal: controller.signal });
      controller.abort(reason);
      for (const [name, call] of all) {
        const error = await rejection(call);
        assert.ok(error === undefined || error === reason, `${name}: ${String(error)}`);
      }
    },
  },
  {
    name: 'a call on its way when the store is closed has its answer, or rejects',
    async run(bench) {
      await bench.put('a');
      const all = calls(bench);
      bench.store.close();
      for (const [name, call] of all) {
        const error = await rejection(call);
        assert.ok(error === undefined || error instanceof ClosedError, `${name}: ${String(error)}`);
      }
    },
  },
  {
    name: 'a call after the store was closed rejects',
    async run(bench) {
      bench.store.close();
      bench.store.close();
      for (const [name, call] of calls(bench)) {
        assert.ok((await rejection(call)) instanceof ClosedError, name);
      }
      assert.throws(() => bench.record(bench.all), ClosedError);
    },
  },
  {
    name: 'a watch is told once when its store is closed, and hears no more',
    async run(bench) {
      const recording = await bench.recordNow(bench.all);
      const released = await bench.recordNow(bench.all);
      released.watch.close();
      bench.store.close();
      await bench.until('the watch is closed', () => recording.closed.length > 0);
      recording.watch.close();
      assert.equal(recording.closed.length, 1);
      assert.ok(recording.closed[0] instanceof ClosedError);
      assert.deepEqual(released.closed, []);
    },
  },
  {
    name: 'a watch that is not ready when its store is closed never will be',
    async run(bench) {
      const { watch, closed } = bench.record(bench.all);
      bench.store.close();
      const error = await rejection(watch.ready);
      await bench.until('the watch is closed', () => closed.length > 0);
      assert.ok(error === undefined || error instanceof ClosedError);
    },
  },
];
