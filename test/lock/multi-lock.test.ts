import { describe, expect, it, vi } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import { ArgumentError, type Coordinator, HoldLostError, MultiLock } from '../../src/index.js';
import { holdSuite } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { runCases } from '../support/run-cases.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };
const queued = async (coordinator: Coordinator, name: string): Promise<number> =>
  (await coordinator.mutex(name).inspect()).waiters.length;

describe('a lock on several names', () => {
  runCases(
    holdSuite({
      admin: etcd.admin,
      folder: (name) => folderOf('mutex', `${name}/b`),
      connect: () => etcd.connect(),
      make: (coordinator, name) => coordinator.multiLock([`${name}/a`, `${name}/b`, `${name}/c`]),
    }),
  );

  it('is all of these mutexes, to whoever uses one of them', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const [x, y] = [etcd.name(), etcd.name()];
    const hold = await a.multiLock([x, y]).acquire();
    expect(await b.mutex(x).tryAcquire()).toBe(undefined);
    expect(await b.mutex(y).tryAcquire()).toBe(undefined);
    const waiting = b.mutex(y).acquire();
    await vi.waitFor(async () => expect(await queued(a, y)).toBe(1), patience);
    expect(await hold.release()).toBe(true);
    await using next = await waiting;
    expect(next.token).toBeGreaterThan(hold.token);
    expect(await a.multiLock([y, x]).tryAcquire()).toBe(undefined);
    expect((await a.mutex(x).inspect()).holder).toBe(undefined);
  });

  it('waits in all lines, and holds nothing before it holds all', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const [x, y] = [etcd.name(), etcd.name()];
    const [one, other] = [await a.mutex(x).acquire(), await a.mutex(y).acquire()];
    const waiting = b.multiLock([x, y]).acquire();
    await vi.waitFor(async () => expect(await queued(a, y)).toBe(1), patience);
    await one.release();
    expect(await a.mutex(x).tryAcquire()).toBe(undefined);
    await other.release();
    await using hold = await waiting;
    expect(hold.lost).toBe(undefined);
  });

  it('leaves what is acquired next alone, when what was lost is released at once', async () => {
    const coordinator = await etcd.connect();
    const lock = coordinator.multiLock([etcd.name(), etcd.name()]);
    const lost = await lock.acquire();
    const { signal } = lost;
    const told = new Promise((resolve) => signal.addEventListener('abort', resolve));
    await etcd.admin.commit({ success: [{ delete: { key: lost.key } }] });
    await told;
    await lost.release();
    const hold = await lock.acquire();
    const waits = [lock.acquire(), lock.acquire()];
    await vi.waitFor(async () => {
      expect(await queued(coordinator, lock.names[0] as string)).toBe(2);
    }, patience);
    const keys = await Promise.all(
      [hold, ...waits].map(async (each) => {
        const { key, token } = await each;
        const { kvs } = await etcd.admin.read({ key });
        expect(kvs[0]?.createRevision).toBe(token);
        expect(await (await each).release()).toBe(true);
        return key;
      }),
    );
    expect(new Set(keys).size).toBe(3);
  });

  it('has no two wait for one another, whatever the order of the names', async () => {
    const names = Array.from({ length: 4 }, () => etcd.name());
    const all = await Promise.all(Array.from({ length: 4 }, () => etcd.connect()));
    let held = 0;
    const work = all.flatMap((coordinator, i) =>
      Array.from({ length: 10 }, async (_, k) => {
        const some = names.filter((_name, n) => (i + k + n) % 3 !== 0);
        const order = k % 2 ? some : some.toReversed();
        await coordinator.multiLock(order).run(async (hold) => {
          held += 1;
          expect(
            (
              await hold
                .txn()
                .put(names[0] as string, 'x')
                .commit()
            ).succeeded,
          ).toBe(true);
        });
      }),
    );
    await Promise.all(work);
    expect(held).toBe(40);
    await etcd.admin.commit({ success: [{ delete: { key: names[0] as string } }] });
  });

  it('is lost when one of its keys is deleted, and gives the others up', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const [x, y] = [etcd.name(), etcd.name()];
    const hold = await a.multiLock([x, y]).acquire();
    const key = (await b.mutex(y).inspect()).holder?.key ?? '';
    await etcd.admin.commit({ success: [{ delete: { key } }] });
    await vi.waitFor(() => expect(hold.signal.aborted).toBe(true), patience);
    expect(hold.lost).toBe('deleted');
    await expect(hold.txn().put('k', 'v').commit()).rejects.toThrow(HoldLostError);
    await (await b.mutex(x).acquire({ timeout: 15_000 })).release();
  });

  it('gives up all its places when the wait ends', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const [x, y] = [etcd.name(), etcd.name()];
    await using hold = await a.mutex(y).acquire();
    await expect(b.multiLock([x, y]).acquire({ timeout: 30 })).rejects.toThrow(/multi-lock/);
    await vi.waitFor(async () => expect(await queued(a, y)).toBe(0), patience);
    await (await a.mutex(x).acquire({ timeout: 15_000 })).release();
    expect(hold.lost).toBe(undefined);
  });

  it('refuses lists that are none', async () => {
    const coordinator = await etcd.connect();
    for (const names of [[], [''], 'name', Array.from({ length: 61 }, (_, i) => `n${i}`)]) {
      expect(() => coordinator.multiLock(names as string[])).toThrow(ArgumentError);
    }
    expect(new MultiLock(coordinator.session, ['a', 'b', 'a']).names).toEqual(['a', 'b']);
  });
});
