import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { BatchingStore } from '../../../src/core/commit/batching-store.js';
import { ExactlyOnceStore } from '../../../src/core/commit/exactly-once-store.js';
import { footprintOf } from '../../../src/core/commit/footprint.js';
import { wasRefused } from '../../../src/core/store/refusals.js';
import { start, VirtualClock } from '../../../src/embed/index.js';
import {
  ArgumentError,
  ClosedError,
  type CommitOptions,
  connect,
  type KeyValue,
  LimitError,
  type Operation,
  RefusedError,
  type Store,
  type Txn,
  type TxnReply,
  UnavailableError,
} from '../../../src/index.js';
import { forLater, rejection } from '../../../src/testing/rejection.js';
import { compact, useEtcd } from '../../support/etcd.js';
import { noAnswer, override } from '../../support/override.js';
import { transactions } from '../../support/transactions.js';

const etcd = useEtcd();

interface Sent {
  readonly txn: Txn;
  readonly options: CommitOptions;
  /** Lets it go on its way. */
  readonly go: () => void;
}

/** A batching store whose requests stay on their way until they are let go. */
function setUp(
  commit: Store['commit'] = (...args) => etcd.admin.commit(...args),
  decorate: (store: Store) => Store = (store) => store,
): {
  readonly store: BatchingStore;
  readonly sent: Sent[];
  readonly key: string;
  /** Stands still, so that nobody loses patience. */
  readonly clock: VirtualClock;
} {
  const sent: Sent[] = [];
  const clock = new VirtualClock();
  const below = override(etcd.admin, {
    close: () => {},
    commit: async (txn, options = {}) => {
      await new Promise<void>((go) => {
        sent.push({ txn, options, go });
      });
      return commit(txn, options);
    },
  });
  const store = new BatchingStore(decorate(below), {}, clock);
  const key = etcd.name();
  etcd.defer(() => store.close());
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: { key, end: `${key}~` } }] }));
  return { store, sent, key, clock };
}
const put = (key: string, value = 'x'): Txn => ({ success: [{ put: { key, value } }] });
const get = async (key: string): Promise<KeyValue | undefined> =>
  (await etcd.admin.read({ key })).kvs[0];
const noSpace = (): RefusedError =>
  new RefusedError('RESOURCE_EXHAUSTED', 'etcdserver: mvcc: database space exceeded');
const isBatch = ({ success = [] }: Txn): boolean =>
  success.length > 1 && success.every((step) => 'txn' in step);
/** The transactions of a request. */
const parts = ({ txn }: Sent): Txn[] =>
  isBatch(txn) ? (txn.success ?? []).map((step: Operation) => (step as { txn: Txn }).txn) : [txn];
const until = (sent: readonly Sent[], count: number): Promise<void> =>
  vi.waitFor(() => expect(sent.length).toBe(count), { interval: 1 });
/** Two commits on their way, that others wait for. */
async function occupy({
  store,
  sent,
  key,
}: ReturnType<typeof setUp>): Promise<{ readonly answered: () => Promise<unknown> }> {
  const first = forLater(store.commit(put(`${key}/occupied/1`)));
  await until(sent, 1);
  const second = forLater(store.commit(put(`${key}/occupied/2`)));
  await until(sent, 2);
  return { answered: () => Promise.all([first, second]) };
}
const goAll = (sent: readonly Sent[]): void => {
  for (const { go } of sent) go();
};

