import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { ExactlyOnceStore } from '../../../src/core/commit/exactly-once-store.js';
import { writes } from '../../../src/core/commit/footprint.js';
import { allMarks } from '../../../src/core/commit/mark.js';
import { prefixRange } from '../../../src/core/store/keys.js';
import { wasRefused } from '../../../src/core/store/refusals.js';
import { deferred } from '../../../src/core/time/deferred.js';
import { start, VirtualClock } from '../../../src/embed/index.js';
import {
  ArgumentError,
  ClosedError,
  type Compare,
  type KeyValue,
  RefusedError,
  type Store,
  type Txn,
  type TxnReply,
  UnavailableError,
} from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { compact, useEtcd } from '../../support/etcd.js';
import { noAnswer, override } from '../../support/override.js';
import { transactions } from '../../support/transactions.js';
import { type Unreliable, unreliable } from '../../support/unreliable-store.js';

const etcd = useEtcd();
const exactlyOnce = { exactlyOnce: true } as const;

/** A store that keeps marks, on one that can be made to fail, and a key of its own. */
function setUp(change: (store: Store) => Partial<Store> = () => ({})): Unreliable & {
  readonly marked: ExactlyOnceStore;
  readonly key: string;
} {
  const below = unreliable(override(etcd.admin, { close: () => {}, ...change(etcd.admin) }));
  const marked = new ExactlyOnceStore(below.store);
  const key = etcd.name();
  etcd.defer(() => marked.close());
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: { key, end: `${key}~` } }] }));
  return { ...below, marked, key };
}
const get = async (key: string): Promise<KeyValue | undefined> =>
  (await etcd.admin.read({ key })).kvs[0];
/** Its key shows in its version how often it was applied. */
const put = (key: string, value = 'x'): Txn => ({ success: [{ put: { key, value } }] });
/** The lease that marks of a transaction sent are under. */
const leaseOf = (txn: Txn | undefined): bigint => {
  const step = txn?.success?.at(-1);
  return (step && 'put' in step && step.put.lease) || 0n;
};
/** The key of the mark. */
const markOf = (txn: Txn | undefined): unknown => txn?.compare?.[0]?.key;
/** Calls `act` after so many turns of the queue of microtasks. */
async function inTurns(turns: number, act: () => void): Promise<void> {
  for (let i = 0; i < turns; i += 1) await Promise.resolve();
  act();
}
const refusal = (status: string, message: string) => async (): Promise<never> => {
  throw new RefusedError(status, `etcdserver: ${message}`);
};

