import { describe, expect, it, vi } from 'vitest';
import { footprintOf } from '../../src/core/commit/footprint.js';
import { Session } from '../../src/core/session/session.js';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { withoutEffect } from '../../src/core/store/refusals.js';
import { type Clock, systemClock } from '../../src/core/time/clock.js';
import {
  ArgumentError,
  BatchingStore,
  type Hold,
  HoldLostError,
  Mutex,
  RefusedError,
  type Store,
  WaitTimeoutError,
} from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { noAnswer, override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };

describe('a hold within a hold', () => {
  it('is given at once, with the same token, and its release changes nothing', async () => {
    const coordinator = await etcd.connect();
    const mutex = coordinator.mutex(etcd.name());
    const hold = await mutex.acquire();
    const inner = await mutex.acquire({ within: hold });
    const tried = await mutex.tryAcquire({ within: hold });
    expect([inner.token, tried?.token]).toEqual([hold.token, hold.token]);
    expect((await inner.txn().put(`${mutex.name}/x`, '1').commit()).succeeded).toBe(true);
    expect(await inner.release()).toBe(true);
    await expect(inner.txn().put(`${mutex.name}/x`, '2').commit()).rejects.toThrow(HoldLostError);
    expect(hold.lost).toBe(undefined);
    expect(tried?.lost).toBe(undefined);
    expect(await hold.release()).toBe(true);
    expect(tried?.lost).toBe('released');
    expect(tried?.signal.aborted).toBe(true);
    await expect(mutex.acquire({ within: hold })).rejects.toThrow(HoldLostError);
    await etcd.admin.commit({ success: [{ delete: { key: `${mutex.name}/x` } }] });
  });

  it('is lost with the hold it is in', async () => {
    const coordinator = await etcd.connect();
    const mutex = coordinator.mutex(etcd.name());
    const hold = await mutex.acquire();
    const inner = await mutex.acquire({ within: hold });
    await etcd.admin.commit({ success: [{ delete: { key: hold.key } }] });
    await vi.waitFor(() => expect(inner.signal.aborted).toBe(true), patience);
    expect([inner.lost, hold.lost]).toEqual(['deleted', 'deleted']);
    expect(await inner.release()).toBe(false);
  });

  it('is one of the same lock, or of one that includes it', async () => {
    const coordinator = await etcd.connect();
    const [x, y] = [etcd.name(), etcd.name()];
    const both = await coordinator.multiLock([x, y]).acquire();
    await (await coordinator.mutex(y).acquire({ within: both })).release();
    const other = coordinator.mutex(etcd.name());
    await expect(other.acquire({ within: both })).rejects.toThrow(ArgumentError);
    await expect(other.acquire({ within: {} as never })).rejects.toThrow(
      /within must be a hold of/,
    );
    await both.release();
    const lock = coordinator.readWriteLock(x);
    const writer = await lock.write.acquire();
    await (await lock.read.acquire({ within: writer })).release();
    await lock.downgrade(writer);
    await expect(lock.write.acquire({ within: writer })).rejects.toThrow(ArgumentError);
    await (await lock.read.acquire({ within: writer })).release();
    await writer.release();
    const semaphore = coordinator.semaphore(x, { limit: 2 });
    const permits = await semaphore.acquire({ permits: 2 });
    await (await semaphore.acquire({ within: permits })).release();
    await permits.release();
    await expect(
      semaphore.acquire({ within: await semaphore.acquire(), permits: 2 }),
    ).rejects.toThrow(/permits must be at most 1/);
    await etcd.admin.commit({ success: [{ delete: prefixRange(folderOf('semaphore', x)) }] });
  });

  it('is one of all that are wanted', async () => {
    const coordinator = await etcd.connect();
    const [x, y] = [etcd.name(), etcd.name()];
    const one = await coordinator.mutex(x).acquire();
    const both = coordinator.multiLock([x, y]);
    await expect(both.acquire({ within: one })).rejects.toThrow(ArgumentError);
    await one.release();
    const all = await both.acquire();
    await (await both.acquire({ within: all })).release();
    await all.release();
  });

  it('is one of the same coordinator and namespace, however that was made', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name();
    const inside = coordinator.namespace('a/');
    const hold = await inside.mutex(name).acquire();
    await (await coordinator.namespace('a/').mutex(name).acquire({ within: hold })).release();
    const foreign = [
      coordinator,
      coordinator.namespace('b/'),
      (await etcd.connect()).namespace('a/'),
    ];
    for (const other of foreign) {
      const tried = other.mutex(name).tryAcquire({ within: hold });
      await expect(tried).rejects.toThrow(/made by this coordinator/);
    }
    const lock = inside.readWriteLock(name);
    const [upgradeable, writer] = [await lock.upgradeable.acquire(), lock.write.acquire()];
    await expect(coordinator.readWriteLock(name).upgrade(upgradeable)).rejects.toThrow(
      ArgumentError,
    );
    await upgradeable.release();
    const other = coordinator.readWriteLock(name);
    await expect(other.downgrade(await writer)).rejects.toThrow(ArgumentError);
  });
});