describe('commits that come while others are on their way', () => {
  it('travel together, and have their own replies at one revision', async () => {
    const at = setUp();
    const { store, sent, key } = at;
    const { answered } = await occupy(at);
    const calls = [
      store.commit(put(`${key}/a`)),
      store.commit({
        compare: [{ key: `${key}/b`, target: 'create', is: '>', to: 0n }],
        success: [{ delete: { key: `${key}/b` } }],
        failure: [{ range: { key: `${key}/b` } }],
      }),
      store.commit({
        success: [{ put: { key: `${key}/c`, value: '' } }, { range: { key: `${key}/c` } }],
      }),
    ];
    expect(sent.length).toBe(2);
    goAll(sent);
    await until(sent, 3);
    sent[2]?.go();
    const replies = await Promise.all(calls);
    await answered();
    expect(parts(sent[2] as Sent).length).toBe(3);
    expect(replies.map(({ succeeded }) => succeeded)).toEqual([true, false, true]);
    const { modRevision = 0n } = (await get(`${key}/a`)) ?? {};
    expect(replies.map(({ revision }) => revision)).toEqual([
      modRevision,
      modRevision,
      modRevision,
    ]);
    expect(replies[2]?.replies[1]?.kvs[0]?.createRevision).toBe(modRevision);
  });

  it('are sent as they are when they are alone', async () => {
    const at = setUp();
    const txn = put(`${at.key}/alone`);
    const call = at.store.commit(txn, { idempotent: true, attemptTimeout: 77 });
    await until(at.sent, 1);
    goAll(at.sent);
    await call;
    expect(at.sent[0]?.txn).toBe(txn);
    expect(at.sent[0]?.options).toMatchObject({ idempotent: true, attemptTimeout: 77 });
  });

  it('that only read, or are not to be batched, do not wait', async () => {
    const at = setUp();
    await occupy(at);
    const { store, sent, key } = at;
    const read = store.commit({ success: [{ range: { key } }] });
    const alone = store.commit(put(key), { batch: false });
    await until(sent, 4);
    goAll(sent);
    await Promise.all([read, alone]);
  });

  it('are sent though the others have no answer for long', async () => {
    const at = setUp();
    const { store, sent, key, clock } = at;
    const { answered } = await occupy(at);
    const calls = [store.commit(put(`${key}/a`)), store.commit(put(`${key}/b`))];
    await clock.advance(9);
    expect(sent.length).toBe(2);
    await clock.advance(1);
    expect(sent.length).toBe(3);
    sent[2]?.go();
    await Promise.all(calls);
    // Answers that come after all do not count again.
    goAll(sent);
    await answered();
    sent.length = 0;
    await occupy(at);
    const waiting = store.commit(put(key));
    await clock.advance(9);
    expect(sent.length).toBe(2);
    await clock.advance(1);
    goAll(sent);
    await waiting;
  });

  it('are in as many requests as limits ask for', async () => {
    const at = setUp();
    const { store, sent, key } = at;
    await occupy(at);
    const large = 'x'.repeat(400_000);
    const steps = Array.from({ length: 100 }, (_, i) => ({ range: { key: `${key}${i}` } }));
    const calls = [
      ...[1, 2, 3].map((i) => store.commit(put(`${key}/large/${i}`, large))),
      ...[1, 2].map((i) =>
        store.commit({ success: [{ put: { key: `${key}/long/${i}`, value: '' } }, ...steps] }),
      ),
      ...Array.from({ length: 200 }, (_, i) => store.commit(put(`${key}/${i}`))),
      store.commit(put(`${key}/huge`, 'x'.repeat(1_200_000))),
    ];
    goAll(sent);
    const { length } = calls;
    await vi.waitFor(() => {
      goAll(sent);
      expect(sent.slice(2).flatMap(parts).length).toBe(length);
    });
    const replies = await Promise.all(calls);
    expect(replies.every(({ succeeded }) => succeeded)).toBe(true);
    expect(sent.length).toBeLessThan(12);
    for (const request of sent.slice(2)) {
      const size = parts(request).map(({ success = [] }) => success.length);
      expect(size.length + Math.max(...size)).toBeLessThanOrEqual(126);
    }
  });
});

describe('commits that have to do with what another one writes', () => {
  const pairs: readonly [string, (key: string) => readonly [Txn, Txn]][] = [
    ['puts of one key', (key) => [put(key, '1'), put(key, '2')]],
    [
      'a put, and a comparison with its key',
      (key) => [put(key), { ...put(`${key}/b`), compare: [{ key, target: 'create', to: 0n }] }],
    ],
    [
      'a put, and a read of its range in a branch of a nested transaction',
      (key) => [
        put(`${key}/a`),
        {
          success: [
            { put: { key: `${key}~`, value: '' } },
            { txn: { failure: [{ range: { key: `${key}/`, end: `${key}/z` } }] } },
          ],
        },
      ],
    ],
    [
      'a deletion of a range, and a put in it',
      (key) => [{ success: [{ delete: { key, end: `${key}~` } }] }, put(`${key}/a`)],
    ],
    [
      'a deletion of all keys from one on, and a put of a later one',
      (key) => [{ failure: [{ delete: { key, end: '\0' } }] }, put(`${key}/a`)],
    ],
    [
      'deletions of ranges that overlap',
      (key) => [
        { success: [{ delete: { key: `${key}/a`, end: `${key}/c` } }] },
        { success: [{ delete: { key: `${key}/b`, end: `${key}/d` } }] },
      ],
    ],
  ];
  it.each(pairs)('travel apart, in their order: %s', async (_, pairOf) => {
    for (const order of [0, 1]) {
      const at = setUp();
      const { store, sent, key } = at;
      await occupy(at);
      const pair = pairOf(key);
      const [first, second] = order === 0 ? pair : [pair[1], pair[0]];
      const calls = [
        store.commit(first),
        store.commit(put(`independent/${key}`)),
        store.commit(second),
      ];
      goAll(sent);
      await until(sent, 4);
      goAll(sent);
      await Promise.all(calls);
      await etcd.admin.commit({ success: [{ delete: { key: `independent/${key}` } }] });
      expect(parts(sent[2] as Sent)).toEqual([first, put(`independent/${key}`)]);
      expect(parts(sent[3] as Sent)).toEqual([second]);
    }
  });

  it('never both succeed where each forbids the other', async () => {
    const { store, sent, key } = setUp();
    const [x, y] = [`${key}/x`, `${key}/y`];
    const skewed = (mine: string, other: string): Txn => ({
      ...put(mine),
      compare: [{ key: other, target: 'create', to: 0n }],
    });
    const calls = [store.commit(skewed(x, y)), store.commit(skewed(y, x))];
    await vi.waitFor(() => {
      goAll(sent);
      expect(sent.length).toBe(2);
    });
    const replies = await Promise.all(calls);
    expect(replies.filter(({ succeeded }) => succeeded).length).toBe(1);
  });

  it('do not wait for one another longer than for an answer', async () => {
    const at = setUp();
    const { store, sent, key } = at;
    await occupy(at);
    const calls = Array.from({ length: 50 }, (_, i) => store.commit(put(key, String(i))));
    sent[0]?.go();
    await until(sent, 52);
    goAll(sent);
    await Promise.all(calls);
    expect(sent.slice(2).map(({ txn }) => txn)).toEqual(
      Array.from({ length: 50 }, (_, i) => put(key, String(i))),
    );
  });
});