describe('a commit that is to be applied exactly once', () => {
  it.each(['loses its reply', 'is lost'] as const)('is applied once when it %s', async (fate) => {
    const { marked, key, plan } = setUp();
    for (const fates of [[fate], [fate, fate], [fate, 'arrives', fate] as const]) {
      plan(...fates);
      const before = (await get(key))?.version ?? 0n;
      const reply = await marked.commit(put(key), exactlyOnce);
      const kv = await get(key);
      expect(kv?.version).toBe(before + 1n);
      expect(reply).toEqual({
        succeeded: true,
        revision: kv?.modRevision,
        replies: [{ kvs: [], count: 0 }],
      });
      if (fates.length === 3) await marked.commit(put(`${key}/other`), exactlyOnce);
    }
  });

  it('is not applied again by an attempt that comes late', async () => {
    const { marked, key, plan, arrive } = setUp();
    plan('comes late', 'comes late');
    await marked.commit(put(key, 'first'), exactlyOnce);
    await marked.commit(put(key, 'second'), exactlyOnce);
    for (const late of arrive) expect((await late()).succeeded).toBe(false);
    const kv = await get(key);
    expect([kv?.value.toString(), kv?.version]).toEqual(['second', 2n]);
  });

  it('is not applied by an attempt that comes when the lease of its mark is gone', async () => {
    const { marked, key, plan, arrive, sent } = setUp();
    plan('comes late');
    // Nobody writes a new mark: that it is missing is the condition, and it is missing again.
    await marked.commit(put(key), exactlyOnce);
    await etcd.admin.revoke(leaseOf(sent[0]));
    await expect(arrive[0]?.()).rejects.toThrow(/lease not found/);
    expect((await get(key))?.version).toBe(1n);
  });

  it('reports an unknown outcome when its time is up, and leaves its mark unused', async () => {
    const { marked, key, sent, arrive, plan } = setUp();
    // The lease of the marks is there before: its time is another's.
    await marked.commit(put(key), exactlyOnce);
    sent.splice(0);
    plan('comes late', ...Array.from({ length: 20 }, () => 'is lost' as const));
    const error = await rejection(marked.commit(put(key), { ...exactlyOnce, timeout: 50 }));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error).toMatchObject({ outcome: 'unknown', failures: [{ message: 'no answer' }] });
    const used = new Set(sent.map(markOf));
    expect(used.size).toBe(1);
    plan();
    await marked.commit(put(key), exactlyOnce);
    expect(used.has(markOf(sent.at(-1)))).toBe(false);
    await arrive[0]?.();
    expect((await get(key))?.version).toBe(3n);
  });

  it('rejects with the reason when it is given up, and leaves its mark unused', async () => {
    const { marked, key, sent, plan } = setUp();
    const controller = new AbortController();
    const reason = new Error('enough');
    plan(async () => {
      controller.abort(reason);
      throw noAnswer();
    });
    const call = marked.commit(put(key), { ...exactlyOnce, signal: controller.signal });
    expect(await rejection(call)).toBe(reason);
    await marked.commit(put(key), exactlyOnce);
    expect(markOf(sent[1])).not.toEqual(markOf(sent[0]));
  });

  it('leaves no mark taken when it is given up as the lease of the marks is granted', async () => {
    for (let turns = 0; turns <= 12; turns += 1) {
      const controller = new AbortController();
      const granted: bigint[] = [];
      const revoked: bigint[] = [];
      const { marked, key } = setUp((store) => ({
        grant: async (lease, ...args) => {
          const ttl = await store.grant(lease, ...args);
          granted.push(lease);
          void inTurns(turns, () => controller.abort());
          return ttl;
        },
        revoke: async (lease) => {
          revoked.push(lease);
          await store.revoke(lease);
        },
      }));
      const { signal } = controller;
      await marked.commit(put(key), { ...exactlyOnce, signal }).catch(() => {});
      // It needs another lease, and that of before is given back as soon as none of its marks is taken.
      await marked.commit(put(key), { ...exactlyOnce, timeout: 60_000 });
      expect([turns, ...revoked]).toEqual([turns, granted[0]]);
    }
  });

  it('is given up for whatever reason: that is nothing that etcd said of it', async () => {
    const { marked, key, plan, sent } = setUp();
    const denied = new RefusedError('PERMISSION_DENIED', 'etcdserver: permission denied');
    for (const outcome of ['not-applied', 'unknown'] as const) {
      const controller = new AbortController();
      plan(
        async () => {
          setTimeout(() => controller.abort(denied), 1);
          throw new UnavailableError(outcome, []);
        },
        ...Array.from({ length: 100 }, () => 'is lost' as const),
      );
      const call = marked.commit(put(key), { ...exactlyOnce, signal: controller.signal });
      expect(await rejection(call)).toBe(denied);
    }
    plan();
    await marked.commit(put(key), exactlyOnce);
    expect(markOf(sent.at(-1))).toBeDefined();
  });

  it('is given up at once while its mark is being made', async () => {
    const { marked, key } = setUp(() => ({ grant: () => new Promise(() => {}) }));
    const reason = new Error('enough');
    const controller = new AbortController();
    const call = marked.commit(put(key), { ...exactlyOnce, signal: controller.signal });
    const late = marked.commit(put(key), { ...exactlyOnce, timeout: 20 });
    controller.abort(reason);
    expect(await rejection(call)).toBe(reason);
    await expect(late).rejects.toMatchObject({ outcome: 'not-applied' });
  });

  it('tells what went wrong while its mark was being made', async () => {
    const { marked, key } = setUp(() => ({ grant: () => Promise.reject(noAnswer()) }));
    await expect(marked.commit(put(key), { ...exactlyOnce, timeout: 50 })).rejects.toMatchObject({
      outcome: 'not-applied',
      failures: [{ message: 'no answer' }],
    });
  });

  it('is sent as it is if it only reads, may be repeated, or is not to be marked', async () => {
    const { marked, key, sent } = setUp();
    await marked.commit(put(key));
    await marked.commit(put(key), { ...exactlyOnce, idempotent: true });
    expect(sent).toEqual([put(key), put(key)]);
    const read: Txn = { success: [{ range: { key } }] };
    expect((await marked.commit(read, exactlyOnce)).replies[0]?.count).toBe(1);
  });

  it('has a mark up to 125 operations, and is sent once beyond', async () => {
    const { marked, key, sent } = setUp();
    const puts = (count: number): Txn => ({
      success: Array.from({ length: count }, (_, i) => ({ put: { key: `${key}${i}`, value: '' } })),
    });
    expect((await marked.commit(puts(125), exactlyOnce)).replies.length).toBe(125);
    expect((await marked.commit(puts(128), exactlyOnce)).replies.length).toBe(128);
    expect(sent.map(leaseOf).map(Boolean)).toEqual([true, false]);
    const nested: Txn = { success: [{ txn: puts(124) }] };
    expect((await marked.commit(nested, exactlyOnce)).replies.length).toBe(1);
    expect((await marked.commit({ success: [{ txn: puts(125) }] }, exactlyOnce)).succeeded).toBe(
      true,
    );
    expect(sent.map(leaseOf).map(Boolean)).toEqual([true, false, true, false]);
  });

  it('is sent once if it may write marks', async () => {
    const { marked, sent } = setUp();
    await marked.commit(
      { success: [{ delete: { key: '.etcd-recipes/none', end: '.etcd-recipes/onze/' } }] },
      exactlyOnce,
    );
    expect(sent.map(leaseOf)).toEqual([0n]);
  });
});

