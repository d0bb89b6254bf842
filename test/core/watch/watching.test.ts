import { describe, expect, inject, it } from 'vitest';
import { prefixRange } from '../../../src/core/store/keys.js';
import { type WatchBatch, type WatchChange, Watching } from '../../../src/core/watch/watching.js';
import {
  ArgumentError,
  ClosedError,
  CompactedError,
  Etcd3Store,
  RefusedError,
  type Store,
  type Watch,
  type WatchEvent,
} from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { waitFor } from '../../../src/testing/wait-for.js';
import { compact, useEtcd } from '../../support/etcd.js';
import { override } from '../../support/override.js';

const etcd = useEtcd();

const put = async (key: string, value = ''): Promise<bigint> =>
  (await etcd.admin.commit({ success: [{ put: { key, value } }] })).revision;
const remove = async (key: string): Promise<bigint> =>
  (await etcd.admin.commit({ success: [{ delete: { key } }] })).revision;
const putMany = async (prefix: string, from: number, to: number, value = ''): Promise<bigint> => {
  let revision = 0n;
  for (let i = from; i < to; i += 100) {
    const some = Array.from({ length: Math.min(100, to - i) }, (_, j) => i + j);
    const success = some.map((n) => ({ put: { key: `${prefix}${n}`, value: value || `${n}` } }));
    ({ revision } = await etcd.admin.commit({ success }));
  }
  return revision;
};

/** Takes items until one fulfils the condition. */
async function takeUntil<T>(items: AsyncIterator<T>, isLast: (item: T) => boolean): Promise<T[]> {
  const taken: T[] = [];
  for (;;) {
    const { value, done } = await items.next();
    if (done) throw new Error('it ended');
    taken.push(value);
    if (isLast(value)) return taken;
  }
}

const textOf = ({ type, kv, origin }: WatchChange): string =>
  `${origin ? `${origin} ` : ''}${type} ${kv.key.toString().split('/').slice(1).join('/')}${type === 'put' ? `=${kv.value.toString()}` : ''}`;
const isEnd = ({ kv }: WatchChange): boolean => kv.key.toString().endsWith('/end');
const untilEnd = async (watching: Watching): Promise<string[]> =>
  (await takeUntil(watching[Symbol.asyncIterator](), isEnd)).map(textOf);

/** A store that counts the events it is told of, and the watches that are open. */
function counting(store: Store): { store: Store; events: number; open: number; opened: number } {
  const counts = { store, events: 0, open: 0, opened: 0 };
  counts.store = override(store, {
    watch: (range, listener, options): Watch => {
      counts.open += 1;
      counts.opened += 1;
      const watch = store.watch(
        range,
        {
          events: (events) => {
            counts.events += events.length;
            listener.events(events);
          },
          gap: (revision) => listener.gap(revision),
          closed: (error) => listener.closed(error),
        },
        options,
      );
      let isOpen = true;
      return {
        get since() {
          return watch.since;
        },
        ready: watch.ready,
        close: () => {
          if (isOpen) counts.open -= 1;
          isOpen = false;
          watch.close();
        },
      };
    },
  });
  return counts;
}