describe('a batch that etcd refuses', () => {
  it.each<[string, (key: string) => Operation]>([
    ['etcd', (key) => ({ put: { key, value: '', lease: 404n } })],
    ['the store below', (key) => ({ put: { key, value: '', lease: 404n, keepLease: true } })],
  ])('leaves only what is at fault refused, by %s', async (_, operationOf) => {
    const at = setUp();
    const { store, sent, key } = at;
    await occupy(at);
    const guilty = forLater(store.commit({ success: [operationOf(`${key}/x`)] }));
    const innocent = ['a', 'b'].map((name) => store.commit(put(`${key}/${name}`)));
    await vi.waitFor(() => {
      goAll(sent);
      expect(sent.length).toBe(6);
    });
    goAll(sent);
    await Promise.all(innocent);
    expect(wasRefused(await rejection(guilty))).toBe(true);
    for (const name of ['a', 'b']) expect((await get(`${key}/${name}`))?.version).toBe(1n);
  });

  it('for want of space is not sent again: it may have been applied', async () => {
    const at = setUp(async (txn, options) => {
      const reply = await etcd.admin.commit(txn, options);
      if (reply.replies.length < 2) return reply;
      throw new RefusedError('RESOURCE_EXHAUSTED', 'etcdserver: mvcc: database space exceeded');
    });
    const { store, sent, key } = at;
    await occupy(at);
    const calls = ['a', 'b'].map((name) => forLater(store.commit(put(`${key}/${name}`))));
    goAll(sent);
    await until(sent, 3);
    sent[2]?.go();
    for (const call of calls) await expect(call).rejects.toThrow(/space exceeded/);
    expect(sent.length).toBe(3);
    for (const name of ['a', 'b']) expect((await get(`${key}/${name}`))?.version).toBe(1n);
  });

  it('is not sent again for who has given up meanwhile', async () => {
    const at = setUp();
    const { store, sent, key } = at;
    await occupy(at);
    const guilty = forLater(
      store.commit({ success: [{ put: { key: `${key}/x`, value: '', lease: 404n } }] }),
    );
    const controller = new AbortController();
    const aborted = forLater(store.commit(put(`${key}/a`), { signal: controller.signal }));
    goAll(sent);
    await until(sent, 3);
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    sent[2]?.go();
    await until(sent, 4);
    goAll(sent);
    await expect(guilty).rejects.toThrow(RefusedError);
    expect(await get(`${key}/a`)).toBe(undefined);
    expect(sent.length).toBe(4);
  });
});