describe('marks', () => {
  it('are used again, and by one commit at a time', async () => {
    const { marked, key, sent } = setUp();
    for (let i = 0; i < 5; i += 1) await marked.commit(put(key), exactlyOnce);
    expect(new Set(sent.map(markOf)).size).toBe(1);
    await Promise.all([1, 2, 3].map((i) => marked.commit(put(`${key}${i}`), exactlyOnce)));
    expect(new Set(sent.map(markOf)).size).toBe(3);
  });

  it('share one lease, asked for once', async () => {
    let grants = 0;
    const { marked, key, sent } = setUp((store) => ({
      grant: (...args) => {
        grants += 1;
        return store.grant(...args);
      },
    }));
    await Promise.all([1, 2, 3].map((i) => marked.commit(put(`${key}${i}`), exactlyOnce)));
    expect(new Set(sent.map(leaseOf)).size).toBe(1);
    expect(grants).toBe(1);
  });

  it('are kept by use, for longer than a commit may take, and not otherwise', async () => {
    const clock = new VirtualClock();
    await using server = await start({ listenClientUrls: [], clock });
    const calls: string[] = [];
    const direct = server.store();
    const marked = new ExactlyOnceStore(
      override(direct, {
        grant: (lease, ttl) => {
          calls.push(`grant ${ttl}`);
          return direct.grant(lease, ttl);
        },
        keepAlive: (lease) => {
          calls.push('keepAlive');
          return direct.keepAlive(lease);
        },
      }),
      {},
      clock,
    );
    const commit = async (timeout = 5_000): Promise<string[]> => {
      await marked.commit(put('k'), { ...exactlyOnce, timeout });
      return calls.splice(0);
    };
    expect(await commit()).toEqual(['grant 60000']);
    await clock.advance(54_000);
    expect(await commit()).toEqual([]);
    await clock.advance(1_000);
    expect(await commit()).toEqual(['keepAlive']);
    expect(await commit(30_000)).toEqual([]);
    expect(await commit(40_000)).toEqual([]);
    expect(await commit(100_000)).toEqual(['grant 200000']);
    await clock.advance(300_000);
    expect(server.stats.leases).toBe(0);
    expect(await commit()).toEqual(['keepAlive', 'grant 60000']);
    expect((await direct.read({ key: 'k' })).kvs[0]?.version).toBe(7n);
  });

  it('are gone when the store is closed, and calls reject', async () => {
    const { marked, key, sent, plan } = setUp();
    await marked.commit(put(key), exactlyOnce);
    const mark = String(markOf(sent[0]));
    expect(await get(mark)).toBeDefined();
    plan(() => new Promise(() => {}));
    const pending = marked.commit(put(key), exactlyOnce);
    await vi.waitFor(() => expect(sent.length).toBe(2));
    marked.close();
    await expect(pending).rejects.toThrow(ClosedError);
    await expect(marked.commit(put(key), exactlyOnce)).rejects.toThrow(ClosedError);
    await vi.waitFor(async () => expect(await get(mark)).toBe(undefined));
  });
});

describe('when the store is closed', () => {
  it('reads reject and watches end at once, though the lease is given back before the connection goes', async () => {
    const steps: string[] = [];
    const answer = deferred<void>();
    const { marked, key } = setUp((store) => ({
      read: () => new Promise(() => {}),
      revoke: async (lease) => {
        steps.push('revoke');
        await answer.promise;
        await store.revoke(lease);
      },
      close: () => steps.push('close'),
    }));
    await marked.commit(put(key), exactlyOnce);
    const read = rejection(marked.read({ key }));
    const closed: Error[] = [];
    const watch = marked.watch(
      { key },
      { events: () => {}, gap: () => {}, closed: (error) => closed.push(error) },
    );
    await watch.ready;
    marked.close();
    expect(await read).toBeInstanceOf(ClosedError);
    expect(closed[0]).toBeInstanceOf(ClosedError);
    expect(steps).toEqual(['revoke']);
    answer.resolve();
    await vi.waitFor(() => expect(steps).toEqual(['revoke', 'close']));
  });

  it('the connection goes after a second though the lease is not given back', async () => {
    const clock = new VirtualClock();
    const close = vi.fn<() => void>();
    const marked = new ExactlyOnceStore(
      override(etcd.admin, { revoke: () => new Promise(() => {}), close }),
      {},
      clock,
    );
    const key = etcd.name();
    await marked.commit(put(key), exactlyOnce);
    await etcd.admin.commit({ success: [{ delete: { key } }] });
    marked.close();
    await clock.advance(999);
    expect(close).not.toHaveBeenCalled();
    await clock.advance(1);
    expect(close).toHaveBeenCalledTimes(1);
  });

  it('a lease that is being made is given back too', async () => {
    const granted = deferred<void>();
    const leases: bigint[] = [];
    const { marked, key } = setUp((store) => ({
      grant: async (lease, ttl) => {
        leases.push(lease);
        await granted.promise;
        return store.grant(lease, ttl);
      },
    }));
    const call = rejection(marked.commit(put(key), exactlyOnce));
    await vi.waitFor(() => expect(leases.length).toBe(1));
    marked.close();
    expect(await call).toBeInstanceOf(ClosedError);
    granted.resolve();
    const [lease = 0n] = leases;
    await vi.waitFor(async () => expect(await etcd.admin.keepAlive(lease)).toBe(0));
  });
});