describe('a loop over a watch', () => {
  it('is given every change once, in order, from when the watch is ready', async () => {
    const name = etcd.name();
    await put(`${name}/before`);
    using watching = new Watching(etcd.admin, prefixRange(`${name}/`));
    await watching.ready;
    await put(`${name}/a`, '1');
    await remove(`${name}/a`);
    await remove(`${name}/before`);
    await put(`${name}/end`);
    expect(await untilEnd(watching)).toEqual(['put a=1', 'delete a', 'delete before', 'put end=']);
  });

  it('misses nothing that a read after it is ready does not see', async () => {
    const name = etcd.name();
    const stop = new AbortController();
    const writer = (async () => {
      for (let i = 0; !stop.signal.aborted; i += 1) await put(`${name}/${i}`, `${i}`);
    })();
    using watching = new Watching(etcd.admin, prefixRange(`${name}/`));
    await watching.ready;
    const { revision, count } = await etcd.admin.read(prefixRange(`${name}/`));
    await waitFor(async () => (await etcd.count(`${name}/`)) > count + 20);
    stop.abort();
    await writer;
    await put(`${name}/end`);
    const changes = await takeUntil(watching[Symbol.asyncIterator](), isEnd);
    const later = changes.filter(({ kv }) => kv.modRevision > revision);
    expect(later.length + count).toBe(await etcd.count(`${name}/`));
  });

  it('is given what is of one revision together, and where it stands', async () => {
    const name = etcd.name();
    using watching = new Watching(etcd.admin, prefixRange(`${name}/`));
    await watching.ready;
    const keys = ['a', 'b', 'c'].map((key) => ({ put: { key: `${name}/${key}`, value: '' } }));
    const { revision } = await etcd.admin.commit({ success: keys });
    const second = await put(`${name}/d`);
    const batches = watching.revisions();
    const { value: first } = (await batches.next()) as IteratorYieldResult<WatchBatch>;
    expect([first.revision, first.changes.length]).toEqual([revision, 3]);
    expect(watching.revision).toBe(revision);
    const { value: next } = (await batches.next()) as IteratorYieldResult<WatchBatch>;
    expect([next.revision, next.changes.length]).toEqual([second, 1]);
  });

  it('knows where it began, also if more than may wait comes at once', async () => {
    const event = (modRevision: bigint): WatchEvent => {
      const kv = { key: Buffer.from('k'), value: Buffer.alloc(0), createRevision: 0n, modRevision };
      return { type: 'delete', kv: { ...kv, version: 0n, lease: 0n } };
    };
    const store = override(etcd.admin, {
      watch: (_range, listener) => {
        queueMicrotask(() => {
          for (const revision of [11n, 12n]) listener.events([event(revision)]);
        });
        return { since: 11n, ready: Promise.resolve(), close() {} };
      },
    });
    using watching = new Watching(store, { key: 'k' }, { onGap: 'error', buffer: 1 });
    expect(await watching.synced).toBe(10n);
  });

  it('goes on from where another was', async () => {
    const name = etcd.name();
    const first = new Watching(etcd.admin, prefixRange(`${name}/`));
    await first.ready;
    const keys = ['a', 'b'].map((key) => ({ put: { key: `${name}/${key}`, value: '' } }));
    await put(`${name}/0`);
    await etcd.admin.commit({ success: keys });
    await put(`${name}/end`);
    const seen: string[] = [];
    for await (const change of first) {
      seen.push(textOf(change));
      // In the midst of a revision: it has not been given that yet.
      if (seen.length === 2) break;
    }
    const from = (first.revision ?? 0n) + 1n;
    using second = new Watching(etcd.admin, prefixRange(`${name}/`), { from });
    expect(seen).toEqual(['put 0=', 'put a=']);
    expect(await untilEnd(second)).toEqual(['put a=', 'put b=', 'put end=']);
  });

  it('is given only what is asked for, with the pairs before', async () => {
    const name = etcd.name();
    using deletions = new Watching(etcd.admin, prefixRange(`${name}/`), {
      only: 'delete',
      previous: true,
    });
    using puts = new Watching(etcd.admin, prefixRange(`${name}/`), { only: 'put' });
    await Promise.all([deletions.ready, puts.ready]);
    await put(`${name}/a`, '1');
    await remove(`${name}/a`);
    await put(`${name}/end`, '2');
    expect(await untilEnd(puts)).toEqual(['put a=1', 'put end=2']);
    await remove(`${name}/end`);
    const told = await takeUntil(deletions[Symbol.asyncIterator](), isEnd);
    expect(told.map(textOf)).toEqual(['delete a', 'delete end']);
    expect(told.map(({ previous }) => previous?.value.toString())).toEqual(['1', '2']);
  });

  it('is for one reader', async () => {
    using watching = new Watching(etcd.admin, { key: etcd.name() });
    watching.revisions();
    expect(() => watching[Symbol.asyncIterator]()).toThrow(/one loop/);
  });
});