describe('a batch without an answer', () => {
  const losing =
    (outcome: UnavailableError['outcome']): Store['commit'] =>
    async (txn, options) => {
      const reply = await etcd.admin.commit(txn, options);
      if (!isBatch(txn)) return reply;
      throw new UnavailableError(outcome, noAnswer().failures);
    };

  it('is resolved for each: what may be repeated is, and others learn that nobody knows', async () => {
    const at = setUp(losing('unknown'));
    const { store, sent, key } = at;
    await occupy(at);
    const repeated = store.commit(put(`${key}/a`), { idempotent: true });
    const once = forLater(store.commit(put(`${key}/b`)));
    await vi.waitFor(() => {
      goAll(sent);
      expect(sent.length).toBe(4);
    });
    goAll(sent);
    expect((await repeated).succeeded).toBe(true);
    await expect(once).rejects.toMatchObject({ outcome: 'unknown' });
    expect((await get(`${key}/a`))?.version).toBe(2n);
    expect((await get(`${key}/b`))?.version).toBe(1n);
  });

  it('is sent again as one request, as far as it may be: who does not answer may have too much to do', async () => {
    let lose = true;
    const at = setUp(async (txn, options) => {
      const reply = await etcd.admin.commit(txn, options);
      if (!isBatch(txn) || !lose) return reply;
      lose = false;
      throw noAnswer();
    });
    const { store, sent, key } = at;
    await occupy(at);
    const once = forLater(store.commit(put(`${key}/once`)));
    const repeated = ['a', 'b', 'c'].map((name) =>
      store.commit(put(`${key}/${name}`), { idempotent: true }),
    );
    goAll(sent);
    await until(sent, 3);
    sent[2]?.go();
    await until(sent, 4);
    sent[3]?.go();
    await Promise.all(repeated);
    await expect(once).rejects.toMatchObject({ outcome: 'unknown' });
    expect(sent[3]?.options.idempotent).toBe(true);
    for (const name of ['a', 'b', 'c']) expect((await get(`${key}/${name}`))?.version).toBe(2n);
  });

  it('is sent again once: what is below has tried for as long as somebody waits', async () => {
    const at = setUp(losing('unknown'));
    const { store, sent, key } = at;
    await occupy(at);
    const calls = ['a', 'b'].map((name) =>
      rejection(store.commit(put(`${key}/${name}`), { idempotent: true })),
    );
    goAll(sent);
    await until(sent, 3);
    sent[2]?.go();
    await until(sent, 4);
    sent[3]?.go();
    for (const error of await Promise.all(calls))
      expect(error).toMatchObject({ outcome: 'unknown' });
    expect(sent.length).toBe(4);
  });

  it('tells only who asked for exactly once that it was applied', async () => {
    const at = setUp(losing('applied'));
    const { store, sent, key } = at;
    await occupy(at);
    const marked = forLater(store.commit(put(`${key}/a`), { exactlyOnce: true }));
    const once = forLater(store.commit(put(`${key}/b`)));
    await vi.waitFor(() => {
      goAll(sent);
      expect(sent.length).toBe(3);
    });
    await expect(marked).rejects.toMatchObject({ outcome: 'applied' });
    await expect(once).rejects.toMatchObject({ outcome: 'unknown' });
    expect(sent[2]?.options).toMatchObject({ exactlyOnce: true, idempotent: false });
  });

  it('is applied exactly once, with one mark for all, if one of them asks for it', async () => {
    let lose = true;
    const at = setUp(
      async (txn, options) => {
        const reply = await etcd.admin.commit(txn, options);
        if (!txn.compare?.length || !lose) return reply;
        lose = false;
        throw noAnswer();
      },
      (store) => new ExactlyOnceStore(store),
    );
    const { store, sent, key } = at;
    await occupy(at);
    const calls = ['a', 'b', 'c'].map((name, i) =>
      store.commit(put(`${key}/${name}`), { exactlyOnce: i === 1 }),
    );
    await vi.waitFor(() => {
      goAll(sent);
      expect(sent.length).toBe(4);
    });
    const replies = await Promise.all(calls);
    expect(lose).toBe(false);
    for (const [i, name] of ['a', 'b', 'c'].entries()) {
      const kv = await get(`${key}/${name}`);
      expect([kv?.version, kv?.modRevision]).toEqual([1n, replies[i]?.revision]);
    }
  });
});

it('a batch whose replies are too large together was applied, and is not taken for one that was not sent', async () => {
  const at = setUp(async (txn, options) => {
    const reply = await etcd.admin.commit(txn, options);
    if (!isBatch(txn)) return reply;
    throw new LimitError('the reply', 'maxReceiveBytes', 2, 1);
  });
  const { store, sent, key } = at;
  await occupy(at);
  const marked = forLater(store.commit(put(`${key}/a`), { exactlyOnce: true }));
  const once = forLater(store.commit(put(`${key}/b`)));
  const repeated = store.commit(put(`${key}/c`), { idempotent: true });
  goAll(sent);
  await until(sent, 3);
  sent[2]?.go();
  expect(await rejection(marked)).toMatchObject({ outcome: 'applied' });
  expect(await rejection(once)).toMatchObject({ outcome: 'unknown' });
  await until(sent, 4);
  goAll(sent);
  expect((await repeated).succeeded).toBe(true);
  for (const name of ['a', 'b']) expect((await get(`${key}/${name}`))?.version).toBe(1n);
});