describe('a lease of marks that is used no more', () => {
  const isGone = (lease: bigint): Promise<void> =>
    vi.waitFor(async () => expect(await etcd.admin.keepAlive(lease)).toBe(0));

  it('is given back when a mark was deleted, but not while another commit needs it', async () => {
    const { marked, key, sent, plan } = setUp();
    const go = deferred<void>();
    plan(
      async (txn) => {
        await go.promise;
        return etcd.admin.commit(txn);
      },
      'arrives',
      async (txn) => {
        await etcd.admin.commit({ success: [{ delete: { key: String(markOf(txn)) } }] });
        return etcd.admin.commit(txn);
      },
    );
    const slow = marked.commit(put(key), exactlyOnce);
    await vi.waitFor(() => expect(sent.length).toBe(1));
    const lease = leaseOf(sent[0]);
    for (let i = 0; i < 2; i += 1) await marked.commit(put(`${key}/other`), exactlyOnce);
    expect(leaseOf(sent.at(-1))).not.toBe(lease);
    expect(await etcd.admin.keepAlive(lease)).toBeGreaterThan(0);
    go.resolve();
    await slow;
    expect((await get(key))?.version).toBe(1n);
    await isGone(lease);
  });

  it('is given back when a commit needs a longer one', async () => {
    const { marked, key, sent } = setUp();
    await marked.commit(put(key), exactlyOnce);
    await marked.commit(put(key), { ...exactlyOnce, timeout: 100_000 });
    expect(leaseOf(sent[1])).not.toBe(leaseOf(sent[0]));
    await isGone(leaseOf(sent[0]));
  });

  it('is given back when nobody knows whether it was granted', async () => {
    const granted: bigint[] = [];
    const { marked, key, sent } = setUp((store) => ({
      grant: async (lease, ttl) => {
        const reply = await store.grant(lease, ttl);
        granted.push(lease);
        if (granted.length === 1) throw noAnswer();
        return reply;
      },
    }));
    await marked.commit(put(key), exactlyOnce);
    expect(leaseOf(sent[0])).toBe(granted[1]);
    await isGone(granted[0] ?? 0n);
  });

  it('shuts out what comes late, once it is given back', async () => {
    const { marked, key, plan, arrive, sent } = setUp();
    await marked.commit(put(key), exactlyOnce);
    plan('comes late', ...Array.from({ length: 20 }, () => 'is lost' as const));
    await rejection(marked.commit(put(key), { ...exactlyOnce, timeout: 50 }));
    plan();
    await marked.commit(put(key), { ...exactlyOnce, timeout: 100_000 });
    await isGone(leaseOf(sent[0]));
    expect((await arrive[0]?.())?.succeeded).toBe(false);
    expect((await get(key))?.version).toBe(2n);
  });
});