describe('a watch with the initial state', () => {
  it('gives that first, then goes on without a gap while others write', async () => {
    const name = etcd.name();
    await putMany(`${name}/`, 0, 1_500);
    const stop = new AbortController();
    const writer = (async () => {
      for (let i = 0; !stop.signal.aborted; i += 7) {
        await put(`${name}/${i % 1_500}`, `new ${i}`);
        await remove(`${name}/${(i + 3) % 1_500}`);
      }
      await put(`${name}/end`);
    })();
    using watching = new Watching(etcd.admin, prefixRange(`${name}/`), { initial: true });
    const state = new Map<string, string>();
    let [revision, initial] = [0n, 0];
    for await (const batch of watching.revisions()) {
      expect(batch.revision > revision).toBe(true);
      ({ revision } = batch);
      if (batch.origin === 'initial') initial += batch.changes.length;
      for (const { type, kv } of batch.changes) {
        if (type === 'put') state.set(kv.key.toString(), kv.value.toString());
        else if (!state.delete(kv.key.toString())) throw new Error('nothing to delete');
      }
      if (initial > 0 && state.size !== initial) stop.abort();
      if (batch.changes.some(isEnd)) break;
    }
    await writer;
    const { kvs } = await etcd.admin.read(prefixRange(`${name}/`));
    expect(state).toEqual(new Map(kvs.map((kv) => [kv.key.toString(), kv.value.toString()])));
  });

  it('says when the state is complete, also if it is empty', async () => {
    const name = etcd.name();
    await putMany(`${name}/`, 0, 3);
    using watching = new Watching(etcd.admin, prefixRange(`${name}/`), { initial: true });
    let synced = false;
    const sync = (async () => {
      await watching.synced;
      synced = true;
    })();
    const changes = watching[Symbol.asyncIterator]();
    for (let i = 0; i < 3; i += 1) {
      expect(synced).toBe(false);
      expect((await changes.next()).value).toMatchObject({ origin: 'initial', type: 'put' });
    }
    await sync;
    expect(await watching.synced).toBe(watching.revision);

    using empty = new Watching(etcd.admin, prefixRange(`${name}-none/`), { initial: true });
    const { value: first } = (await empty.revisions().next()) as IteratorYieldResult<WatchBatch>;
    expect(first).toEqual({ revision: await empty.synced, changes: [], origin: 'initial' });
    using idle = new Watching(etcd.admin, prefixRange(`${name}-none/`), { initial: true });
    const next = idle[Symbol.asyncIterator]().next();
    expect(await idle.synced).toBe(idle.revision);
    idle.close();
    expect((await next).done).toBe(true);
  });

  it('begins again when the revision it reads at is compacted', async () => {
    const name = etcd.name();
    await putMany(`${name}/`, 0, 500);
    let reads = 0;
    const store = override(etcd.admin, {
      read: async (range, options) => {
        reads += 1;
        if (reads === 2) {
          await put(`${name}/late`);
          await compact(etcd.endpoint, etcd.admin);
        }
        return etcd.admin.read(range, options);
      },
    });
    using watching = new Watching(store, prefixRange(`${name}/`), { initial: true });
    const { value: first } = (await watching.revisions().next()) as IteratorYieldResult<WatchBatch>;
    expect(first.changes.length).toBe(501);
    expect(reads).toBeGreaterThan(3);
  });
});