describe('the limits of a caller', () => {
  it('end its wait only: unsent, it is never sent', async () => {
    const at = setUp();
    const { store, sent, key, clock } = at;
    await occupy(at);
    const controller = new AbortController();
    const reason = new Error('enough');
    const aborted = forLater(store.commit(put(`${key}/a`), { signal: controller.signal }));
    const late = forLater(store.commit(put(`${key}/b`), { timeout: 5 }));
    const patient = store.commit(put(`${key}/c`));
    controller.abort(reason);
    await clock.advance(5);
    expect(await rejection(aborted)).toBe(reason);
    await expect(late).rejects.toMatchObject({ outcome: 'not-applied' });
    goAll(sent);
    await until(sent, 3);
    goAll(sent);
    await patient;
    expect(sent[2]?.txn).toEqual(put(`${key}/c`));
    expect([await get(`${key}/a`), await get(`${key}/b`)]).toEqual([undefined, undefined]);
  });

  it('end its wait only: the batch goes on for the others', async () => {
    const at = setUp();
    const { store, sent, key, clock } = at;
    await occupy(at);
    const controller = new AbortController();
    const reason = new Error('enough');
    const aborted = forLater(store.commit(put(`${key}/a`), { signal: controller.signal }));
    const late = forLater(store.commit(put(`${key}/b`), { timeout: 50 }));
    const patient = store.commit(put(`${key}/c`), { timeout: 20_000 });
    goAll(sent);
    await until(sent, 3);
    await clock.advance(50);
    controller.abort(reason);
    expect(await rejection(aborted)).toBe(reason);
    await expect(late).rejects.toMatchObject({ outcome: 'unknown' });
    expect(sent[2]?.options.timeout).toBe(20_000);
    expect(sent[2]?.options.signal).toBe(undefined);
    sent[2]?.go();
    expect((await patient).succeeded).toBe(true);
    expect((await get(`${key}/a`))?.version).toBe(1n);
  });

  it('are checked before anything is sent', async () => {
    const { store, sent, key } = setUp();
    await expect(store.commit(put(key), { timeout: -1 })).rejects.toThrow(ArgumentError);
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    expect(await rejection(store.commit(put(key), { signal }))).toBe(reason);
    expect(sent.length).toBe(0);
  });

  it.each([
    ['timeout', -1],
    ['attemptTimeout', 0],
    ['attemptTimeout', Number.NaN],
  ])('spoil no batch: %s of %s', async (option, value) => {
    const at = setUp();
    await occupy(at);
    const { store, sent, key } = at;
    const bad = rejection(store.commit(put(`${key}/bad`), { [option]: value }));
    const good = ['a', 'b'].map((name) => store.commit(put(`${key}/${name}`)));
    expect(String(await bad)).toContain(`${option} must be`);
    goAll(sent);
    await until(sent, 3);
    goAll(sent);
    await Promise.all(good);
    expect(parts(sent[2] as Sent)).toEqual([put(`${key}/a`), put(`${key}/b`)]);
  });

  it.each([
    ['timeout', 0],
    ['attemptTimeout', '5'],
    ['maxTxnOps', 1.5],
    ['maxBytes', 0],
    ['maxBytes', '5'],
  ])('are refused by the store if they are none: %s of %s', (option, value) => {
    const make = (): BatchingStore => new BatchingStore(etcd.admin, { [option]: value });
    expect(make).toThrow(ArgumentError);
    expect(make).toThrow(`${option} must be`);
  });

  it('for an attempt are for all only if all have one, and it is repeated only if all of it is', async () => {
    const at = setUp();
    const { store, sent, key } = at;
    for (const [other, attemptTimeout, repeated] of [
      [{}, undefined, false],
      [{ attemptTimeout: 200 }, 100, false],
      [{ attemptTimeout: 200, repeated: true }, 100, true],
    ] as const) {
      sent.length = 0;
      await occupy(at);
      const calls = [
        store.commit(put(`${key}/a`), { attemptTimeout: 100, repeated: true }),
        store.commit(put(`${key}/b`), other),
      ];
      goAll(sent);
      await until(sent, 3);
      goAll(sent);
      await Promise.all(calls);
      expect(sent[2]?.options).toMatchObject({ repeated });
      expect(sent[2]?.options.attemptTimeout).toBe(attemptTimeout);
    }
  });
});

