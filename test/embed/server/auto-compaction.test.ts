import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type EtcdAutoCompaction, start, VirtualClock } from '../../../src/embed/index.js';
import { autoCompaction } from '../../../src/embed/server/auto-compaction.js';
import { Backend, type BackendOptions } from '../../../src/embed/server/backend.js';
import { NO_LEASE } from '../../../src/embed/server/mvcc/version.js';
import { ArgumentError, type Store, type WatchEvent } from '../../../src/index.js';

const serve = (compaction?: EtcdAutoCompaction, clock = new VirtualClock()) =>
  start({ listenClientUrls: [], clock, ...(compaction && { autoCompaction: compaction }) });

/** Lets what waits for the end of the present call run. */
const microtasks = (): Promise<void> => Promise.resolve();

const put = async (store: Store, times: number, key = 'k'): Promise<bigint> => {
  let revision = 0n;
  for (let n = 0; n < times; n += 1) {
    ({ revision } = await store.commit({ success: [{ put: { key, value: String(n) } }] }));
  }
  return revision;
};

const isKept = async (store: Store, revision: bigint): Promise<boolean> => {
  try {
    await store.read({ key: 'k', revision });
    return true;
  } catch (error) {
    expect(String(error)).toContain('required revision has been compacted');
    return false;
  }
};

/** The oldest revision that can still be read. */
const oldest = async (store: Store): Promise<bigint> => {
  let [gone, kept] = [0n, (await store.read({ key: 'k' })).revision];
  while (kept - gone > 1n) {
    const middle = (gone + kept) / 2n;
    if (await isKept(store, middle)) kept = middle;
    else gone = middle;
  }
  return kept;
};

describe('auto-compaction by revisions', () => {
  it.each([1, 50, 2_000])(
    'with a retention of %i keeps as many, and not many more',
    async (retention) => {
      await using server = await serve({ mode: 'revision', retention });
      const store = server.store();
      for (let round = 0; round < 20; round += 1) {
        const newest = await put(store, retention < 1_000 ? 37 : 400);
        const kept = newest - (await oldest(store));
        expect(kept).toBeGreaterThanOrEqual(Math.min(retention, Number(newest) - 1));
        expect(kept).toBeLessThanOrEqual(retention + Math.max(100, retention / 10));
      }
      expect(await isKept(store, 2n)).toBe(false);
    },
  );

  it('keeps memory bounded, however many keys come and go', async () => {
    const backend = newBackend({ mode: 'revision', retention: 100 });
    for (let n = 0; n < 5_000; n += 1) {
      backend.store.write((writer) => writer.put(`key ${n}`, 'value', NO_LEASE));
      backend.store.write((writer) => writer.delete({ low: `key ${n}`, high: `key ${n}\0` }));
      await microtasks();
    }
    expect(backend.store.log.length).toBeLessThanOrEqual(201);
    expect(backend.store.bytes).toBeLessThan(201 * 'key 1234value'.length);
    expect(backend.store.newest('key 4899')).toBeUndefined();
    expect(backend.store.newest('key 4999')).toBeDefined();
  });

  it('looks at each change a limited number of times', async () => {
    let [revision, compacted, copied] = [1, -1, 0];
    const retention = 10_000;
    const compaction = autoCompaction(
      { mode: 'revision', retention },
      {
        get revision() {
          return revision;
        },
        get compacted() {
          return compacted;
        },
        compact(to: number) {
          copied += revision - Math.max(0, compacted);
          compacted = to;
        },
      },
      new VirtualClock(),
    );
    const changes = 200_000;
    for (; revision < changes; revision += 1) {
      compaction.changed();
      await microtasks();
    }
    expect(compacted).toBeGreaterThan(changes - 1.2 * retention);
    expect(copied / changes).toBeLessThan(12);
  });

  it('tells watches of every change, with what was before it', async () => {
    const backend = newBackend({ mode: 'revision', retention: 1 });
    const heard: (readonly [number, string | undefined])[] = [];
    const watch = backend.watchStream(({ events = [] }) => {
      for (const { kv, prevKv } of events) {
        heard.push([kv?.modRevision ?? 0, prevKv?.value]);
      }
      return true;
    });
    const nothing = { startRevision: 0, filters: [], watchId: 0n, fragment: false };
    const create = { ...nothing, key: 'k', rangeEnd: '', progressNotify: false, prevKv: true };
    watch.request({ create, cancel: undefined, progress: undefined });
    for (let n = 0; n < 1_000; n += 1) {
      backend.store.write((writer) => writer.put('k', String(n), NO_LEASE));
      await microtasks();
    }
    watch.close();
    expect(heard).toEqual(
      Array.from({ length: 1_000 }, (_, n) => [n + 2, n === 0 ? undefined : String(n - 1)]),
    );
    expect(backend.store.compacted).toBeGreaterThan(800);
  });

  it('leaves no gap in watches that keep up, and tells of one where history is gone', async () => {
    await using server = await serve({ mode: 'revision', retention: 10 });
    const store = server.store();
    const [live, late] = [recorder(), recorder()];
    store.watch({ key: 'k' }, live);
    await put(store, 500);
    store.watch({ key: 'k' }, { ...late }, { from: 2n });
    await turn();
    expect(live.gaps).toEqual([]);
    expect(live.revisions).toEqual(Array.from({ length: 500 }, (_, n) => BigInt(n + 2)));
    expect(late.gaps).toEqual([501n]);
  });

  it('goes on behind a compaction that somebody asked for', async () => {
    const backend = newBackend({ mode: 'revision', retention: 10 });
    const write = async (times: number): Promise<void> => {
      for (let n = 0; n < times; n += 1) {
        backend.store.write((writer) => writer.put('k', '', NO_LEASE));
        await microtasks();
      }
    };
    await write(100);
    backend.kv.compact({ revision: 101, physical: false });
    await write(110);
    expect(backend.store.compacted).toBe(101);
    await write(1);
    expect(backend.store.compacted).toBe(202);
  });
});