describe('a watch whose changes were compacted', () => {
  /** Watches through a proxy, has `change` done where the watch does not see it, and compacts. */
  const missing = async (
    name: string,
    options: ConstructorParameters<typeof Watching>[2],
    change: () => Promise<unknown>,
  ): Promise<Watching> => {
    const proxy = await etcd.startProxy();
    const store = new Etcd3Store({ endpoints: [proxy.endpoint] });
    etcd.defer(() => store.close());
    const watching = new Watching(store, prefixRange(`${name}/`), options);
    etcd.defer(() => watching.close());
    await watching.ready;
    proxy.cut();
    await change();
    await compact(etcd.endpoint, etcd.admin);
    proxy.heal();
    return watching;
  };
  const prepare = async (): Promise<[string, () => Promise<unknown>]> => {
    const name = etcd.name();
    for (const key of ['same', 'changed', 'gone', 'back']) await put(`${name}/${key}`, 'old');
    const change = async (): Promise<void> => {
      await put(`${name}/short`, 'lived');
      await remove(`${name}/short`);
      await remove(`${name}/gone`);
      await put(`${name}/new`, '1');
      await put(`${name}/changed`, '1');
      await put(`${name}/changed`, '2');
      await remove(`${name}/back`);
      await put(`${name}/back`, 'again');
    };
    return [name, change];
  };

  it('tells exactly what has changed, and goes on', async () => {
    const [name, change] = await prepare();
    const watching = await missing(name, {}, change);
    const changes = watching[Symbol.asyncIterator]();
    const resynced = await takeUntil(changes, ({ type }) => type === 'delete');
    expect(resynced.map(textOf)).toEqual([
      'resync put new=1',
      'resync put changed=2',
      'resync put back=again',
      'resync delete gone',
    ]);
    const revisions = resynced.map(({ kv }) => kv.modRevision);
    expect(revisions).toEqual(revisions.toSorted((a, b) => Number(a - b)));
    await put(`${name}/end`);
    expect((await takeUntil(changes, isEnd)).map(textOf)).toEqual(['put end=']);
  });

  it('takes what was told before into account', async () => {
    const name = etcd.name();
    await put(`${name}/0`, 'old');
    const proxy = await etcd.startProxy();
    const store = etcd.open({ endpoints: [proxy.endpoint] });
    using watching = new Watching(store, prefixRange(`${name}/`), { initial: true });
    const changes = watching[Symbol.asyncIterator]();
    await put(`${name}/told`, '1');
    await remove(`${name}/0`);
    await put(`${name}/mark`);
    const isMark = ({ kv }: WatchChange): boolean => kv.key.toString().endsWith('mark');
    await takeUntil(changes, isMark);
    proxy.cut();
    await remove(`${name}/told`);
    await put(`${name}/fresh`, '1');
    await compact(etcd.endpoint, etcd.admin);
    proxy.heal();
    const told = await takeUntil(changes, ({ type }) => type === 'delete');
    expect(told.map(textOf)).toEqual(['resync put fresh=1', 'resync delete told']);
  });

  it('tells of deletions only, of keys that came back too', async () => {
    const [name, change] = await prepare();
    const watching = await missing(name, { only: 'delete' }, change);
    const changes = watching.revisions();
    const { value } = (await changes.next()) as IteratorYieldResult<WatchBatch>;
    expect(value.origin).toBe('resync');
    expect(value.changes.map(textOf).toSorted()).toEqual([
      'resync delete back',
      'resync delete gone',
    ]);
  });

  it('ends with an error where that is wanted', async () => {
    const [name, change] = await prepare();
    const watching = await missing(name, { onGap: 'error' }, change);
    await expect(watching.revisions().next()).rejects.toThrow(CompactedError);
  });

  it('ends with an error where nobody knows what was there before', async () => {
    const name = etcd.name();
    // Before the very first write there was nothing, which everybody knows.
    await put(`${name}/a`);
    const from = await put(`${name}/a`);
    await put(`${name}/a`);
    await put(`${name}/b`);
    await compact(etcd.endpoint, etcd.admin);
    using watching = new Watching(etcd.admin, prefixRange(`${name}/`), { from });
    await expect(watching.revisions().next()).rejects.toThrow(CompactedError);
    using puts = new Watching(etcd.admin, prefixRange(`${name}/`), { from, only: 'put' });
    const { value } = (await puts.revisions().next()) as IteratorYieldResult<WatchBatch>;
    expect(value.changes.map(textOf)).toEqual(['resync put a=', 'resync put b=']);
  });
});