describe('a batch that is to be applied exactly once', () => {
  const exactlyOnce = { exactlyOnce: true } as const;
  /** Loses the reply to the first request with a mark. */
  const losing = (
    afterwards = async (): Promise<unknown> => undefined,
  ): ReturnType<typeof setUp> => {
    let lose = true;
    return setUp(
      async (txn, options) => {
        const reply = await etcd.admin.commit(txn, options);
        if (!txn.compare?.length || !lose) return reply;
        lose = false;
        await afterwards();
        throw noAnswer();
      },
      (store) => new ExactlyOnceStore(store),
    );
  };
  /** Commits all as one batch. */
  const together = async (
    at: ReturnType<typeof setUp>,
    txns: readonly Txn[],
    options: CommitOptions = exactlyOnce,
  ): Promise<{ readonly replies: TxnReply[]; readonly errors: unknown[] }> => {
    await occupy(at);
    const calls = txns.map((txn) => forLater(at.store.commit(txn, options)));
    const flow = setInterval(() => goAll(at.sent), 1);
    const settled = await Promise.allSettled(calls);
    clearInterval(flow);
    return {
      replies: settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])),
      errors: settled.flatMap((each) => (each.status === 'rejected' ? [each.reason] : [])),
    };
  };

  it('gives each what history tells of its own: one whose reply is lost takes no other with it', async () => {
    const at = losing();
    const { key } = at;
    await etcd.admin.commit(put(`${key}/b`, 'before'));
    const { replies, errors } = await together(at, [
      {
        success: [
          { put: { key: `${key}/a1`, value: '' } },
          { range: { key: `${key}/a`, end: `${key}/a~` } },
          { put: { key: `${key}/a2`, value: '' } },
        ],
      },
      { success: [{ put: { key: `${key}/b`, value: 'after', previous: true } }] },
      {
        compare: [{ key: `${key}/c`, target: 'create', is: '>', to: 0n }],
        failure: [{ put: { key: `${key}/c`, value: '' } }],
      },
    ]);
    expect(errors).toMatchObject([{ outcome: 'applied' }]);
    const revision = (await get(`${key}/a1`))?.modRevision;
    expect(replies.map((reply) => [reply.succeeded, reply.revision])).toEqual([
      [true, revision],
      [false, revision],
    ]);
    expect(String(replies[0]?.replies[0]?.kvs[0]?.value)).toBe('before');
    for (const name of ['a1', 'c']) expect((await get(`${key}/${name}`))?.version).toBe(1n);
  });

  it('gives each its reply that needs no history, where that is compacted', async () => {
    const at = losing(async () => {
      await etcd.admin.commit(put(`${at.key}/noise`));
      await compact(etcd.endpoint, etcd.admin);
    });
    const { key } = at;
    const { replies, errors } = await together(at, [
      put(`${key}/a`),
      { success: [{ put: { key: `${key}/b`, value: '', previous: true } }] },
      { ...put(`${key}/c`), compare: [{ key: `${key}/c`, target: 'create', to: 0n }] },
    ]);
    expect(errors).toMatchObject([{ outcome: 'applied' }, { outcome: 'unknown' }]);
    expect(replies).toEqual([
      {
        succeeded: true,
        revision: (await get(`${key}/a`))?.modRevision,
        replies: [{ kvs: [], count: 0 }],
      },
    ]);
    for (const name of ['a', 'b', 'c']) expect((await get(`${key}/${name}`))?.version).toBe(1n);
  });

  it.each([0, 1])(
    'has no member that may write marks: that travels alone, after %i others',
    async (place) => {
      const at = losing();
      const { sent, key } = at;
      // Marks are where it may write, but none that there is: what it deletes could not be recalled.
      const wide = { key: '.etcd-recipes/none', end: '.etcd-recipes/once/0' };
      const removal: Txn = { success: [{ delete: wide }] };
      const puts = [put(`${key}/a`), put(`${key}/b`)];
      const { replies } = await together(at, puts.toSpliced(place, 0, removal));
      expect(replies.length).toBe(3);
      expect(sent.map(({ txn }) => txn)).toContainEqual(removal);
      const marked = sent.find(({ txn }) => txn.compare?.length);
      const inside = { txn: { success: puts.map((txn) => ({ txn })) } };
      expect(marked?.txn.success?.[0]).toEqual(inside);
      for (const name of ['a', 'b']) expect((await get(`${key}/${name}`))?.version).toBe(1n);
    },
  );

  const writesKey = (txn: Txn, key: string): boolean =>
    footprintOf(txn).writes.some(({ low }) => low === key);

  it('is refused for want of space only as far as it needs space', async () => {
    let isFull = false;
    const at = setUp(
      async (txn, options) => {
        isFull ||= writesKey(txn, `${at.key}/a`);
        if (isFull && footprintOf(txn).puts) throw noSpace();
        return etcd.admin.commit(txn, options);
      },
      (store) => new ExactlyOnceStore(store),
    );
    const { key, sent } = at;
    const remove = (name: string): Txn => ({ success: [{ delete: { key: `${key}/${name}` } }] });
    // The lease of the marks is there before.
    await together(at, [put(`${key}/x`), put(`${key}/y`)]);
    sent.length = 0;
    const txns = [put(`${key}/a`), remove('x'), put(`${key}/b`), remove('y')];
    const { replies, errors } = await together(at, txns);
    expect(errors.map(wasRefused)).toEqual([true, true]);
    expect(replies.map((reply) => reply.replies[0]?.count)).toEqual([1, 1]);
    for (const name of ['a', 'x']) expect(await get(`${key}/${name}`)).toBe(undefined);
    // To ask again for what needs space would be in vain.
    const asked = sent.filter(({ txn }) => writesKey(txn, `${key}/a`));
    expect(asked.length).toBe(1);
  });
});