describe('limits', () => {
  it.each([
    ['timeout', 0],
    ['timeout', Number.NaN],
    ['attemptTimeout', '5'],
    ['attemptTimeout', 0],
    ['maxTxnOps', 1.5],
    ['maxTxnOps', 0],
  ])('of a store are refused if they are none: %s of %s', (option, value) => {
    const make = (): ExactlyOnceStore => new ExactlyOnceStore(etcd.admin, { [option]: value });
    expect(make).toThrow(ArgumentError);
    expect(make).toThrow(`${option} must be`);
  });

  it.each([
    ['timeout', -1],
    ['attemptTimeout', 0],
    ['attemptTimeout', Number.NaN],
  ])('of a call are refused before anything is sent: %s of %s', async (option, value) => {
    const grant = vi.fn<Store['grant']>();
    const { marked, key, sent } = setUp(() => ({ grant }));
    const error = await rejection(marked.commit(put(key), { ...exactlyOnce, [option]: value }));
    expect(error).toBeInstanceOf(ArgumentError);
    expect(String(error)).toContain(`${option} must be`);
    expect(sent).toEqual([]);
    expect(grant).not.toHaveBeenCalled();
  });

  it('of the caller end it with his reason, also right after ours', async () => {
    const clock = new VirtualClock();
    const controller = new AbortController();
    const reason = new Error('enough');
    const marked = new ExactlyOnceStore(
      override(etcd.admin, { grant: () => new Promise(() => {}), close: () => {} }),
      {},
      {
        now: () => clock.now(),
        wall: () => clock.wall(),
        sleep: (ms, signal) => clock.sleep(ms, signal),
        after: (ms, callback) =>
          clock.after(ms, () => {
            callback();
            controller.abort(reason);
          }),
      },
    );
    const options = { ...exactlyOnce, timeout: 50, signal: controller.signal };
    const call = rejection(marked.commit(put('k'), options));
    await clock.advance(50);
    expect(await call).toBe(reason);
    marked.close();
  });
});

describe('when the lease of the marks is gone', () => {
  it('commits are sent again with other marks, whether theirs was used before or not', async () => {
    const { marked, key, sent } = setUp();
    await marked.commit(put(key), exactlyOnce);
    await etcd.admin.revoke(leaseOf(sent[0]));
    const both = [`${key}/used`, `${key}/new`];
    await Promise.all(both.map((each) => marked.commit(put(each), exactlyOnce)));
    for (const each of both) expect((await get(each))?.version).toBe(1n);
    expect(leaseOf(sent.at(-1))).not.toBe(leaseOf(sent[0]));
  });

  it('a commit whose reply was lost before has an unknown outcome', async () => {
    const { marked, key, sent, plan } = setUp();
    for (const uses of [0, 1]) {
      if (uses) await marked.commit(put(key), exactlyOnce);
      plan(async (txn) => {
        await etcd.admin.commit(txn);
        await etcd.admin.revoke(leaseOf(sent.at(-1)));
        throw noAnswer();
      });
      const error = await rejection(marked.commit(put(key), exactlyOnce));
      expect(error).toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'unknown' });
      const other = await marked.commit(put(`${key}/other`), exactlyOnce);
      expect(other.succeeded).toBe(true);
    }
    expect((await get(key))?.version).toBe(3n);
  });

  it('a commit under a lease of its own that is gone is refused, and the marks stay', async () => {
    const { marked, key, sent } = setUp();
    await marked.commit(put(key), exactlyOnce);
    const success = [{ put: { key, value: '', lease: 404n } }];
    await expect(marked.commit({ success }, exactlyOnce)).rejects.toThrow(/lease not found/);
    await marked.commit(put(key), exactlyOnce);
    expect(leaseOf(sent.at(-1))).toBe(leaseOf(sent[0]));
    expect(new Set(sent.map(markOf)).size).toBe(1);
  });
});

describe('a commit that is refused after an attempt without an answer', () => {
  const noSpace = refusal('RESOURCE_EXHAUSTED', 'mvcc: database space exceeded');

  it('has its reply if that attempt was applied', async () => {
    const { marked, key, plan } = setUp();
    plan('loses its reply', noSpace);
    const reply = await marked.commit(put(key), exactlyOnce);
    expect(reply.revision).toBe((await get(key))?.modRevision);
    await marked.commit(put(key), exactlyOnce);
    expect((await get(key))?.version).toBe(2n);
  });

  it('is refused if not, and that attempt can no longer be applied', async () => {
    const { marked, key, plan, arrive } = setUp();
    plan('comes late', noSpace, 'loses its reply');
    await expect(marked.commit(put(key), exactlyOnce)).rejects.toThrow(/space exceeded/);
    expect((await arrive[0]?.())?.succeeded).toBe(false);
    expect(await get(key)).toBe(undefined);
    await marked.commit(put(key), exactlyOnce);
    expect((await get(key))?.version).toBe(1n);
  });

  it('has an unknown outcome if etcd refuses to write the mark too', async () => {
    const { marked, key, plan } = setUp();
    plan('is lost', noSpace, noSpace);
    await expect(marked.commit(put(key), exactlyOnce)).rejects.toMatchObject({
      outcome: 'unknown',
    });
  });
});

