import { describe, expect, it, vi } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import { deferred } from '../../src/core/time/deferred.js';
import {
  ArgumentError,
  type Coordinator,
  type Hold,
  HoldLostError,
  type ReadWriteLock,
  RefusedError,
  type Store,
  WaitTimeoutError,
} from '../../src/index.js';
import { holdSuite } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';
import { runCases } from '../support/run-cases.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };
const folder = (name: string): string => folderOf('read-write-lock', name);

/** As many processes as asked for, with one lock. */
async function processes(count: number): Promise<ReadWriteLock[]> {
  const name = etcd.name();
  const all: Coordinator[] = await Promise.all(Array.from({ length: count }, () => etcd.connect()));
  return all.map((each) => each.readWriteLock(name));
}

async function waiters(lock: ReadWriteLock, count: number): Promise<void> {
  await vi.waitFor(async () => expect((await lock.inspect()).waiters.length).toBe(count), patience);
}

/** What was granted, in order. */
function recorder(): {
  readonly granted: string[];
  readonly note: (name: string, hold: Promise<Hold>) => Promise<Hold>;
} {
  const granted: string[] = [];
  const note = async (name: string, hold: Promise<Hold>): Promise<Hold> => {
    const got = await hold;
    granted.push(name);
    return got;
  };
  return { granted, note };
}

describe('the write side of a read/write lock', () => {
  runCases(
    holdSuite({
      admin: etcd.admin,
      folder: (name) => `${folder(name)}w/`,
      connect: () => etcd.connect(),
      make: (coordinator, name) => coordinator.readWriteLock(name).write,
    }),
  );
});

describe('the upgradeable side of a read/write lock', () => {
  runCases(
    holdSuite({
      admin: etcd.admin,
      folder: (name) => `${folder(name)}u/`,
      connect: () => etcd.connect(),
      make: (coordinator, name) => coordinator.readWriteLock(name).upgradeable,
    }),
  );
});

