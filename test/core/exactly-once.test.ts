import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { ExactlyOnceStore } from '../../src/core/exactly-once-store.js';
import { writes } from '../../src/core/footprint.js';
import { allMarks } from '../../src/core/mark.js';
import { wasRefused } from '../../src/core/was-refused.js';
import { start, VirtualClock } from '../../src/embed/index.js';
import {
  ClosedError,
  type KeyValue,
  RefusedError,
  type Store,
  type Txn,
  type TxnReply,
  UnavailableError,
} from '../../src/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { compact, useEtcd } from '../support/etcd.js';
import { noAnswer, override } from '../support/override.js';
import { transactions } from '../support/transactions.js';
import { type Unreliable, unreliable } from '../support/unreliable-store.js';

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
    expect((await get(key))?.version).toBe(2n);
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

  it('has a mark up to 126 operations, and is sent once beyond', async () => {
    const { marked, key, sent } = setUp();
    const puts = (count: number): Txn => ({
      success: Array.from({ length: count }, (_, i) => ({ put: { key: `${key}${i}`, value: '' } })),
    });
    expect((await marked.commit(puts(126), exactlyOnce)).replies.length).toBe(126);
    expect((await marked.commit(puts(128), exactlyOnce)).replies.length).toBe(128);
    expect(sent.map(leaseOf).map(Boolean)).toEqual([true, false]);
    const nested: Txn = { success: [{ txn: puts(125) }] };
    expect((await marked.commit(nested, exactlyOnce)).replies.length).toBe(1);
    expect((await marked.commit({ success: [{ txn: puts(126) }] }, exactlyOnce)).succeeded).toBe(
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
        if (own) lost.push({ ...own, revision: reply.revision });
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
    for (const error of untold) expect(error).toMatchObject({ outcome: 'applied' });
  });

  it('needs no history where nothing was read', async () => {
    const { marked, key, plan } = setUp();
    plan(async (txn) => {
      await etcd.admin.commit(txn);
      await etcd.admin.commit(put(`${key}/noise`));
      await compact(etcd.endpoint, etcd.admin);
      throw noAnswer();
    });
    const reply = await marked.commit(put(key), exactlyOnce);
    expect(reply.revision).toBe((await get(key))?.modRevision);
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
    plan(async (txn) => {
      await etcd.admin.commit(txn);
      await etcd.admin.commit(put(`${key}/noise`));
      await compact(etcd.endpoint, etcd.admin);
      throw noAnswer();
    });
    const error = await rejection(marked.commit(txnOf(key), exactlyOnce));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error).toMatchObject({ outcome: 'applied' });
    expect((await get(key))?.version).toBe(2n);
    await marked.commit(put(key), exactlyOnce);
    expect((await etcd.admin.read(allMarks)).count).toBeGreaterThan(0);
  });
});
