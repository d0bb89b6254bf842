import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import {
  type Hold,
  type ReadWriteLock,
  RefusedError,
  type Txn,
  type TxnReply,
  WaitTimeoutError,
  type WatchEvent,
  type WatchListener,
} from '../../src/index.js';
import { compact, useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { has, noAnswer, override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };
const folder = (name: string): string => folderOf('read-write-lock', name);

async function isEmpty(lock: ReadWriteLock): Promise<void> {
  await vi.waitFor(async () => expect(await etcd.count(folder(lock.name))).toBe(0), patience);
}

describe('a downgrade', () => {
  it('leaves nothing behind when the hold is released before it is applied', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const lock = coordinator.readWriteLock(etcd.name());
    const hold = await lock.write.acquire();
    below.plan('is lost');
    const downgrade = lock.downgrade(hold);
    const settled = Promise.allSettled([downgrade, hold.release()]);
    await settled;
    await isEmpty(lock);
    const next = await (await etcd.connect()).readWriteLock(lock.name).write.acquire();
    expect(await next.release()).toBe(true);
  });

  it('that etcd refuses leaves a write hold, which is released as such', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const lock = coordinator.readWriteLock(etcd.name());
    const hold = await lock.write.acquire();
    below.plan(() => Promise.reject(new RefusedError('PERMISSION_DENIED', 'not now')));
    await expect(lock.downgrade(hold)).rejects.toThrow(RefusedError);
    expect((await lock.inspect()).holders.map(({ mode }) => mode)).toEqual(['write']);
    expect(await hold.release()).toBe(true);
    await isEmpty(lock);
  });

  it('does not lose the hold to a transaction that comes after it', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const lock = coordinator.readWriteLock(etcd.name());
    const hold = await lock.write.acquire();
    const key = `${lock.name}/x`;
    etcd.defer(() => etcd.admin.commit({ success: [{ delete: { key } }] }));
    let arrive: (() => void) | undefined;
    const late = new Promise<void>((resolve) => (arrive = resolve));
    const putsComeLate = async (txn: Txn): Promise<TxnReply> => {
      if (has('put', txn)) await late;
      return etcd.admin.commit(txn);
    };
    below.plan(putsComeLate, putsComeLate);
    const writing = hold.txn().put(key, 'x').commit();
    await lock.downgrade(hold);
    arrive?.();
    expect((await writing).succeeded).toBe(true);
    expect(hold.lost).toBe(undefined);
    expect(await hold.release()).toBe(true);
    await isEmpty(lock);
  });

  it('keeps the writers of a long line out, however they learned of it', async () => {
    const coordinator = await etcd.connect();
    const lock = coordinator.readWriteLock(etcd.name());
    const first = await lock.write.acquire();
    const all = Array.from({ length: 20 }, () => lock.write.acquire());
    await vi.waitFor(async () => expect((await lock.inspect()).waiters.length).toBe(20), patience);
    await first.release();
    let inside = 0;
    const use = async (acquired: Promise<Hold>): Promise<void> => {
      const hold = await acquired;
      inside += 1;
      expect(inside).toBe(1);
      await lock.downgrade(hold);
      await expect(lock.write.acquire({ timeout: 5 })).rejects.toThrow(WaitTimeoutError);
      inside -= 1;
      await hold.release();
    };
    await Promise.all(all.map(use));
    await isEmpty(lock);
  });
});

