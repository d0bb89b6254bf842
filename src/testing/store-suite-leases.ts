import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { ArgumentError } from '../core/store/errors.js';
import { newLeaseId } from '../core/store/lease-id.js';
import { rejection } from './rejection.js';
import type { StoreBench, StoreCase } from './store-bench.js';

/** The shortest lease that every etcd grants, in milliseconds. */
const short = 2_000;
/** For how long a lease is renewed after its first end: etcd looks twice a second for leases that are over. */
const after = 1_000;

/** How often a case begins anew when the machine is too busy for it. */
const attempts = 5;

/** A short lease that was granted. */
interface ShortLease {
  readonly lease: bigint;
  readonly granted: number;
  /** It does not end before this, in the time of `performance.now()`. */
  readonly end: number;
}

/** Grants a short lease and puts a key under it; anew if that took so long that the lease may rightly be gone. */
async function putShortly(bench: StoreBench, name: string): Promise<ShortLease> {
  for (let left = attempts; ; left -= 1) {
    const lease = newLeaseId();
    const begun = performance.now();
    const granted = await bench.store.grant(lease, short);
    const end = begun + granted;
    const error = await rejection(bench.put(name, '', lease));
    if (error === undefined) return { lease, granted, end };
    if (left === 1 || performance.now() < end) throw error;
  }
}

/**
 * Whether a key lives past the first end of its short lease while that is renewed; throws if it does not. Gives
 * `false` when a renewal came so late that the lease may rightly be gone.
 */
async function livesOn(bench: StoreBench, name: string): Promise<boolean> {
  const { lease, granted, end: firstEnd } = await putShortly(bench, name);
  for (let end = firstEnd; performance.now() < firstEnd + after; ) {
    await delay(granted / 3);
    const sent = performance.now();
    const left = await bench.store.keepAlive(lease);
    const kv = await bench.get(name);
    if (performance.now() >= end) return false;
    assert.equal(left, granted, 'the lease lives');
    assert.equal(kv?.lease, lease, 'its key lives');
    end = sent + granted;
  }
  return true;
}

/** What leases do. */
export const leaseCases: readonly StoreCase[] = [
  {
    name: 'a lease is granted for at least the milliseconds asked for',
    async run({ store }) {
      const lease = newLeaseId();
      const granted = await store.grant(lease, 29_500);
      assert.ok(granted >= 29_500 && granted < 300_000, `granted ${granted}`);
      await store.revoke(lease);
    },
  },
  {
    name: 'a lease that is granted again stays as it was',
    async run(bench) {
      const lease = newLeaseId();
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
      const lease = 0x7fff_0000_0000_0000n | newLeaseId();
      await store.grant(lease, 60_000);
      assert.equal(await store.keepAlive(lease ^ 1n), 0);
      assert.ok((await store.keepAlive(lease)) > 0);
      await store.revoke(lease);
    },
  },
  {
    name: 'a renewal gives the milliseconds granted, and 0 for a lease that is gone',
    async run({ store }) {
      const lease = newLeaseId();
      const granted = await store.grant(lease, 60_000);
      assert.equal(await store.keepAlive(lease), granted);
      assert.equal(await store.keepAlive(newLeaseId()), 0);
      await store.revoke(lease);
      assert.equal(await store.keepAlive(lease), 0);
    },
  },
  {
    name: 'renewals that run together each have the answer for their own lease',
    async run({ store }) {
      const leases = Array.from({ length: 20 }, newLeaseId);
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
      const lease = newLeaseId();
      await store.revoke(lease);
      await store.grant(lease, 60_000);
      await store.revoke(lease);
      await store.revoke(lease);
    },
  },
  {
    name: 'what cannot be a lease is refused at once',
    async run({ store }) {
      for (const ttl of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0]) {
        await assert.rejects(store.grant(newLeaseId(), ttl), ArgumentError);
      }
      for (const lease of [0n, -1n, 2n ** 63n, 1.5 as unknown as bigint]) {
        await assert.rejects(store.grant(lease, 60_000), ArgumentError);
        if (lease === 0n) continue;
        await assert.rejects(store.keepAlive(lease), ArgumentError);
        await assert.rejects(store.revoke(lease), ArgumentError);
      }
    },
  },
  {
    name: 'a lease that is renewed lives past its first end',
    async run(bench) {
      let lived = false;
      for (let i = 0; i < attempts && !lived; i += 1) lived = await livesOn(bench, `a${i}`);
      assert.ok(lived, 'renewals are answered in time');
    },
  },
  {
    name: 'a lease that is not renewed any more ends by itself, and a watch hears of its key',
    async run(bench) {
      await bench.put('free');
      const recording = await bench.recordNow(bench.all, { only: 'delete' });
      const { lease, granted } = await putShortly(bench, 'a');
      await bench.store.keepAlive(lease);
      await delay(granted);
      await bench.heard(recording, 'delete a');
      assert.deepEqual(recording.seen, ['delete a']);
      assert.equal(await bench.names(), 'free');
      assert.equal(await bench.store.keepAlive(lease), 0);
    },
  },
];