describe('auto-compaction by time', () => {
  const hour = 3_600_000;

  it('keeps what happened in that time, and up to a tenth more', async () => {
    await using server = await serve({ mode: 'periodic', retention: hour });
    const store = server.store();
    const first = await put(store, 3);
    await server.advance(hour);
    expect(await isKept(store, first)).toBe(true);
    const second = await put(store, 3);
    await server.advance(0.1 * hour);
    expect([await isKept(store, first - 1n), await isKept(store, first)]).toEqual([false, true]);
    await server.advance(0.8 * hour);
    expect(await isKept(store, second - 3n)).toBe(true);
    await server.advance(0.3 * hour);
    expect(await oldest(store)).toBe(second);
  });

  it('keeps the last state of what does not change any more', async () => {
    await using server = await serve({ mode: 'periodic', retention: hour });
    const store = server.store();
    const revision = await put(store, 5);
    await server.advance(10 * hour);
    const { kvs } = await store.read({ key: 'k', revision });
    expect(kvs.map(({ value }) => value.toString())).toEqual(['4']);
  });

  it('drops the same when its timer was late', async () => {
    const clock = new VirtualClock();
    await using server = await serve({ mode: 'periodic', retention: hour }, clock);
    const store = server.store();
    const before = await put(store, 3);
    await server.advance(0.1 * hour);
    clock.jump(5 * hour);
    const after = await put(store, 3);
    await server.advance(0);
    expect(await oldest(store)).toBe(before);
    expect(await isKept(store, after)).toBe(true);
  });

  it.each([1, 7_776_000_000, Number.MAX_SAFE_INTEGER])(
    'takes a retention of %i ms',
    async (retention) => {
      await using server = await serve({ mode: 'periodic', retention });
      const revision = await put(server.store(), 3);
      await server.advance(10);
      expect(await isKept(server.store(), revision - 1n)).toBe(retention > 1);
    },
  );
});

describe('a server', () => {
  it('keeps all history if it is not told otherwise', async () => {
    await using server = await serve();
    const store = server.store();
    await put(store, 2_000);
    await server.advance(3_600_000);
    expect(await oldest(store)).toBe(1n);
  });

  it('that is stopped has no timer', async () => {
    const clock = new CountingClock();
    await (await serve({ mode: 'periodic', retention: 1_000 }, clock)).stop();
    expect([clock.set, clock.pending.size]).toEqual([1, 0]);
  });

  it('that could not be started has no timer', async () => {
    const clock = new CountingClock();
    const compaction = { mode: 'periodic', retention: 1_000 } as const;
    const listenClientUrls = ['unix:/no/such/directory/socket'];
    const starting = start({ listenClientUrls, clock, autoCompaction: compaction });
    await expect(starting).rejects.toThrow('listen');
    expect([clock.set, clock.pending.size]).toEqual([1, 0]);
  });

  it.each([
    [{ mode: 'revision', retention: 0 }, 'autoCompaction.retention must be a whole number >= 1'],
    [{ mode: 'hourly', retention: 5 }, 'autoCompaction.mode must be one of periodic, revision'],
    [{ mode: 'revision' }, 'autoCompaction must be an object with mode and retention'],
    ['5m', "autoCompaction must be an object with mode and retention, got '5m'"],
  ])('refuses %j', async (compaction, message) => {
    const starting = serve(compaction as EtcdAutoCompaction);
    await expect(starting).rejects.toThrow(ArgumentError);
    await expect(starting).rejects.toThrow(message);
  });
});

class CountingClock extends VirtualClock {
  set = 0;
  readonly pending = new Set<object>();

  override after(ms: number, callback: () => void): () => void {
    const timer = {};
    this.set += 1;
    this.pending.add(timer);
    const cancel = super.after(ms, callback);
    return () => {
      this.pending.delete(timer);
      cancel();
    };
  }
}

function newBackend(compaction: EtcdAutoCompaction): Backend {
  const options: BackendOptions = {
    clock: new VirtualClock(),
    authTokenTtl: 300_000,
    minLeaseTtl: 2_000,
    maxTxnOps: 128,
    maxRequestBytes: 1_572_864,
    watchProgressInterval: 600_000,
    autoCompaction: compaction,
  };
  return new Backend(options);
}

function recorder() {
  const [revisions, gaps]: [bigint[], bigint[]] = [[], []];
  return {
    revisions,
    gaps,
    events: (events: readonly WatchEvent[]) =>
      void revisions.push(...events.map(({ kv }) => kv.modRevision)),
    gap: (revision: bigint) => void gaps.push(revision),
    closed: () => {},
  };
}
