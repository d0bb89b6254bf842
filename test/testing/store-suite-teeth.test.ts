import { expect, it } from 'vitest';
import {
  Etcd3Store,
  type KeyValue,
  type OperationReply,
  type RangeRequest,
  RefusedError,
  type Store,
  type Txn,
  type TxnReply,
  type WatchEvent,
  type WatchListener,
} from '../../src/index.js';
import { storeSuite } from '../../src/testing/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { sharedEndpoint } from '../support/endpoint.js';
import { override } from '../support/override.js';

/** What a broken store does otherwise. */
type Fault = (store: Store) => Partial<Store>;

const reads =
  (change: (range: RangeRequest) => RangeRequest): Fault =>
  (store) => ({ read: (range, options) => store.read(change(range), options) });
const omit = <T extends object, K extends keyof T>(object: T, property: K): Omit<T, K> => {
  const { [property]: _, ...rest } = object;
  return rest;
};
const without = (property: Exclude<keyof RangeRequest, 'key'>): Fault =>
  reads((range) => omit(range, property));
const readReplies =
  (change: (reply: OperationReply) => OperationReply): Fault =>
  (store) => ({
    read: async (...args) => {
      const reply = await store.read(...args);
      return { ...reply, ...change(reply) };
    },
  });
const commits =
  (change: (txn: Txn) => Txn): Fault =>
  (store) => ({ commit: (txn, options) => store.commit(change(txn), options) });
const replies =
  (change: (reply: TxnReply) => TxnReply): Fault =>
  (store) => ({ commit: async (...args) => change(await store.commit(...args)) });
const listens =
  (change: (listener: WatchListener) => Partial<WatchListener>): Fault =>
  (store) => ({
    watch: (range, listener, options) => {
      const whole: WatchListener = {
        events: (events) => listener.events(events),
        gap: (revision) => listener.gap(revision),
        closed: (error) => listener.closed(error),
      };
      return store.watch(range, { ...whole, ...change(listener) }, options);
    },
  });
const events = (change: (events: readonly WatchEvent[]) => readonly WatchEvent[]): Fault =>
  listens((listener) => ({ events: (all) => listener.events(change(all)) }));
const mapEvents = (change: (event: WatchEvent) => WatchEvent): Fault =>
  events((all) => all.map((event) => change(event)));
const cut = (kv: KeyValue): KeyValue => ({ ...kv, value: kv.value.subarray(0, 65_536) });
const latin = (data: unknown): Buffer => Buffer.from(String(data));