it('once etcd has no space, what needs none is not at the mercy of what does', async () => {
  const at = setUp(async (txn, options) => {
    isFull ||= footprintOf(txn).writes.some(({ low }) => low === `${at.key}/a`);
    if (isFull && footprintOf(txn).puts) throw noSpace();
    return etcd.admin.commit(txn, options);
  });
  let isFull = false;
  const { store, sent, key, clock } = at;
  const run = async (): Promise<string[]> => {
    isFull = false;
    const { answered } = await occupy(at);
    goAll(sent);
    const calls = [
      store.commit(put(`${key}/a`)),
      store.commit({ success: [{ delete: { key: `${key}/x` } }] }),
    ].map((call) => forLater(call));
    const flow = setInterval(() => goAll(sent), 1);
    await answered();
    const settled = await Promise.allSettled(calls);
    clearInterval(flow);
    sent.length = 0;
    return settled.map(({ status }) => status);
  };
  // It may have been applied: what is not to be applied twice is not sent again.
  expect(await run()).toEqual(['rejected', 'rejected']);
  expect(await run()).toEqual(['rejected', 'fulfilled']);
  await clock.advance(60_001);
  expect(await run()).toEqual(['rejected', 'rejected']);
});

describe('a commit that may be repeated, sent again after a batch without an answer', () => {
  it.each<[string, () => Error]>([
    ['is refused', () => new RefusedError('PERMISSION_DENIED', 'etcdserver: permission denied')],
    ['has no effect', () => new UnavailableError('not-applied', [])],
  ])('and that %s, may have been applied', async (_, errorOf) => {
    const at = setUp(async (txn, options) => {
      if (options?.idempotent && !isBatch(txn)) throw errorOf();
      await etcd.admin.commit(txn, options);
      if (isBatch(txn)) throw noAnswer();
      return etcd.admin.commit({ success: [] });
    });
    const { store, sent, key } = at;
    await occupy(at);
    const error = rejection(store.commit(put(`${key}/a`), { idempotent: true }));
    const once = rejection(store.commit(put(`${key}/b`)));
    const flow = setInterval(() => goAll(sent), 1);
    expect(await error).toMatchObject({ outcome: 'unknown', cause: errorOf() });
    await once;
    clearInterval(flow);
    expect((await get(`${key}/a`))?.version).toBe(1n);
  });
});

it('rejects what is no transaction, and sends what came with it', async () => {
  const { store, sent, key } = setUp();
  const nonsense = [{ put: { key: undefined, value: '' } }] as unknown as Operation[];
  const bad = forLater(store.commit({ success: nonsense }));
  const good = store.commit(put(key));
  await expect(bad).rejects.toThrow(TypeError);
  await until(sent, 1);
  goAll(sent);
  expect((await good).succeeded).toBe(true);
});

it('rejects what waits when it is closed', async () => {
  const at = setUp();
  await occupy(at);
  const call = forLater(at.store.commit(put(at.key)));
  at.store.close();
  await expect(call).rejects.toThrow(ClosedError);
  await expect(at.store.commit(put(at.key))).rejects.toThrow(ClosedError);
  goAll(at.sent);
});

describe('a coordinator', () => {
  it.each([
    [undefined, BatchingStore],
    [true, BatchingStore],
    [false, ExactlyOnceStore],
  ])('batches as it is told: %s', async (batching, kind) => {
    const told = batching === undefined ? {} : { batching };
    const coordinator = await connect({ endpoints: [etcd.endpoint], ...told });
    etcd.defer(() => coordinator.close());
    expect(coordinator.store).toBeInstanceOf(kind);
    expect(await (await coordinator.mutex(etcd.name()).acquire()).release()).toBe(true);
  });

  it('is told so by a boolean', async () => {
    const batching = 'no' as never;
    await expect(connect({ endpoints: [etcd.endpoint], batching })).rejects.toThrow(ArgumentError);
  });
});