describe('a commit that is refused for want of space', () => {
  const noSpace = refusal('RESOURCE_EXHAUSTED', 'mvcc: database space exceeded');

  it('has its reply if it was applied all the same, and leaves its mark fit for use', async () => {
    const { marked, key, plan, sent } = setUp();
    plan(async (txn) => {
      await etcd.admin.commit(txn);
      return noSpace();
    });
    const reply = await marked.commit(put(key, 'first'), exactlyOnce);
    expect(reply.revision).toBe((await get(key))?.modRevision);
    await marked.commit(put(key, 'second'), exactlyOnce);
    const kv = await get(key);
    expect([kv?.value.toString(), kv?.version]).toEqual(['second', 2n]);
    expect(new Set(sent.map(markOf)).size).toBe(1);
  });

  it('is refused if not', async () => {
    const { marked, key, plan, sent } = setUp();
    plan(noSpace);
    await expect(marked.commit(put(key), exactlyOnce)).rejects.toThrow(/space exceeded/);
    await marked.commit(put(key), exactlyOnce);
    expect((await get(key))?.version).toBe(1n);
    expect(new Set(sent.map(markOf)).size).toBe(1);
  });

  it('is sent without a mark if it puts nothing: only the mark needs space', async () => {
    const { marked, key, sent } = setUp((store) => ({
      commit: (txn, options) =>
        leaseOf(txn) > 0n && sent.length > 1 ? noSpace() : store.commit(txn, options),
    }));
    await marked.commit(put(key), exactlyOnce);
    const remove: Txn = { success: [{ delete: { key } }] };
    expect((await marked.commit(remove, exactlyOnce)).replies[0]?.count).toBe(1);
    expect(sent.slice(2)).toEqual([remove]);
    const error = await rejection(marked.commit(put(key), exactlyOnce));
    expect(error).toMatchObject({ code: 'ERR_REFUSED' });
    expect(wasRefused(error)).toBe(true);
    expect(await get(key)).toBe(undefined);
    expect(new Set([sent[0], sent[1], sent.at(-1)].map(markOf)).size).toBe(1);
  });

  it('is not sent without a mark if an attempt had no answer', async () => {
    const { marked, key, plan, sent } = setUp();
    await etcd.admin.commit(put(key));
    plan('is lost', noSpace, noSpace);
    const remove: Txn = { success: [{ delete: { key } }] };
    await expect(marked.commit(remove, exactlyOnce)).rejects.toMatchObject({ outcome: 'unknown' });
    expect(sent.every((txn) => leaseOf(txn) > 0n)).toBe(true);
  });

  it('is sent again under its mark when the answer to whether it was applied is lost', async () => {
    let isLost = true;
    const { marked, key, plan } = setUp((store) => ({
      commit: async (txn, options) => {
        const asks = txn.success?.length === 0 && isLost;
        if (asks) isLost = false;
        if (asks) throw new UnavailableError('not-applied', []);
        return store.commit(txn, options);
      },
    }));
    plan(async (txn) => {
      await etcd.admin.commit(txn);
      return noSpace();
    });
    await marked.commit(put(key), exactlyOnce);
    expect(isLost).toBe(false);
    expect((await get(key))?.version).toBe(1n);
  });
});

it('a mark that is there again because etcd was restored is not taken for what was done since', async () => {
  const { marked, key, plan, sent } = setUp();
  await marked.commit(put(key, 'first'), exactlyOnce);
  const restored = (await get(String(markOf(sent[0])))) as KeyValue;
  await marked.commit(put(key, 'second'), exactlyOnce);
  plan(async () => ({
    succeeded: false,
    revision: restored.modRevision,
    replies: [{ kvs: [restored], count: 1 }],
  }));
  await marked.commit(put(key, 'third'), exactlyOnce);
  expect((await get(key))?.value.toString()).toBe('third');
});

it('a guarded transaction of a hold has its reply though the answer was lost', async () => {
  let below: Unreliable | undefined;
  const coordinator = await etcd.connect({}, (store) => {
    below = unreliable(store);
    return new ExactlyOnceStore(below.store);
  });
  const key = etcd.name();
  const hold = await coordinator.mutex(key).acquire();
  below?.plan('loses its reply');
  const reply = await hold.txn().put(key, 'x').read({ key }).commit();
  const kv = await get(key);
  expect(reply).toMatchObject({ succeeded: true, revision: kv?.modRevision });
  expect(reply.replies[1]?.kvs).toEqual([kv]);
  expect(kv?.version).toBe(1n);
  await hold.txn().delete(key).commit();
  await hold.release();
});

it('what etcd refuses at once is refused, and sent once', async () => {
  const { marked, key, sent } = setUp();
  const kept: Txn = { success: [{ put: { key, value: '', keepLease: true } }] };
  await expect(marked.commit(kept, exactlyOnce)).rejects.toThrow(/key not found/);
  expect(sent.length).toBe(1);
  const twice: Txn = { success: [put(key), put(key)].flatMap(({ success = [] }) => success) };
  await expect(marked.commit(twice, exactlyOnce)).rejects.toThrow(/duplicate key|at most once/);
  await marked.commit(put(key), exactlyOnce);
  expect(new Set(sent.map(markOf)).size).toBe(1);
});