describe('a hold with caps', () => {
  it('is lost when it was held as long as it may be', async () => {
    const coordinator = await etcd.connect();
    const mutex = coordinator.mutex(etcd.name());
    const hold = await mutex.acquire({ maxHold: 50 });
    const next = mutex.acquire();
    await vi.waitFor(() => expect(hold.signal.aborted).toBe(true), patience);
    expect(hold.lost).toBe('max-hold');
    await (await next).release();
    expect(await hold.release()).toBe(false);
    await vi.waitFor(
      async () => expect(await etcd.count(folderOf('mutex', mutex.name))).toBe(0),
      patience,
    );
  });

  it('is lost when it was not used for as long as it may be', async () => {
    const coordinator = await etcd.connect();
    const mutex = coordinator.mutex(etcd.name());
    const hold = await mutex.acquire({ idle: 300 });
    const began = Date.now();
    while (Date.now() - began < 600) {
      hold.touch();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(hold.lost).toBe(undefined);
    await vi.waitFor(() => expect(hold.lost).toBe('idle'), patience);
    await (await mutex.acquire()).release();
  });

  it('is surely held no longer than it may be', async () => {
    const mutex = (await etcd.connect()).mutex(etcd.name());
    const hold = await mutex.acquire({ maxHold: 5_000 });
    const inner = await mutex.acquire({ within: hold, idle: 2_000 });
    const shared = await mutex.acquire({ within: hold });
    expect(inner.remaining()).toBeLessThanOrEqual(2_000);
    expect(hold.remaining()).toBeLessThanOrEqual(5_000);
    expect(shared.remaining()).toBeLessThanOrEqual(5_000);
    await hold.release();
    expect(shared.remaining()).toBe(0);
  });

  it('has no timer any more when it was given back, used or not', async () => {
    const timers = new Set<unknown>();
    const clock: Clock = {
      ...systemClock,
      after(ms, callback) {
        const stop = systemClock.after(ms, callback);
        const timer = {};
        if (ms === 54_321) timers.add(timer);
        return () => {
          timers.delete(timer);
          stop();
        };
      },
    };
    const session = await Session.open(etcd.open({}), {}, clock);
    const name = etcd.name();
    const hold = await new Mutex(session, name).acquire({ idle: 54_321 });
    hold.touch();
    expect(timers.size).toBe(1);
    // What is done within it is a use of it, too.
    (await new Mutex(session, name).acquire({ within: hold })).touch();
    expect(timers.size).toBe(1);
    await hold.release();
    hold.touch();
    expect(timers.size).toBe(0);
    await session.close();
  });

  it('gives its name back once, however it ends: who comes next is not taken for who holds it', async () => {
    const coordinator = await etcd.connect();
    const mutex = coordinator.mutex(etcd.name());
    const capped = await mutex.acquire({ maxHold: 30 });
    const waiting = mutex.acquire();
    await vi.waitFor(() => expect(capped.lost).toBe('max-hold'), patience);
    const hold = await waiting;
    expect(await capped.release()).toBe(false);
    const giveUp = new AbortController();
    const others = Array.from({ length: 3 }, () => mutex.acquire({ signal: giveUp.signal }));
    await vi.waitFor(async () => expect((await mutex.inspect()).waiters.length).toBe(3), patience);
    giveUp.abort();
    for (const { status } of await Promise.allSettled(others)) expect(status).toBe('rejected');
    expect(await hold.release()).toBe(true);
  });

  it('refuses caps that are none, before it waits', async () => {
    const coordinator = await etcd.connect();
    const mutex = coordinator.mutex(etcd.name());
    for (const wait of [{ maxHold: 0 }, { idle: Number.NaN }, { idle: '5' as unknown as number }]) {
      await expect(mutex.acquire(wait)).rejects.toThrow(ArgumentError);
      await expect(mutex.tryAcquire(wait)).rejects.toThrow(ArgumentError);
    }
  });
});

describe('a lock with a delay', () => {
  it('is not given right after a holder who did not give it back', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const name = etcd.name();
    const lockDelay = 200;
    await (await a.mutex(name, { lockDelay }).acquire()).release();
    const hold = await a.mutex(name, { lockDelay }).acquire();
    const mutex = b.mutex(name, { lockDelay });
    await etcd.admin.revoke(a.session.id);
    const asked = performance.now();
    await expect(mutex.acquire({ timeout: 100 })).rejects.toThrow(WaitTimeoutError);
    const next = await mutex.acquire();
    expect(performance.now() - asked).toBeGreaterThanOrEqual(lockDelay - 1);
    expect(next.token).toBeGreaterThan(hold.token);
    await next.release();
    expect(await etcd.count(folderOf('held', folderOf('mutex', name)))).toBe(0);
    expect(await (await mutex.acquire({ timeout: 15_000 })).release()).toBe(true);
  });
});