describe('transactions that are committed at the same time', () => {
  const shown = (value: unknown): string =>
    JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? Number(each) : each));
  /** What a transaction gave, but for revisions, which tell how it was sent. */
  const result = (reply: TxnReply): unknown => {
    const step = ({ kvs, count, txn }: TxnReply['replies'][number]): unknown => [
      kvs.map(({ key, value, version }) => [String(key), String(value), version]),
      count,
      txn && result(txn),
    ];
    return [reply.succeeded, reply.replies.map(step)];
  };
  const everything = { key: '\0', end: '\0' };
  const permutations = <T>(items: readonly T[]): T[][] =>
    items.length < 2
      ? [[...items]]
      : items.flatMap((item, i) =>
          permutations(items.filter((_, j) => j !== i)).map((rest) => [item].concat(rest)),
        );

  it('give what they give one after another, in some order', { timeout: 120_000 }, async () => {
    await using server = await start({ listenClientUrls: [] });
    const direct = server.store();
    // The first revisions are those that conditions at random name, and are not had again.
    for (let i = 0; i < 100; i += 1) await direct.commit(put('d'));
    let batches = 0;
    let alone = 0;
    const store = new BatchingStore(
      override(direct, {
        commit: async (txn, options) => {
          if (isBatch(txn)) batches += 1;
          else alone += 1;
          return direct.commit(txn, options);
        },
      }),
    );
    const outcome = async (call: Promise<TxnReply>): Promise<string> => {
      try {
        return shown(result(await call));
      } catch (error) {
        return (error as Error).message;
      }
    };
    const reset = async (before: Txn): Promise<void> => {
      await direct.commit({ success: [{ delete: everything }] });
      await rejection(direct.commit(before));
    };
    const state = async (): Promise<string> =>
      shown(result({ succeeded: true, revision: 0n, replies: [await direct.read(everything)] }));
    const check = async (before: Txn, txns: readonly Txn[]): Promise<void> => {
      await reset(before);
      const together = await Promise.all(txns.map((txn) => outcome(store.commit(txn))));
      const found = shown([together, await state()]);
      for (const order of permutations([...txns.keys()])) {
        await reset(before);
        const outcomes: string[] = [];
        for (const i of order) outcomes[i] = await outcome(direct.commit(txns[i] as Txn));
        if (shown([outcomes, await state()]) === found) return;
      }
      expect.fail(`${found} is of no order`);
    };
    const shape = { prefix: '', keys: 4, steps: 2, depth: 2 };
    const several = fc.array(transactions(shape), { minLength: 2, maxLength: 4 });
    await fc.assert(fc.asyncProperty(transactions(shape), several, check), { numRuns: 1_500 });
    const wide = { prefix: '', keys: 6, steps: 1, depth: 1 };
    const many = fc.array(transactions(wide), { minLength: 3, maxLength: 4 });
    await fc.assert(fc.asyncProperty(transactions(wide), many, check), { numRuns: 1_500 });
    expect(batches).toBeGreaterThan(300);
    expect(alone).toBeGreaterThan(300);
  });

  it('give so for all small ones: each puts a key if another has or has not that', async () => {
    await using server = await start({ listenClientUrls: [] });
    const direct = server.store();
    const store = new BatchingStore(direct);
    const keys = ['x', 'y', 'z'];
    const small: Txn[] = keys.flatMap((mine) =>
      keys.flatMap((other) =>
        (['=', '>'] as const).map((is) => ({
          compare: [{ key: other, target: 'create' as const, is, to: 0n }],
          success: [{ put: { key: mine, value: '' } }],
          failure: [{ delete: { key: mine } }],
        })),
      ),
    );
    const run = async (commits: () => Promise<TxnReply[]>): Promise<string> => {
      await direct.commit({ success: [{ delete: everything }] });
      await direct.commit(put('z'));
      const replies = await commits();
      const { kvs } = await direct.read(everything);
      return shown([replies.map(result), kvs.map(({ key }) => String(key))]);
    };
    for (const a of small) {
      for (const b of small) {
        const found = await run(() => Promise.all([store.commit(a), store.commit(b)]));
        const one = await run(async () => [await direct.commit(a), await direct.commit(b)]);
        const other = await run(async () =>
          [await direct.commit(b), await direct.commit(a)].toReversed(),
        );
        expect([one, other]).toContain(found);
      }
    }
  });
});