describe('a loop that is slower than the changes', () => {
  it('gets all of them, with few waiting at a time', async () => {
    const name = etcd.name();
    const counts = counting(etcd.admin);
    using watching = new Watching(counts.store, prefixRange(`${name}/`));
    await watching.ready;
    // In one process, all of them take turns.
    const total = inject('engine') === 'in-process' ? 100_000 : 200_000;
    await putMany(`${name}/`, 0, total);
    await waitFor(() => counts.open === 0);
    // One message may be on its way when there are enough.
    expect(counts.events).toBeLessThanOrEqual(10_100);
    let expected = 0;
    for await (const { kv } of watching) {
      if (kv.value.toString() !== `${expected}`) throw new Error(`${expected} is missing`);
      expected += 1;
      if (expected === total) break;
    }
    // The real one tells of 1,000 revisions at once.
    expect(counts.opened).toBeGreaterThanOrEqual(3);
    expect(counts.open).toBe(0);
    await etcd.admin.commit({ success: [{ delete: prefixRange(`${name}/`) }] });
  });

  it('is told what has changed if history is gone by then', async () => {
    const name = etcd.name();
    await put(`${name}/gone`);
    using watching = new Watching(etcd.admin, prefixRange(`${name}/`), { buffer: 150 });
    await watching.ready;
    await putMany(`${name}/`, 0, 500);
    await putMany(`${name}/`, 200, 500, 'again');
    await remove(`${name}/gone`);
    await put(`${name}/end`);
    await compact(etcd.endpoint, etcd.admin);
    const told = await untilEnd(watching);
    expect(told.slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, i) => `put ${i}=${i}`));
    expect(new Set(told).size).toBe(told.length);
    expect(told.filter((text) => /^resync put \d+=again$/.test(text)).length).toBe(300);
    expect(told.at(-1)).toBe('resync put end=');
  });

  it('is given only the newest change of each key where that is wanted', async () => {
    const name = etcd.name();
    using watching = new Watching(etcd.admin, prefixRange(`${name}/`), {
      coalesce: true,
      previous: true,
    });
    await watching.ready;
    await put(`${name}/a`, '1');
    await put(`${name}/b`, '1');
    for (let i = 2; i <= 50; i += 1) await put(`${name}/a`, `${i}`);
    await remove(`${name}/b`);
    const last = await put(`${name}/end`);
    // Whoever watches the same after it has it told later, on one stream.
    const other = new Watching(etcd.admin, prefixRange(`${name}/`), { from: last });
    await untilEnd(other);
    other.close();
    const told = await takeUntil(watching[Symbol.asyncIterator](), isEnd);
    expect(told.map(textOf)).toEqual(['put a=50', 'delete b', 'put end=']);
    expect(told.map(({ merged = 1 }) => merged)).toEqual([50, 2, 1]);
    expect(watching.revision).toBe(last);
  });
});

it('never has more to hold than there are keys, where only the newest change of each is wanted', async () => {
  const name = etcd.name();
  const counts = counting(etcd.admin);
  const options = { coalesce: true, buffer: 200 };
  using watching = new Watching(counts.store, prefixRange(`${name}/`), options);
  await watching.ready;
  for (let i = 0; i < 300; i += 1) await putMany(`${name}/`, 0, 100, `${i}`);
  const last = await put(`${name}/end`);
  await waitFor(() => counts.events === 30_001);
  const { value } = (await watching.revisions().next()) as IteratorYieldResult<WatchBatch>;
  expect([value.revision, value.changes.length, counts.opened]).toEqual([last, 101, 1]);
  expect(new Set(value.changes.map(({ merged }) => merged))).toEqual(new Set([300, undefined]));
});