const faults: Record<string, readonly [caught: string, Fault]> = {
  'reads values as text': [
    'a read gives a pair whole and exact',
    readReplies((reply) => ({
      ...reply,
      kvs: reply.kvs.map((kv) => ({ ...kv, value: latin(kv.value) })),
    })),
  ],
  'loses the lease of a pair': [
    'a read gives a pair whole and exact',
    readReplies((reply) => ({ ...reply, kvs: reply.kvs.map((kv) => ({ ...kv, lease: 0n })) })),
  ],
  'reads all that begins with a key': [
    'a read of a missing key gives nothing',
    reads((range) => ({ ...range, end: range.end ?? Buffer.from([0xff]) })),
  ],
  'includes the end of a range': [
    'a range begins with its key and ends before its end',
    reads((range) => ({ ...range, ...(range.end && { end: `${String(range.end)}\0` }) })),
  ],
  'takes a zero byte for a key like any other': [
    'a range without an upper bound goes to the last key of all',
    reads((range) => (String(range.end) === '\0' ? { key: range.key } : range)),
  ],
  'ignores a limit': [
    'a limit cuts a read short, and the count is that of the range',
    without('limit'),
  ],
  'counts only what it gives': [
    'a limit cuts a read short, and the count is that of the range',
    readReplies((reply) => ({ ...reply, count: reply.kvs.length })),
  ],
  'does not sort': ['a read is sorted as it is asked to, before it is limited', without('sortBy')],
  'sorts upwards only': [
    'a read is sorted as it is asked to, before it is limited',
    without('order'),
  ],
  'limits before it sorts': [
    'a read is sorted as it is asked to, before it is limited',
    (store) => ({
      read: async ({ limit, ...range }, options) => {
        const few = await store.read({ ...range, sortBy: 'key' }, options);
        const kept = new Set(few.kvs.slice(0, limit).map(({ key }) => String(key)));
        const all = await store.read(range, options);
        return { ...all, kvs: all.kvs.filter(({ key }) => kept.has(String(key))) };
      },
    }),
  ],
  'gives values where keys were asked for': [
    'a read of keys only leaves the values out and nothing else',
    without('keysOnly'),
  ],
  'shows what was created later': [
    'a read leaves out what was created after a revision',
    without('maxCreateRevision'),
  ],
  'knows no past': ['a read of the past shows what was then', without('revision')],
  'says yes to the future': ['a read of the future is refused', without('revision')],
  'reads the past': [
    'a read sees every write that was answered before',
    (store) => ({
      read: async (range, options) => {
        const { revision } = await store.read(range, options);
        return store.read({ ...range, revision: revision - 1n }, options);
      },
    }),
  ],
  'does not compare': [
    'a comparison of every property, by every operator, says what it should',
    commits((txn) => ({ ...txn, compare: [] })),
  ],
  'knows no operator': [
    'a comparison of every property, by every operator, says what it should',
    commits((txn) => ({ ...txn, compare: txn.compare?.map((c) => ({ ...c, is: '=' })) ?? [] })),
  ],
  'compares one key of a range': [
    'a comparison of a range holds if it does for each of its keys',
    commits((txn) => ({
      ...txn,
      compare: txn.compare?.map((c) => omit(c, 'end')) ?? [],
    })),
  ],
  'takes a missing value for an empty one': [
    'a missing key has 0 for every number, and no value',
    commits((txn) => ({
      ...txn,
      compare:
        txn.compare?.map((c) =>
          c.target === 'value' && c.to === '' ? { ...c, target: 'create', to: 0n } : c,
        ) ?? [],
    })),
  ],
  'looks at the first comparison only': [
    'a transaction runs one branch: success if all comparisons hold, else failure',
    commits((txn) => ({ ...txn, compare: txn.compare?.slice(0, 1) ?? [] })),
  ],
  'says the wrong branch': [
    'a transaction runs one branch: success if all comparisons hold, else failure',
    replies((reply) => ({ ...reply, succeeded: !reply.succeeded })),
  ],
  'has no failure branch': [
    'a transaction runs one branch: success if all comparisons hold, else failure',
    commits((txn) => omit(txn, 'failure')),
  ],
  'does not count deletions': [
    'each step of a transaction has a reply, and sees the steps before it',
    replies((reply) => ({ ...reply, replies: reply.replies.map((r) => ({ ...r, count: 0 })) })),
  ],
  'drops the replies of nested transactions': [
    'a nested transaction compares with the state before the whole transaction',
    replies((reply) => ({
      ...reply,
      replies: reply.replies.map(({ kvs, count }) => ({ kvs, count })),
    })),
  ],
  'commits step by step': [
    'all that a transaction writes has one revision, larger than any before',
    (store) => ({
      commit: async (txn, options) => {
        const [first, ...rest] = txn.success ?? [];
        const reply = await store.commit({ ...txn, success: first ? [first] : [] }, options);
        const all = [...reply.replies];
        let last = reply;
        for (const step of reply.succeeded ? rest : []) {
          last = await store.commit({ success: [step] }, options);
          all.push(...last.replies);
        }
        return { ...reply, replies: all, revision: last.revision };
      },
    }),
  ],
  'checks first and writes then': [
    'one of many rival transactions wins',
    (store) => ({
      commit: async ({ compare = [], success = [], failure = [] }, options) => {
        const { succeeded } = await store.commit({ compare }, options);
        const reply = await store.commit({ success: succeeded ? success : failure }, options);
        return { ...reply, succeeded };
      },
    }),
  ],
  'keeps the lease of a key that is put without one': [
    'a key that is written again after its deletion begins anew',
    (store) => {
      let lease = 0n;
      return {
        commit: (txn, options) => {
          const success = (txn.success ?? []).map((step) => {
            if (!('put' in step)) return step;
            lease = step.put.lease || lease;
            return { put: { ...step.put, lease } };
          });
          return store.commit({ ...txn, success }, options);
        },
      };
    },
  ],
  'lets a transaction write a key twice': [
    'a transaction that writes a key twice is refused as a whole',
    commits((txn) => ({ ...txn, success: txn.success?.slice(0, 1) ?? [] })),
  ],
  'rejects with an error of its own': [
    'a transaction that puts under a lease nobody has is refused as a whole',
    (store) => ({
      commit: async (...args) => {
        try {
          return await store.commit(...args);
        } catch (error) {
          throw error instanceof RefusedError ? new Error(error.message) : error;
        }
      },
    }),
  ],
  'forgets a lease nobody has': [
    'a transaction that puts under a lease nobody has is refused as a whole',
    commits((txn) => ({
      ...txn,
      success:
        txn.success?.map((step) => ('put' in step ? { put: { ...step.put, lease: 0n } } : step)) ??
        [],
    })),
  ],
  'watches one key where a range was asked for': [
    'a watch of a range tells of its keys only',
    (store) => ({ watch: ({ key }, ...rest) => store.watch({ key }, ...rest) }),
  ],
  'watches a range where one key was asked for': [
    'a watch of one key tells of no other',
    (store) => ({
      watch: ({ key, end = Buffer.from([0xff]) }, ...rest) => store.watch({ key, end }, ...rest),
    }),
  ],
  'takes a zero byte for the end of a watch': [
    'a watch without an upper bound tells of all keys from its own on',
    (store) => ({
      watch: ({ key, end }, ...rest) =>
        store.watch(end === undefined || end === '\0' ? { key } : { key, end }, ...rest),
    }),
  ],
  'drops deletions': [
    'a watch tells of every change once, in the order of revisions',
    events((all) => all.filter(({ type }) => type === 'put')),
  ],
  'repeats events': [
    'a watch tells of every change once, in the order of revisions',
    events((all) => [...all, ...all]),
  ],
  'delivers late what came early': [
    'a watch tells of every change once, in the order of revisions',
    (store) => {
      let kept: readonly WatchEvent[] = [];
      const swap = (all: readonly WatchEvent[]): readonly WatchEvent[] => {
        const now = kept.length > 0 ? [...all, ...kept] : [];
        kept = kept.length > 0 ? [] : all;
        return now;
      };
      return events(swap)(store);
    },
  ],
  'watches without values': [
    'an event of a put has the pair whole, and one of a deletion its key and revision',
    mapEvents(({ type, kv }) => ({ type, kv: { ...kv, value: Buffer.alloc(0) } })),
  ],
  'forgets when a key was deleted': [
    'an event of a put has the pair whole, and one of a deletion its key and revision',
    mapEvents(({ type, kv }) => ({ type, kv: type === 'put' ? kv : { ...kv, modRevision: 0n } })),
  ],
  'begins every watch now': [
    'a watch from a past revision begins with what came then',
    (store) => ({
      watch: (range, listener, options = {}) => store.watch(range, listener, omit(options, 'from')),
    }),
  ],
  'begins a watch too early': [
    'a watch from a revision to come leaves out what comes before',
    (store) => ({
      watch: (range, listener, { from, ...options } = {}) =>
        store.watch(range, listener, { ...options, ...(from && { from: from - 3n }) }),
    }),
  ],
  'ignores the type that is asked for': [
    'a watch leaves out the type of change that is not asked for',
    (store) => ({
      watch: (range, listener, options = {}) => store.watch(range, listener, omit(options, 'only')),
    }),
  ],
  'tells of the changes of a transaction one by one': [
    'a watch tells of all changes of one transaction together',
    listens((listener) => ({
      events: (all) => {
        for (const event of all) listener.events([event]);
      },
    })),
  ],
  'does not know since when it watches': [
    'a watch knows since when it covers once it is ready',
    (store) => ({
      watch: (...args) => {
        const watch = store.watch(...args);
        return { ready: watch.ready, close: () => watch.close(), since: undefined };
      },
    }),
  ],
  'claims to have watched too late': [
    'a watch knows since when it covers once it is ready',
    (store) => ({
      watch: (...args) => {
        const watch = store.watch(...args);
        return {
          ready: watch.ready,
          close: () => watch.close(),
          get since() {
            return watch.since && watch.since + 1_000n;
          },
        };
      },
    }),
  ],
  'goes on after a watch was closed': [
    'a watch that is closed hears no more, and others go on',
    (store) => ({
      watch: (...args) => {
        const watch = store.watch(...args);
        return {
          ready: watch.ready,
          close: () => {},
          get since() {
            return watch.since;
          },
        };
      },
    }),
  ],
  'does not say that a watch was refused': [
    'a watch of a range that holds no key is refused',
    listens(() => ({ closed: () => {} })),
  ],
  'cuts values that it reads at 64 KiB': [
    'a value of 1 MiB is read and watched whole',
    readReplies((reply) => ({ ...reply, kvs: reply.kvs.map((kv) => cut(kv)) })),
  ],
  'cuts values that it tells of at 64 KiB': [
    'a value of 1 MiB is read and watched whole',
    mapEvents(({ type, kv }) => ({ type, kv: cut(kv) })),
  ],
  'cuts reads at 1,000 keys': [
    'a range of 1,500 keys is read and counted whole',
    readReplies((reply) => ({ ...reply, kvs: reply.kvs.slice(0, 1_000) })),
  ],
  'counts up to 1,000': [
    'a range of 1,500 keys is read and counted whole',
    readReplies((reply) => ({ ...reply, count: Math.min(reply.count, 1_000) })),
  ],
  'drops every 1,001st event of a watch': [
    'a watch from the past tells of 1,500 changes whole and in order',
    listens((listener) => {
      let told = 0;
      const keep = (): boolean => {
        told += 1;
        return told % 1_001 !== 0;
      };
      return { events: (all) => listener.events(all.filter(keep)) };
    }),
  ],
  'tells of changes in the order of their keys': [
    'a watch from the past tells of 1,500 changes whole and in order',
    events((all) => all.toSorted((a, b) => Buffer.compare(a.kv.key, b.kv.key))),
  ],
  'grants seconds': [
    'a lease is granted for at least the milliseconds asked for',
    (store) => ({ grant: async (...args) => (await store.grant(...args)) / 1_000 }),
  ],
  'refuses a lease the second time': [
    'a lease that is granted again stays as it was',
    (store) => {
      const granted = new Set<bigint>();
      return {
        grant: (lease, ...args) => {
          if (granted.has(lease)) throw new RefusedError('FAILED_PRECONDITION', 'exists');
          granted.add(lease);
          return store.grant(lease, ...args);
        },
      };
    },
  ],
  'passes leases on as floating point numbers': [
    'a lease has an ID of up to 63 bits, exactly',
    (store) => ({
      grant: (lease, ...args) => store.grant(BigInt.asIntN(64, BigInt(Number(lease))), ...args),
      keepAlive: (lease, ...args) =>
        store.keepAlive(BigInt.asIntN(64, BigInt(Number(lease))), ...args),
    }),
  ],
  'has etcd make what it can of a lease': [
    'what cannot be a lease is refused at once',
    (store) => ({ grant: (lease, ttl, ...args) => store.grant(lease, ttl || 1, ...args) }),
  ],
  'renews what is gone': [
    'a renewal gives the milliseconds granted, and 0 for a lease that is gone',
    (store) => ({ keepAlive: async (...args) => (await store.keepAlive(...args)) || 60_000 }),
  ],
  'mixes renewals up': [
    'renewals that run together each have the answer for their own lease',
    (store) => {
      let last = 0n;
      return {
        keepAlive: (lease, ...args) => {
          const before = last;
          last = lease;
          return store.keepAlive(before, ...args);
        },
      };
    },
  ],
  'forgets a lease without its keys': [
    'a lease takes its keys along when it is revoked, at one revision, and no others',
    () => ({ revoke: async () => {} }),
  ],
  'rejects for a lease that is gone': [
    'a lease that is gone is revoked without an error',
    (store) => ({
      revoke: async (lease, ...args) => {
        if ((await store.keepAlive(lease)) === 0) throw new RefusedError('NOT_FOUND', 'gone');
        await store.revoke(lease, ...args);
      },
    }),
  ],
  'swallows renewals': [
    'a lease that is renewed lives past its first end',
    () => ({ keepAlive: async () => 2_000 }),
  ],
  'ends leases while they are renewed, and says that they live': [
    'a lease that is renewed lives past its first end',
    (store) => ({
      keepAlive: async (lease) => {
        await store.revoke(lease);
        return 2_000;
      },
    }),
  ],
  'never lets a lease end': [
    'a lease that is not renewed any more ends by itself, and a watch hears of its key',
    (store) => ({
      grant: async (lease, ttl, options) => {
        await store.grant(lease, 60_000, options);
        return ttl;
      },
    }),
  ],
  'ignores a signal': [
    'a call whose signal is aborted rejects with the reason',
    (store) => ({ read: (range) => store.read(range) }),
  ],
  'wraps the reason of a signal': [
    'a call whose signal is aborted rejects with the reason',
    (store) => ({
      revoke: async (...args) => {
        try {
          await store.revoke(...args);
        } catch (cause) {
          throw new Error('aborted', { cause });
        }
      },
    }),
  ],
  'answers after it was closed': [
    'a call after the store was closed rejects',
    (store) => {
      let closed = false;
      return {
        close: () => {
          closed = true;
          store.close();
        },
        keepAlive: async (...args) => (closed ? 0 : store.keepAlive(...args)),
      };
    },
  ],
  'says nothing to its watches when it is closed': [
    'a watch is told once when its store is closed, and hears no more',
    listens(() => ({ closed: () => {} })),
  ],
  'says twice that it is closed': [
    'a watch is told once when its store is closed, and hears no more',
    listens((listener) => ({
      closed: (error) => {
        listener.closed(error);
        listener.closed(error);
      },
    })),
  ],
};

it.each(Object.entries(faults))('catches a store that %s', async (_, [caught, fault]) => {
  const cases = storeSuite({
    timeout: 500,
    make: () => {
      const store = new Etcd3Store({ endpoints: [sharedEndpoint()] });
      return override(store, fault(store));
    },
  });
  const named = cases.find(({ name }) => name === caught);
  const error = await rejection(named?.run() ?? Promise.resolve());
  // What a case finds out by itself, or is told by the store; not an accident of the test.
  expect(String(error)).toMatch(/^(AssertionError|RefusedError|Error: waited in vain)/);
});
