import assert from 'node:assert/strict';
import { RefusedError } from '../core/store/errors.js';
import { newLeaseId } from '../core/store/lease-id.js';
import { rejection } from './rejection.js';
import type { StoreCase } from './store-bench.js';

/** What a store says no to; nothing of it takes effect. */
export const refusalCases: readonly StoreCase[] = [
  {
    name: 'a read of the future is refused',
    async run(bench) {
      const revision = (await bench.put('a')) + 1_000_000n;
      await assert.rejects(bench.store.read({ key: bench.key('a'), revision }), RefusedError);
    },
  },
  {
    name: 'a read without a key is refused',
    async run({ store }) {
      await assert.rejects(store.read({ key: '' }), RefusedError);
      await assert.rejects(store.read({ key: '', end: '\0' }), RefusedError);
    },
  },
  {
    name: 'a write without a key is refused',
    async run({ store }) {
      await assert.rejects(
        store.commit({ success: [{ put: { key: '', value: '' } }] }),
        RefusedError,
      );
      await assert.rejects(store.commit({ success: [{ delete: { key: '' } }] }), RefusedError);
    },
  },
  {
    name: 'a transaction that writes a key twice is refused as a whole',
    async run(bench) {
      const put = { put: { key: bench.key('b'), value: '' } };
      for (const again of [put, { delete: bench.range('a', 'c') }, { txn: { success: [put] } }]) {
        await assert.rejects(bench.store.commit({ success: [put, again] }), RefusedError);
      }
      assert.equal(await bench.names(), '');
    },
  },
  {
    name: 'a transaction that puts under a lease nobody has is refused as a whole',
    async run(bench) {
      const success = [
        { put: { key: bench.key('a'), value: '' } },
        { put: { key: bench.key('b'), value: '', lease: newLeaseId() } },
      ];
      const error = await rejection(bench.store.commit({ success }));
      assert.ok(error instanceof RefusedError);
      assert.match(error.message, /lease not found/);
      assert.equal(await bench.names(), '');
    },
  },
];