describe('a read/write lock', () => {
  it('is held by many readers and an upgradeable one, or by one writer', async () => {
    const [a, b, c] = (await processes(3)) as [ReadWriteLock, ReadWriteLock, ReadWriteLock];
    const readers = [await a.read.acquire(), await b.read.acquire(), await c.read.acquire()];
    const perhaps = await b.upgradeable.acquire();
    expect(await c.upgradeable.tryAcquire()).toBe(undefined);
    expect(await a.write.tryAcquire()).toBe(undefined);
    const { holders } = await a.inspect();
    expect(holders.map(({ mode }) => mode)).toEqual(['read', 'read', 'read', 'upgradeable']);
    for (const hold of [...readers, perhaps]) await hold.release();
    const writer = await a.write.acquire();
    expect(await b.read.tryAcquire()).toBe(undefined);
    expect(await c.write.tryAcquire()).toBe(undefined);
    expect((await b.inspect()).holders.map(({ mode }) => mode)).toEqual(['write']);
    await writer.release();
  });

  it('is given in the order of arrival, so that nobody is passed by for ever', async () => {
    const [a, b] = (await processes(2)) as [ReadWriteLock, ReadWriteLock];
    const { granted, note } = recorder();
    const first = await a.read.acquire();
    const writer = note('writer', b.write.acquire());
    await waiters(a, 1);
    expect(await b.read.tryAcquire()).toBe(undefined);
    const late = [note('late', a.read.acquire()), note('late', b.read.acquire())];
    await waiters(a, 3);
    const last = note('last', a.write.acquire());
    await waiters(a, 4);
    expect(granted).toEqual([]);
    await first.release();
    await (await writer).release();
    for (const hold of await Promise.all(late)) await hold.release();
    await (await last).release();
    expect(granted).toEqual(['writer', 'late', 'late', 'last']);
    expect(await etcd.count(folder(a.name))).toBe(0);
  });

  it('lets readers in at once when the writer before them gives up', async () => {
    const [a, b] = (await processes(2)) as [ReadWriteLock, ReadWriteLock];
    await using reader = await a.read.acquire();
    const controller = new AbortController();
    const writer = b.write.acquire({ signal: controller.signal });
    await waiters(a, 1);
    const late = b.read.acquire();
    await waiters(a, 2);
    controller.abort(new Error('enough'));
    await expect(writer).rejects.toThrow('enough');
    await (await late).release();
    expect(reader.lost).toBe(undefined);
  });

  it('is downgraded with nobody writing in between: readers come in, writers wait', async () => {
    const [a, b] = (await processes(2)) as [ReadWriteLock, ReadWriteLock];
    const { granted, note } = recorder();
    const hold = await a.write.acquire();
    const { token } = hold;
    const writer = note('writer', b.write.acquire());
    await waiters(a, 1);
    await expect(
      a.downgrade(await b.read.acquire({ timeout: 20 }).catch(() => hold)),
    ).resolves.toBe(undefined);
    expect(hold.token).toBe(token);
    expect(hold.lost).toBe(undefined);
    expect((await hold.txn().put(`${a.name}/x`, 'read').commit()).succeeded).toBe(true);
    expect((await b.inspect()).holders.map(({ mode }) => mode)).toEqual(['read']);
    expect(granted).toEqual([]);
    await expect(a.downgrade(hold)).rejects.toThrow(ArgumentError);
    expect(await hold.release()).toBe(true);
    await (await writer).release();
    await etcd.admin.commit({ success: [{ delete: { key: `${a.name}/x` } }] });
    expect(await etcd.count(folder(a.name))).toBe(0);
  });

  it('lets readers who waited in when the writer is downgraded', async () => {
    const [a, b] = (await processes(2)) as [ReadWriteLock, ReadWriteLock];
    const hold = await a.write.acquire();
    const reader = b.read.acquire();
    await waiters(a, 1);
    await a.downgrade(hold);
    await using other = await reader;
    expect([hold.lost, other.lost]).toEqual([undefined, undefined]);
    await hold.release();
  });

  it('is upgraded when the readers that are in have left, before writers that wait', async () => {
    const [a, b] = (await processes(2)) as [ReadWriteLock, ReadWriteLock];
    const { granted, note } = recorder();
    const reader = await b.read.acquire();
    const perhaps = await a.upgradeable.acquire();
    const writer = note('writer', b.write.acquire());
    await waiters(a, 1);
    const behind = note('behind', b.read.acquire());
    await waiters(a, 2);
    const upgraded = note('upgraded', a.upgrade(perhaps));
    await expect(a.upgrade(perhaps)).rejects.toThrow(/not upgraded/);
    await expect(a.read.acquire({ timeout: 30 })).rejects.toThrow(WaitTimeoutError);
    expect(granted).toEqual([]);
    await reader.release();
    const hold = await upgraded;
    expect(hold.token).toBe(perhaps.token);
    expect((await hold.txn().put(`${a.name}/x`, 'w').commit()).succeeded).toBe(true);
    expect(await hold.release()).toBe(true);
    expect(perhaps.lost).toBe(undefined);
    await perhaps.release();
    await (await writer).release();
    await (await behind).release();
    expect(granted).toEqual(['upgraded', 'writer', 'behind']);
    await etcd.admin.commit({ success: [{ delete: { key: `${a.name}/x` } }] });
    await vi.waitFor(async () => expect(await etcd.count(folder(a.name))).toBe(0), patience);
  });

  it('keeps readers out of an upgrade who waited behind a writer that gives up', async () => {
    const [a, b] = (await processes(2)) as [ReadWriteLock, ReadWriteLock];
    const { granted, note } = recorder();
    const perhaps = await a.upgradeable.acquire();
    const controller = new AbortController();
    const writer = b.write.acquire({ signal: controller.signal });
    await waiters(a, 1);
    const behind = note('behind', b.read.acquire());
    await waiters(a, 2);
    const hold = await note('upgraded', a.upgrade(perhaps));
    controller.abort(new Error('enough'));
    await expect(writer).rejects.toThrow('enough');
    await vi.waitFor(async () => expect(await etcd.count(`${folder(a.name)}w/`)).toBe(0), patience);
    await expect(b.read.acquire({ timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    expect(granted).toEqual(['upgraded']);
    await hold.release();
    await (await behind).release();
    expect(granted).toEqual(['upgraded', 'behind']);
    const again = await a.upgrade(perhaps);
    await perhaps.release();
    await vi.waitFor(() => expect(again.lost).toBe('released'), patience);
    await vi.waitFor(async () => expect(await etcd.count(folder(a.name))).toBe(0), patience);
  });

  it('keeps a reader out of an upgrade who is told of it before what he read arrives', async () => {
    const [a, b] = (await processes(2)) as [ReadWriteLock, ReadWriteLock];
    const arrival = deferred<void>();
    let held = 0;
    const left: string[] = [];
    const slow = (store: Store): Store =>
      override(store, {
        async commit(txn, options) {
          const reply = await store.commit(txn, options);
          if (txn.compare?.length && txn.success?.every((step) => 'range' in step)) {
            held += 1;
            await arrival.promise;
          }
          return reply;
        },
        watch: (range, listener, options) =>
          store.watch(
            range,
            {
              events(events) {
                listener.events(events);
                left.push(...events.map(({ kv }) => kv.key.toString()));
              },
              gap: (revision) => listener.gap(revision),
              closed: (error) => listener.closed(error),
            },
            options,
          ),
      });
    const late = (await etcd.connect({}, slow)).readWriteLock(a.name);
    const perhaps = await a.upgradeable.acquire();
    const controller = new AbortController();
    const writer = b.write.acquire({ signal: controller.signal });
    await waiters(a, 1);
    const reader = late.read.acquire({ timeout: 15_000 });
    await vi.waitFor(() => expect(held).toBe(1), patience);
    const hold = await a.upgrade(perhaps);
    controller.abort(new Error('enough'));
    await expect(writer).rejects.toThrow('enough');
    await vi.waitFor(() => expect(left.some((key) => key.includes('/w/'))).toBe(true), patience);
    arrival.resolve();
    const { granted, note } = recorder();
    const behind = note('behind', reader);
    await vi.waitFor(() => expect(granted.length > 0 || held > 1).toBe(true), patience);
    expect(granted).toEqual([]);
    await hold.release();
    await (await behind).release();
    await perhaps.release();
  });

  it('is upgraded once at a time, whoever shares its keys and by whichever object', async () => {
    const coordinator = await etcd.connect();
    const lock = coordinator.readWriteLock(etcd.name());
    const same = coordinator.readWriteLock(lock.name);
    const hold = await lock.upgradeable.acquire();
    const shares = [await lock.upgradeable.acquire({ within: hold }), hold.share().share()];
    for (const first of [hold, ...shares]) {
      const upgraded = await lock.upgrade(first);
      for (const each of [hold, ...shares]) {
        await expect(same.upgrade(each)).rejects.toThrow(/not upgraded/);
      }
      await upgraded.release();
    }
    const upgraded = await lock.upgrade(shares[0] as Hold);
    await shares[0]?.release();
    expect(upgraded.lost).toBe('released');
    await (await same.upgrade(hold)).release();
    await hold.release();
  });

  it('lets an upgrade be given up, which leaves all as it was', async () => {
    const [a, b] = (await processes(2)) as [ReadWriteLock, ReadWriteLock];
    await using reader = await b.read.acquire();
    const perhaps = await a.upgradeable.acquire();
    await expect(a.upgrade(perhaps, { timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    await using another = await b.read.acquire({ timeout: 15_000 });
    expect([reader.lost, another.lost, perhaps.lost]).toEqual([undefined, undefined, undefined]);
    await perhaps.release();
    await expect(a.upgrade(perhaps)).rejects.toThrow(HoldLostError);
    await expect(a.upgrade(another)).rejects.toThrow(ArgumentError);
  });

  it('ends an upgrade with the hold that was upgraded', async () => {
    const [a] = (await processes(1)) as [ReadWriteLock];
    const perhaps = await a.upgradeable.acquire();
    const hold = await a.upgrade(perhaps);
    await etcd.admin.commit({ success: [{ delete: { key: perhaps.key } }] });
    await expect(hold.txn().put('never', 'x').commit()).rejects.toThrow(HoldLostError);
    await vi.waitFor(
      () => expect(hold.signal.aborted && perhaps.signal.aborted).toBe(true),
      patience,
    );
    await vi.waitFor(async () => expect(await etcd.count(folder(a.name))).toBe(0), patience);
  });
});

describe('a hold of which another is made', () => {
  it('is not upgraded when it is given back meanwhile', async () => {
    let released: (() => unknown) | undefined;
    const releasing = (store: Store): Store =>
      override(store, {
        async commit(txn, options) {
          const reply = await store.commit(txn, options);
          const isMark = ({ key }: { readonly key?: unknown } = {}): boolean =>
            String(key).includes('/x/');
          if (txn.success?.some((step) => 'put' in step && isMark(step.put))) await released?.();
          return reply;
        },
      });
    const coordinator = await etcd.connect({}, releasing);
    const lock = coordinator.readWriteLock(etcd.name());
    const hold = await lock.upgradeable.acquire();
    released = () => hold.release();
    await expect(lock.upgrade(hold)).rejects.toThrow(HoldLostError);
    await vi.waitFor(async () => expect(await etcd.count(folder(lock.name))).toBe(0), patience);
  });

  it('is downgraded itself, and not what is within it', async () => {
    const [lock] = (await processes(1)) as [ReadWriteLock];
    const hold = await lock.write.acquire();
    const inner = await lock.write.acquire({ within: hold });
    await expect(lock.downgrade(inner)).rejects.toThrow(ArgumentError);
    expect((await lock.inspect()).holders.map(({ mode }) => mode)).toEqual(['write']);
    await lock.downgrade(hold);
    expect([inner.signal.aborted, inner.lost]).toEqual([true, 'released']);
    expect(hold.signal.aborted).toBe(false);
    await hold.release();
  });

  it('is given back as a whole where etcd refused to downgrade it', async () => {
    let isRefusing = false;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: (txn, options) =>
          isRefusing
            ? Promise.reject(new RefusedError('PERMISSION_DENIED', 'permission denied'))
            : store.commit(txn, options),
      }),
    );
    const lock = coordinator.readWriteLock(etcd.name());
    const hold = await lock.write.acquire();
    isRefusing = true;
    await expect(lock.downgrade(hold)).rejects.toThrow(RefusedError);
    isRefusing = false;
    expect(await hold.release()).toBe(true);
    expect(await etcd.count(folder(lock.name))).toBe(0);
  });
});
