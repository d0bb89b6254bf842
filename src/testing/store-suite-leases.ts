import assert from 'node:assert/strict';
import { newLease, type StoreCase } from './store-bench.js';

/** What leases do. */
export const leaseCases: readonly StoreCase[] = [
  {
    name: 'a lease is granted for at least the milliseconds asked for',
    async run({ store }) {
      const lease = newLease();
      const granted = await store.grant(lease, 29_500);
      assert.ok(granted >= 29_500 && granted < 300_000, `granted ${granted}`);
      await store.revoke(lease);
    },
  },
  {
    name: 'a lease that is granted again stays as it was',
    async run(bench) {
      const lease = newLease();
      const granted = await bench.store.grant(lease, 60_000);
      await bench.put('a', '', lease);
      assert.equal(await bench.store.grant(lease, 60_000), granted);
      assert.equal(await bench.names(), 'a');
      await bench.store.revoke(lease);
      assert.equal(await bench.names(), '');
    },
  },
  {
    name: 'a lease has an ID of up to 63 bits, exactly',
    async run({ store }) {
      const lease = 0x7fff_0000_0000_0000n | newLease();
      await store.grant(lease, 60_000);
      assert.equal(await store.keepAlive(lease ^ 1n), 0);
      assert.ok((await store.keepAlive(lease)) > 0);
      await store.revoke(lease);
    },
  },
  {
    name: 'a renewal gives the milliseconds granted, and 0 for a lease that is gone',
    async run({ store }) {
      const lease = newLease();
      const granted = await store.grant(lease, 60_000);
      assert.equal(await store.keepAlive(lease), granted);
      assert.equal(await store.keepAlive(newLease()), 0);
      await store.revoke(lease);
      assert.equal(await store.keepAlive(lease), 0);
    },
  },
  {
    name: 'renewals that run together each have the answer for their own lease',
    async run({ store }) {
      const leases = Array.from({ length: 20 }, newLease);
      const granted = leases.map(() => 0);
      for (let i = 0; i < leases.length; i += 2) {
        granted[i] = await store.grant(leases[i] ?? 0n, 60_000 + i * 1_000);
      }
      const renewed = await Promise.all(leases.map((lease) => store.keepAlive(lease)));
      assert.deepEqual(renewed, granted);
      await Promise.all(leases.map((lease) => store.revoke(lease)));
    },
  },
  {
    name: 'a lease takes its keys along when it is revoked, at one revision, and no others',
    async run(bench) {
      const [mine, other] = [await bench.lease(), await bench.lease()];
      await bench.put('free');
      await bench.put('a', '', mine);
      await bench.put('b', '', mine);
      await bench.put('moved', '', mine);
      await bench.put('moved', '', other);
      await bench.put('detached', '', mine);
      const before = await bench.put('detached');
      assert.equal((await bench.get('moved'))?.lease, other);
      const recording = await bench.recordNow(bench.all);
      await bench.store.revoke(mine);
      assert.equal(await bench.names(), 'detached free moved');
      await bench.heard(recording, 'delete b');
      const revisions = recording.batches.flat().map(({ kv }) => kv.modRevision);
      assert.equal(revisions.length, 2);
      assert.ok(revisions.every((each) => each > before && each === revisions[0]));
    },
  },
  {
    name: 'a lease that is gone is revoked without an error',
    async run({ store }) {
      const lease = newLease();
      await store.revoke(lease);
      await store.grant(lease, 60_000);
      await store.revoke(lease);
      await store.revoke(lease);
    },
  },
];