describe('the end of a watch', () => {
  const open = (): Store => etcd.open({});

  it('is the reason of the signal', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const watching = new Watching(open(), { key: etcd.name() }, { signal });
    const next = watching.revisions().next();
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await rejection(next)).toBe(reason);
    const late = new Watching(open(), { key: etcd.name() }, { signal });
    expect(await rejection(late.revisions().next())).toBe(reason);
    expect(await rejection(late.ready)).toBe(reason);
    expect(await rejection(late.synced)).toBe(reason);
  });

  it('comes at once by the signal, and after what waits by a failure', async () => {
    const name = etcd.name();
    const store = open();
    const controller = new AbortController();
    const aborted = new Watching(store, { key: name }, { signal: controller.signal });
    const failed = new Watching(store, { key: name });
    await Promise.all([aborted.ready, failed.ready]);
    for (let i = 0; i < 3; i += 1) await put(name, `${i}`);
    using other = new Watching(store, { key: name }, { from: await put(name, 'last') });
    await other[Symbol.asyncIterator]().next();
    const changes = aborted[Symbol.asyncIterator]();
    expect((await changes.next()).value).toMatchObject({ type: 'put' });
    controller.abort();
    expect(await rejection(changes.next())).toBe(controller.signal.reason);
    store.close();
    const seen: string[] = [];
    const error = await rejection(
      (async () => {
        for await (const { kv } of failed) seen.push(kv.value.toString());
      })(),
    );
    expect(seen).toEqual(['0', '1', '2', 'last']);
    expect(error).toBeInstanceOf(ClosedError);
  });

  it('comes at once while the watch is paused, too', async () => {
    const name = etcd.name();
    const counts = counting(open());
    const controller = new AbortController();
    const { signal } = controller;
    using watching = new Watching(counts.store, prefixRange(name), { signal, buffer: 5 });
    await watching.ready;
    await putMany(name, 0, 10);
    await waitFor(() => counts.open === 0);
    const changes = watching[Symbol.asyncIterator]();
    await changes.next();
    controller.abort();
    expect(await rejection(changes.next())).toBe(signal.reason);
    expect([counts.open, await changes.next()]).toEqual([0, { done: true, value: undefined }]);
  });

  it('comes at once by the signal, or when it is closed, after a failure too', async () => {
    const name = etcd.name();
    const store = open();
    const controller = new AbortController();
    const { signal } = controller;
    const [aborted, closed] = [{ signal }, {}].map(
      (options) => new Watching(store, prefixRange(name), options),
    ) as [Watching, Watching];
    await Promise.all([aborted.ready, closed.ready]);
    await put(name, '0');
    const from = await put(name, '1');
    using other = new Watching(store, prefixRange(name), { from });
    await other[Symbol.asyncIterator]().next();
    store.close();
    const [first, second] = [aborted, closed].map((each) => each[Symbol.asyncIterator]());
    expect((await first?.next())?.done).toBe(false);
    expect((await second?.next())?.done).toBe(false);
    controller.abort();
    closed.close();
    expect(await rejection(first?.next() as Promise<unknown>)).toBe(signal.reason);
    expect(await second?.next()).toEqual({ done: true, value: undefined });
  });

  it('is what etcd refused it for', async () => {
    const watching = new Watching(etcd.admin, { key: 'b', end: 'a' });
    await expect(watching.revisions().next()).rejects.toThrow(RefusedError);
    await expect(watching.ready).rejects.toThrow(RefusedError);
  });

  it('is without an error when it is closed here, and closes the watch at etcd', async () => {
    const name = etcd.name();
    const counts = counting(etcd.admin);
    const closed = new Watching(counts.store, { key: name });
    const next = closed.revisions().next();
    await closed.ready;
    expect(counts.open).toBe(1);
    closed.close();
    expect(await next).toEqual({ done: true, value: undefined });

    const returned = new Watching(counts.store, { key: name });
    const changes = returned[Symbol.asyncIterator]();
    const pending = changes.next();
    await returned.ready;
    expect(await changes.return?.()).toEqual({ done: true, value: undefined });
    expect((await pending).done).toBe(true);

    const left = new Watching(counts.store, { key: name });
    await left.ready;
    await put(name);
    for await (const change of left) {
      expect(change.type).toBe('put');
      break;
    }
    expect(counts.open).toBe(0);
  });

  it('is before its beginning where an option is not usable', () => {
    const begin = (options: object) => () => new Watching(etcd.admin, { key: 'x' }, options);
    expect(begin({ from: 0n })).toThrow(ArgumentError);
    expect(begin({ from: 1 })).toThrow(/from/);
    expect(begin({ only: 'puts' })).toThrow(/only/);
    expect(begin({ initial: true, from: 2n })).toThrow(/initial/);
    expect(begin({ initial: true, only: 'delete' })).toThrow(/initial/);
    expect(begin({ onGap: 'ignore' })).toThrow(/onGap/);
    expect(begin({ buffer: 0 })).toThrow(/buffer/);
    expect(begin({ buffer: 1.5 })).toThrow(/buffer/);
  });
});