describe('a lock with a delay that is longer than all wait for it', () => {
  it('is given in the end', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const name = etcd.name();
    const lockDelay = 400;
    await a.mutex(name, { lockDelay }).acquire();
    const mutex = b.mutex(name, { lockDelay });
    await etcd.admin.revoke(a.session.id);
    const asked = performance.now();
    let hold: Hold | undefined;
    while (!hold) hold = await mutex.acquire({ timeout: 150 }).catch(() => undefined);
    expect(performance.now() - asked).toBeGreaterThanOrEqual(lockDelay - 1);
    expect(await hold?.release()).toBe(true);
    expect(await etcd.count(folderOf('held', folderOf('mutex', name)))).toBe(0);
  });
});

describe('what is noted of a holder', () => {
  it('is not lost with an answer, and delays nobody where it was of no other', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const name = etcd.name();
    const mutex = coordinator.mutex(name, { lockDelay: 600_000 });
    const noted = async (): Promise<string[]> =>
      (await etcd.admin.read(prefixRange(folderOf('held', folderOf('mutex', name))))).kvs.map(
        ({ value }) => value.toString(),
      );
    // The place is put, and then the note.
    below.plan('arrives', 'loses its reply');
    const hold = await mutex.acquire({ timeout: 15_000 });
    expect(await noted()).toEqual([String(hold.token)]);
    await hold.release();
    const giveUp = new AbortController();
    below.plan('arrives', async (txn) => {
      await etcd.admin.commit(txn);
      giveUp.abort(new Error('enough'));
      throw noAnswer();
    });
    await expect(mutex.acquire({ signal: giveUp.signal })).rejects.toThrow('enough');
    await vi.waitFor(async () => expect(await noted()).toEqual([]), patience);
    const lost = await mutex.acquire({ timeout: 15_000 });
    await etcd.admin.commit({ success: [{ delete: { key: lost.key } }] });
    const late = new AbortController();
    below.plan('arrives', async () => {
      late.abort(new Error('enough'));
      throw noAnswer();
    });
    await expect(mutex.acquire({ signal: late.signal })).rejects.toThrow('enough');
    await vi.waitFor(
      async () => expect(await etcd.count(folderOf('mutex', name))).toBe(0),
      patience,
    );
    expect(await noted()).toEqual([String(lost.token)]);
    expect(await mutex.tryAcquire()).toBe(undefined);
    await etcd.admin.commit({ success: [{ delete: prefixRange('held/') }] });
  });
});

describe('a try for a lock with a delay', () => {
  it('does not wait for the end of the delay, which comes however often it is tried', async () => {
    const [a, b, c] = [await etcd.connect(), await etcd.connect(), await etcd.connect()];
    const name = etcd.name();
    const lockDelay = 20_000;
    await a.mutex(name, { lockDelay }).acquire();
    await etcd.admin.revoke(a.session.id);
    let skipped = 0;
    const clock: Clock = { ...systemClock, now: () => systemClock.now() + skipped };
    const session = await Session.open(b.store, { ttl: 120_000 }, clock);
    etcd.defer(() => session.close());
    const late = new Mutex(session, name, { lockDelay });
    const other = c.mutex(name, { lockDelay });
    const tried = async (mutex: Mutex): Promise<Hold | undefined> => {
      const hold = await mutex.tryAcquire({ timeout: 15_000 });
      // What it gives back is given back in the background.
      await vi.waitFor(
        async () => expect(await etcd.count(folderOf('mutex', name))).toBe(hold ? 1 : 0),
        patience,
      );
      return hold;
    };
    expect([await tried(late), await tried(other)]).toEqual([undefined, undefined]);
    skipped += lockDelay / 2;
    expect([await tried(late), await tried(other)]).toEqual([undefined, undefined]);
    skipped += lockDelay / 2;
    const hold = await tried(late);
    expect(await hold?.release()).toBe(true);
    expect(await etcd.count(folderOf('held', folderOf('mutex', name)))).toBe(0);
    const next = await tried(other);
    expect(await next?.release()).toBe(true);
  });
});