it('what cannot have a mark is not given up early, as what is repeated is', async () => {
  const repeated: (boolean | undefined)[] = [];
  const store = new ExactlyOnceStore(
    override(etcd.admin, {
      commit(txn, options) {
        repeated.push(options?.repeated);
        return etcd.admin.commit(txn, options);
      },
    }),
  );
  // One that may write a mark.
  const key = `${String(allMarks.key)}${etcd.name()}`;
  const txn = { success: [{ delete: { key } }] };
  await store.commit(txn, { exactlyOnce: true, attemptTimeout: 100 });
  await store.commit(put(etcd.name()), { exactlyOnce: true, attemptTimeout: 100 });
  expect(repeated).toEqual([undefined, true]);
});

describe('where marks are forbidden', () => {
  const denied = refusal('PERMISSION_DENIED', 'permission denied');
  const setUpForbidden = (): ReturnType<typeof setUp> =>
    setUp((store) => ({
      commit: (txn, options) => (leaseOf(txn) > 0n ? denied() : store.commit(txn, options)),
    }));

  it('commits are sent once, and from then on without trying', async () => {
    const { marked, key, sent, plan } = setUpForbidden();
    await marked.commit(put(key), exactlyOnce);
    expect((await get(key))?.version).toBe(1n);
    const before = sent.length;
    await marked.commit(put(key), exactlyOnce);
    expect(sent.length).toBe(before + 1);
    plan('loses its reply');
    await expect(marked.commit(put(key), exactlyOnce)).rejects.toMatchObject({
      outcome: 'unknown',
    });
  });

  it('marks lie where the commit says, if they may be nowhere else', async () => {
    const place = `${etcd.name()}/`;
    const { marked, key, sent, plan } = setUp((store) => ({
      commit: (txn, options) =>
        leaseOf(txn) > 0n && !String(markOf(txn)).startsWith(place)
          ? denied()
          : store.commit(txn, options),
    }));
    etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(place) }] }));
    // Who said nothing stays without; that is in nobody's way.
    await marked.commit(put(key), exactlyOnce);
    await marked.commit(put(key), { ...exactlyOnce, marksIn: place });
    plan('loses its reply', 'is lost', 'loses its reply');
    await marked.commit(put(key), { ...exactlyOnce, marksIn: place });
    expect((await get(key))?.version).toBe(3n);
    await marked.commit(put(key), exactlyOnce);
    expect(sent.at(-1)).toEqual(put(key));
    const before = sent.length;
    await marked.commit(put(key), { ...exactlyOnce, marksIn: `${place}other/` });
    expect(sent.length).toBe(before + 1);
    // One that would write marks there has none.
    const all = { success: [{ delete: prefixRange(place) }] };
    await marked.commit(all, { ...exactlyOnce, marksIn: place });
    expect(sent.at(-1)).toEqual(all);
  });

  it('a place for marks that is refused, too, is not asked for each time', async () => {
    const { marked, key, sent } = setUpForbidden();
    const options = { ...exactlyOnce, marksIn: 'a/' };
    await marked.commit(put(key), options);
    const before = sent.length;
    await marked.commit(put(key), options);
    expect(sent.slice(before)).toEqual([put(key)]);
  });

  it('marks are there again at once for who was kept out altogether', async () => {
    let isOut = true;
    const { marked, key, plan } = setUp((store) => ({
      commit: (txn, options) => (isOut ? denied() : store.commit(txn, options)),
    }));
    await expect(marked.commit(put(key), exactlyOnce)).rejects.toThrow(/permission denied/);
    isOut = false;
    plan('loses its reply');
    await marked.commit(put(key), exactlyOnce);
    expect((await get(key))?.version).toBe(1n);
  });

  it('marks are tried again after a minute: permission may have been granted', async () => {
    const clock = new VirtualClock();
    let isForbidden = true;
    const sent: Txn[] = [];
    const marked = new ExactlyOnceStore(
      override(etcd.admin, {
        close: () => {},
        grant: async (lease, ttl) => etcd.admin.grant(lease, ttl),
        commit: (txn, options) => {
          sent.push(txn);
          return isForbidden && leaseOf(txn) > 0n ? denied() : etcd.admin.commit(txn, options);
        },
      }),
      {},
      clock,
    );
    etcd.defer(() => marked.close());
    const key = etcd.name();
    etcd.defer(() => etcd.admin.commit({ success: [{ delete: { key } }] }));
    await marked.commit(put(key), exactlyOnce);
    isForbidden = false;
    await clock.advance(59_999);
    await marked.commit(put(key), exactlyOnce);
    expect(leaseOf(sent.at(-1))).toBe(0n);
    await clock.advance(1);
    await marked.commit(put(key), exactlyOnce);
    expect(leaseOf(sent.at(-1))).toBeGreaterThan(0n);
  });

  it('marks go on to be used where only a key of the commit is forbidden', async () => {
    const { marked, key, sent, plan } = setUp();
    plan(denied);
    await expect(marked.commit(put(key), exactlyOnce)).rejects.toThrow(/permission denied/);
    await marked.commit(put(key), exactlyOnce);
    expect(leaseOf(sent.at(-1))).toBeGreaterThan(0n);
  });

  it('commits are sent once where no lease is granted', async () => {
    const { marked, key, sent } = setUp(() => ({ grant: denied }));
    await marked.commit(put(key), exactlyOnce);
    expect(sent).toEqual([put(key)]);
  });
});