describe('an upgrade', () => {
  it('keeps readers out also when what an earlier one cleans up after itself comes late', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const lock = coordinator.readWriteLock(etcd.name());
    const others = (await etcd.connect()).readWriteLock(lock.name);
    const late: Txn[] = [];
    const fate = async (txn: Txn): Promise<TxnReply> => {
      const touches = (kind: 'put' | 'delete', part: string): boolean =>
        (txn.success ?? []).some(
          (step) =>
            kind in step && String(Object.values(step)[0].key).startsWith(folder(lock.name) + part),
        );
      if (touches('delete', 'a/') && !touches('put', 'x/')) {
        late.push(txn);
        return new Promise(() => {});
      }
      if (touches('put', 'x/')) {
        for (const each of late.splice(0)) {
          await etcd.admin.commit(each);
          // Who is told of that has looked before the upgrade shows.
          await delay(100);
        }
      }
      return etcd.admin.commit(txn);
    };
    const reader = await others.read.acquire();
    const hold = await lock.upgradeable.acquire();
    below.plan(...Array.from({ length: 50 }, () => fate));
    await expect(lock.upgrade(hold, { timeout: 30 })).rejects.toThrow(WaitTimeoutError);
    await vi.waitFor(() => expect(late.length).toBe(1), patience);
    await reader.release();
    const controller = new AbortController();
    const writer = others.write.acquire({ signal: controller.signal });
    await vi.waitFor(async () => expect((await others.inspect()).waiters.length).toBe(1), patience);
    let isIn = false;
    const behind = others.read.acquire().then((got) => {
      isIn = true;
      return got;
    });
    await vi.waitFor(async () => expect((await others.inspect()).waiters.length).toBe(2), patience);
    const upgraded = await lock.upgrade(hold);
    controller.abort(new Error('enough'));
    await expect(writer).rejects.toThrow('enough');
    await vi.waitFor(
      async () => expect(await etcd.count(`${folder(lock.name)}w/`)).toBe(0),
      patience,
    );
    await expect(others.read.acquire({ timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    expect(isIn).toBe(false);
    await upgraded.release();
    await (await behind).release();
    await hold.release();
  });

  it('is not waited for by a reader that was in before it, and learned so after it', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const lock = coordinator.readWriteLock(etcd.name());
    const others = (await etcd.connect()).readWriteLock(lock.name);
    const hold = await others.upgradeable.acquire();
    const { upgraded, mark } = upgrading(others, hold);
    below.plan(async (txn) => {
      await etcd.admin.commit(txn);
      await mark();
      throw noAnswer();
    });
    const reader = await lock.read.acquire(patience);
    expect((await lock.inspect()).holders.map(({ mode }) => mode)).toEqual(['upgradeable', 'read']);
    await reader.release();
    await (await upgraded()).release();
    await hold.release();
    await isEmpty(lock);
  });

  it('is not waited for by a reader who is told of it together with what let the reader in', async () => {
    const listeners: WatchListener[] = [];
    const held: WatchEvent[] = [];
    const readers = await etcd.connect({}, (store) =>
      override(store, {
        watch: (range, below, options) => {
          const events = (batch: readonly WatchEvent[]): void => void held.push(...batch);
          const gap = (revision: bigint): void => below.gap(revision);
          const closed = (error: Error): void => below.closed(error);
          const watch = store.watch(range, { events, gap, closed }, options);
          void watch.ready.then(() => listeners.push(below));
          return watch;
        },
      }),
    );
    const lock = readers.readWriteLock(etcd.name());
    const others = (await etcd.connect()).readWriteLock(lock.name);
    const writer = await others.write.acquire();
    const reading = lock.read.acquire(patience);
    await vi.waitFor(async () => expect((await others.inspect()).waiters.length).toBe(1), patience);
    await vi.waitFor(() => expect(listeners.length).toBe(1), patience);
    await writer.release();
    const hold = await others.upgradeable.acquire();
    const { upgraded, mark } = upgrading(others, hold);
    await mark();
    const told = (part: string): boolean =>
      held.some(({ kv }) => kv.key.toString().startsWith(folder(lock.name) + part));
    await vi.waitFor(() => expect(told('w/') && told('a/')).toBe(true), patience);
    for (const listener of listeners) listener.events(held);
    await (await reading).release();
    await (await upgraded()).release();
    await hold.release();
    await isEmpty(lock);
  });

  it('keeps out who waited for a writer, however late and by whatever way that is learned', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const lock = coordinator.readWriteLock(etcd.name());
    const others = (await etcd.connect()).readWriteLock(lock.name);
    const hold = await others.upgradeable.acquire();
    const controller = new AbortController();
    const writing = others.write.acquire({ signal: controller.signal });
    writing.catch(() => {});
    await vi.waitFor(async () => expect((await others.inspect()).waiters.length).toBe(1), patience);
    const { upgraded, mark } = upgrading(others, hold);
    below.plan(async (txn) => {
      await etcd.admin.commit(txn);
      await mark();
      controller.abort(new Error('enough'));
      await vi.waitFor(
        async () => expect(await etcd.count(`${folder(lock.name)}w/`)).toBe(0),
        patience,
      );
      throw noAnswer();
    });
    await expect(lock.read.acquire({ timeout: 300 })).rejects.toThrow(WaitTimeoutError);
    await expect(writing).rejects.toThrow('enough');
    await (await upgraded()).release();
    await hold.release();
    await isEmpty(lock);
  });

  it.each(['gives up', 'comes'])(
    'goes by what is true when its key is put: a writer %s',
    async (what) => {
      const { coordinator, below } = await connectFailing(etcd);
      const lock = coordinator.readWriteLock(etcd.name());
      const others = (await etcd.connect()).readWriteLock(lock.name);
      const hold = await lock.upgradeable.acquire();
      const controller = new AbortController();
      const writers = (n: number): Promise<void> =>
        vi.waitFor(
          async () => expect(await etcd.count(`${folder(lock.name)}w/`)).toBe(n),
          patience,
        );
      let writing: Promise<Hold> | undefined;
      const come = async (): Promise<void> => {
        writing = others.write.acquire(controller);
        writing.catch(() => {});
        await writers(1);
      };
      if (what === 'gives up') await come();
      const announced = async (txn: Txn): Promise<TxnReply> => {
        const reply = await etcd.admin.commit(txn);
        if (what === 'comes') await come();
        else {
          controller.abort(new Error('enough'));
          await writers(0);
        }
        return reply;
      };
      below.plan(announced);
      const upgraded = await lock.upgrade(hold, patience);
      await expect(others.read.acquire({ timeout: 50 })).rejects.toThrow(WaitTimeoutError);
      controller.abort(new Error('enough'));
      await expect(writing).rejects.toThrow('enough');
      await upgraded.release();
      await hold.release();
      await isEmpty(lock);
    },
  );

  it('whose answer was lost goes on where history is compacted', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const lock = coordinator.readWriteLock(etcd.name());
    const reader = await (await etcd.connect()).readWriteLock(lock.name).read.acquire();
    const hold = await lock.upgradeable.acquire();
    below.plan('arrives', async (txn) => {
      await etcd.admin.commit(txn);
      await etcd.admin.commit({ success: [{ put: { key: lock.name, value: '' } }] });
      await etcd.admin.commit({ success: [{ delete: { key: lock.name } }] });
      await compact(etcd.endpoint, etcd.admin);
      throw noAnswer();
    });
    const upgrade = lock.upgrade(hold, patience);
    await expect(Promise.race([upgrade, delay(100)])).resolves.toBe(undefined);
    await reader.release();
    await (await upgrade).release();
    await hold.release();
    await isEmpty(lock);
  });
});

interface Upgrading {
  /** Begins, and resolves when no reader comes in any more. */
  readonly mark: () => Promise<void>;
  readonly upgraded: () => Promise<Hold>;
}

function upgrading(lock: ReadWriteLock, hold: Hold): Upgrading {
  let begun: Promise<Hold> | undefined;
  return {
    mark: async () => {
      begun = lock.upgrade(hold, patience);
      begun.catch(() => {});
      await vi.waitFor(
        async () => expect(await etcd.count(`${folder(lock.name)}x/`)).toBe(1),
        patience,
      );
    },
    upgraded: async () => begun as Promise<Hold>,
  };
}