describe('who operates a lock', () => {
  it('asks its holder to give it back', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect({ session: { label: 'operator' } })];
    const name = etcd.name();
    expect(await b.mutex(name).requestRevoke('none there')).toEqual([]);
    const hold = await a.mutex(name).acquire();
    const heard: unknown[] = [];
    const stop = hold.onRevokeRequest((request) => heard.push(request));
    expect((await b.mutex(name).requestRevoke('upgrade')).map(({ token }) => token)).toEqual([
      hold.token,
    ]);
    await vi.waitFor(() => expect(heard.length).toBe(1), patience);
    expect(heard[0]).toMatchObject({
      reason: 'upgrade',
      by: { label: 'operator', pid: process.pid },
    });
    // Who listens late hears of it as well.
    const late: unknown[] = [];
    hold.onRevokeRequest((request) => late.push(request));
    await vi.waitFor(() => expect(late.length).toBe(1), patience);
    stop();
    expect((await b.mutex(name).inspect()).holder?.owner).toMatchObject({ pid: process.pid });
    expect(hold.lost).toBe(undefined);
    expect(await hold.release()).toBe(true);
  });

  it('closes the watch of who listens no more, once', async () => {
    let closed = 0;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        watch: (range, listener, options) => {
          const watch = store.watch(range, listener, options);
          if (options?.only !== 'put') return watch;
          const close = (): void => {
            closed += 1;
            watch.close();
          };
          return { since: watch.since, ready: watch.ready, close };
        },
      }),
    );
    const hold = await coordinator.mutex(etcd.name()).acquire();
    for (let i = 1; i <= 3; i += 1) {
      hold.onRevokeRequest(() => {})();
      expect(closed).toBe(i);
    }
    await hold.release();
    expect(closed).toBe(3);
  });

  it('asks whoever holds it with others, or held it otherwise', async () => {
    const coordinator = await etcd.connect();
    const [x, y] = [etcd.name(), etcd.name()];
    const heard: string[] = [];
    const both = await coordinator.multiLock([x, y]).acquire();
    both.onRevokeRequest(({ reason }) => heard.push(reason));
    await coordinator.mutex(y).requestRevoke('the second');
    await vi.waitFor(() => expect(heard).toEqual(['the second']), patience);
    await both.release();
    const lock = coordinator.readWriteLock(etcd.name());
    const hold = await lock.write.acquire();
    hold.onRevokeRequest(({ reason }) => heard.push(reason));
    await lock.downgrade(hold);
    await lock.read.requestRevoke('downgraded');
    await vi.waitFor(() => expect(heard).toEqual(['the second', 'downgraded']), patience);
    await hold.release();
  });

  it('ends its hold by force, which is written down', async () => {
    const [a, b] = [
      await etcd.connect({ session: { label: 'worker' } }),
      await etcd.connect({ session: { label: 'operator' } }),
    ];
    const name = etcd.name();
    const hold = await a.mutex(name).acquire();
    const waiting = a.mutex(name).acquire();
    expect((await b.mutex(name).forceRelease('it hangs')).map(({ token }) => token)).toEqual([
      hold.token,
    ]);
    await vi.waitFor(() => expect(hold.lost).toBe('deleted'), patience);
    await (await waiting).release();
    expect(await b.mutex(name).audit()).toMatchObject([
      {
        token: hold.token,
        reason: 'it hangs',
        by: { label: 'operator' },
        holder: { label: 'worker' },
      },
    ]);
    expect(await b.mutex(name).forceRelease('nobody')).toEqual([]);
    await etcd.admin.commit({
      success: [{ delete: prefixRange(folderOf('audit', `mutex/${name}`)) }],
    });
  });

  it('ends it also where etcd has no space to write that down', async () => {
    const full = (store: Store): Store =>
      override(store, {
        commit: async (txn, options) => {
          if (!footprintOf(txn).puts) return store.commit(txn, options);
          const message = 'etcdserver: mvcc: database space exceeded';
          throw withoutEffect(new RefusedError('RESOURCE_EXHAUSTED', message));
        },
      });
    const [a, b] = [await etcd.connect(), await etcd.connect({}, full)];
    const name = etcd.name();
    const hold = await a.mutex(name).acquire();
    expect(await b.mutex(name).forceRelease('make room')).toMatchObject([
      { token: hold.token, isRecorded: false },
    ]);
    await vi.waitFor(() => expect(hold.lost).toBe('deleted'), patience);
    expect(await b.mutex(name).audit()).toEqual([]);
  });

  it('ends all of a hold whose holder is dead', async () => {
    const silent = (store: Store): Store =>
      override(store, { watch: () => ({ since: 1n, ready: Promise.resolve(), close: () => {} }) });
    const [dead, b] = [await etcd.connect({}, silent), await etcd.connect()];
    const lock = b.readWriteLock(etcd.name());
    const hold = await dead.readWriteLock(lock.name).write.acquire();
    const [x, y] = [etcd.name(), etcd.name()];
    await dead.multiLock([x, y]).acquire();
    expect(await lock.write.forceRelease('it is dead')).toMatchObject([
      { token: hold.token, isRecorded: true },
    ]);
    expect(await etcd.count(folderOf('read-write-lock', lock.name))).toBe(0);
    expect((await b.multiLock([y, x]).forceRelease('as well')).length).toBe(1);
    expect(await (await b.multiLock([x, y]).acquire(patience)).release()).toBe(true);
    await etcd.admin.commit({ success: [{ delete: prefixRange('audit/') }] });
  });

  it('ends the upgrade of a hold whose holder is dead, too', async () => {
    const silent = (store: Store): Store =>
      override(store, { watch: () => ({ since: 1n, ready: Promise.resolve(), close: () => {} }) });
    const [dead, b] = [await etcd.connect({}, silent), await etcd.connect()];
    const lock = b.readWriteLock(etcd.name());
    const theirs = dead.readWriteLock(lock.name);
    const hold = await theirs.upgradeable.acquire();
    await theirs.upgrade(hold);
    expect((await lock.upgradeable.forceRelease('it is dead')).length).toBe(1);
    await (await lock.read.acquire(patience)).release();
    await etcd.admin.commit({ success: [{ delete: prefixRange('audit/') }] });
  });

  it('spares those whose keys came with theirs', async () => {
    const coordinator = await etcd.connect({}, (store) => new BatchingStore(store));
    const lock = coordinator.readWriteLock(etcd.name());
    const [first, second, perhaps] = await Promise.all([
      lock.read.acquire(),
      lock.read.acquire(),
      lock.upgradeable.acquire(),
    ]);
    expect([first.token, second.token]).toEqual([perhaps.token, perhaps.token]);
    expect((await lock.upgradeable.forceRelease('to see')).map(({ key }) => key)).toEqual([
      perhaps.key,
    ]);
    expect([first.lost, await perhaps.release()]).toEqual([undefined, false]);
    expect((await lock.read.forceRelease('to see')).length).toBe(2);
    expect([await first.release(), await second.release()]).toEqual([false, false]);
    // Whoever has the same token has a record of his own.
    expect((await lock.read.audit()).length).toBe(3);
    await etcd.admin.commit({
      success: [{ delete: prefixRange(folderOf('audit', `read-write-lock/${lock.name}`)) }],
    });
  });

  it('finds among the records none that somebody else put there', async () => {
    const mutex = (await etcd.connect()).mutex(etcd.name());
    const records = folderOf('audit', `mutex/${mutex.name}`);
    const foreign = ['', 'none', '{"reason":1}', 'null', '[]', '{"holder":7,"reason":"why not"}'];
    const success = foreign.flatMap((value, i) => [
      { put: { key: `${records}${i}`, value } },
      { put: { key: `${records}000000000000000${i}-a`, value } },
    ]);
    await etcd.admin.commit({ success });
    expect(await mutex.audit()).toMatchObject([
      { token: 5n, reason: 'why not', by: undefined, holder: undefined, age: undefined },
    ]);
    await etcd.admin.commit({ success: [{ delete: prefixRange(records) }] });
  });

  it('does so to all who hold it', async () => {
    const coordinator = await etcd.connect();
    const lock = coordinator.readWriteLock(etcd.name());
    const readers = [await lock.read.acquire(), await lock.read.acquire()];
    expect(await lock.write.forceRelease('none')).toEqual([]);
    const writer = lock.write.acquire();
    expect((await lock.read.forceRelease('make room')).length).toBe(2);
    await (await writer).release();
    await vi.waitFor(
      () => expect(readers.map(({ lost }) => lost)).toEqual(['deleted', 'deleted']),
      patience,
    );
    await etcd.admin.commit({
      success: [{ delete: prefixRange(folderOf('audit', `read-write-lock/${lock.name}`)) }],
    });
  });
});