describe('a reply that is told from history', () => {
  /** Sends all with their replies lost, and gives those too. */
  const setUpLosing = (): ReturnType<typeof setUp> & { readonly lost: TxnReply[] } => {
    const lost: TxnReply[] = [];
    const all = setUp((store) => ({
      commit: async (txn, options) => {
        const reply = await store.commit(txn, options);
        if (!writes(txn) || !reply.succeeded) return reply;
        const own = reply.replies[0]?.txn;
        // Where conditions did not hold, the last is of a note.
        const replies = own?.succeeded ? own.replies : own?.replies.slice(0, -1);
        if (own && replies) lost.push({ ...own, replies, revision: reply.revision });
        throw noAnswer();
      },
    }));
    return { ...all, lost };
  };

  it('is the one that etcd gave', { timeout: 120_000 }, async () => {
    const { marked, key, lost } = setUpLosing();
    const shape = { prefix: key, keys: 4, steps: 3, depth: 3 };
    let told = 0;
    const untold: unknown[] = [];
    const check = async (before: Txn, txn: Txn): Promise<void> => {
      await rejection(etcd.admin.commit(before));
      lost.length = 0;
      const call = marked.commit(txn, exactlyOnce);
      const error = await rejection(call);
      if (wasRefused(error)) return;
      if (error !== undefined) {
        untold.push(error);
        return;
      }
      if (lost.length === 0) return;
      told += 1;
      expect(lost.length).toBe(1);
      expect(await call).toEqual(lost[0]);
    };
    const random = fc.asyncProperty(transactions(shape), transactions(shape), check);
    await fc.assert(random, { numRuns: 400 });
    expect(told).toBeGreaterThan(3 * untold.length);
    for (const error of untold) {
      expect(['applied', 'unknown']).toContain((error as UnavailableError).outcome);
    }
  });

  const forgotten =
    (key: string) =>
    async (txn: Txn): Promise<never> => {
      await etcd.admin.commit(txn);
      await etcd.admin.commit(put(`${key}/noise`));
      await compact(etcd.endpoint, etcd.admin);
      throw noAnswer();
    };

  it('needs no history where nothing was read', async () => {
    const { marked, key, plan } = setUp();
    plan(forgotten(key));
    const reply = await marked.commit(put(key), exactlyOnce);
    expect(reply.revision).toBe((await get(key))?.modRevision);
  });

  it.each([true, false])(
    'needs no history to know whether its conditions held: %s',
    async (held) => {
      const { marked, key, plan } = setUp();
      plan(forgotten(key));
      const compare: Compare[] = [{ key, target: 'create', is: held ? '=' : '>', to: 0n }];
      const reply = await marked.commit({ ...put(key), compare }, exactlyOnce);
      expect(reply.succeeded).toBe(held);
      expect((await get(key))?.version).toBe(held ? 1n : undefined);
    },
  );

  it('is not to be had when its conditions did not hold, and it read instead: nothing was written', async () => {
    const { marked, key, plan } = setUp();
    plan(forgotten(key));
    const compare: Compare[] = [{ key, target: 'create', is: '>', to: 0n }];
    const txn = { ...put(key), compare, failure: [{ range: { key } }] };
    const error = await rejection(marked.commit(txn, exactlyOnce));
    expect(error).toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'not-applied' });
    expect(await get(key)).toBe(undefined);
  });

  it.each<[string, (key: string) => Txn]>([
    ['history is compacted', (key) => ({ success: [{ put: { key, value: '', previous: true } }] })],
    [
      'it was read between two writes',
      (key) => ({
        success: [
          { put: { key, value: '' } },
          { range: { key, end: `${key}~` } },
          { put: { key: `${key}/b`, value: '' } },
        ],
      }),
    ],
  ])('is not to be had when %s: the commit was applied', async (_, txnOf) => {
    const { marked, key, plan } = setUp();
    await etcd.admin.commit(put(key));
    plan(forgotten(key));
    const error = await rejection(marked.commit(txnOf(key), exactlyOnce));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error).toMatchObject({ outcome: 'applied' });
    expect((await get(key))?.version).toBe(2n);
    await marked.commit(put(key), exactlyOnce);
    expect((await etcd.admin.read(allMarks)).count).toBeGreaterThan(0);
  });
});
