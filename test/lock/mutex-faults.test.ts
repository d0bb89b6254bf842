import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import {
  type Coordinator,
  type Hold,
  HoldLostError,
  type Store,
  type TxnReply,
  WaitTimeoutError,
} from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import { compact, useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { has, noAnswer, override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 10 };

const queued = (name: string, n: number): Promise<void> =>
  vi.waitFor(async () => expect(await etcd.count(folderOf('mutex', name))).toBe(n), patience);

describe('a waiter that is cut off while history is compacted', () => {
  it.each(['before the connection is back', 'after the connection is back'])(
    'keeps its place and gets the lock released %s',
    async (when) => {
      const name = etcd.name();
      const proxy = await etcd.startProxy();
      const holder = await etcd.connect();
      const waiter = await etcd.connect({ endpoints: [proxy.endpoint] });
      const hold = await holder.mutex(name).acquire();
      const wait = waiter.mutex(name).acquire();
      await queued(name, 2);
      const [place] = (await holder.mutex(name).inspect()).waiters;

      proxy.cut();
      for (let i = 0; i < 5; i += 1) {
        await etcd.admin.commit({ success: [{ put: { key: `noise/${name}`, value: `${i}` } }] });
      }
      if (when.startsWith('before')) await hold.release();
      await etcd.admin.commit({ success: [{ delete: { key: `noise/${name}` } }] });
      await compact(etcd.endpoint, etcd.admin);
      proxy.heal();
      if (when.startsWith('after')) await hold.release();

      const next = await wait;
      expect(next.token).toBe(place?.token);
      expect(next.lost).toBe(undefined);
      expect(await next.release()).toBe(true);
    },
  );
});

it('learns that its key was deleted while it was cut off and history was compacted', async () => {
  const proxy = await etcd.startProxy();
  const coordinator = await etcd.connect({ endpoints: [proxy.endpoint] });
  const hold = await coordinator.mutex(etcd.name()).acquire();
  proxy.cut();
  await etcd.admin.commit({ success: [{ delete: { key: hold.key } }] });
  await etcd.admin.commit({ success: [{ put: { key: `noise/${hold.key}`, value: '' } }] });
  await compact(etcd.endpoint, etcd.admin);
  proxy.heal();
  await vi.waitFor(() => expect(hold.lost).toBe('deleted'), patience);
});

describe.each([2_000, 5_000])('a holder with a TTL of %i ms that falls silent', (ttl) => {
  it('is told of the loss before etcd removes its key, every time', {
    timeout: 180_000,
  }, async () => {
    /** What the hold says of itself when etcd has removed its key. */
    const round = async (): Promise<string | undefined> => {
      const proxy = await etcd.startProxy();
      const endpoints = [proxy.endpoint];
      // On a machine that is busy elsewhere the lease may come too late, or the session be lost before.
      const connect = (): Promise<Coordinator> => etcd.connect({ endpoints, session: { ttl } });
      const coordinator = await waitFor(connect, patience);
      const hold = await waitFor(() => coordinator.mutex(etcd.name()).acquire(), patience);
      const removed = new Promise<string | undefined>((resolve) => {
        const listener = {
          // Where our event loop stood still, it may read this before any timer: whoever looks learns all the same.
          events: () => resolve(hold.signal.aborted ? hold.lost : undefined),
          gap: () => {},
          closed: () => {},
        };
        const watch = etcd.admin.watch({ key: hold.key }, listener, {
          from: hold.token,
          only: 'delete',
        });
        etcd.defer(() => watch.close());
      });
      await delay(1_200 + 800 * Math.random());
      proxy.blackhole();
      const said = await removed;
      proxy.heal();
      return said;
    };
    const rounds = await Promise.all(Array.from({ length: 20 }, round));
    expect(new Set(rounds)).toEqual(new Set(['no-contact']));
  });
});

describe('a request that reaches etcd long after it was given up', () => {
  /** Connects so that the first write of a place in line gets no answer; `deliver` lets it arrive. */
  const connectWithLateWrite = async (): Promise<{
    coordinator: Coordinator;
    deliver: () => Promise<TxnReply>;
  }> => {
    let late: (() => Promise<TxnReply>) | undefined;
    const coordinator = await etcd.connect({}, (store) => {
      const commit: Store['commit'] = (txn, options) => {
        if (late || !has('put', txn)) return store.commit(txn, options);
        late = () => store.commit(txn, options);
        return Promise.reject(noAnswer());
      };
      return override(store, { commit });
    });
    return { coordinator, deliver: () => late?.() ?? Promise.reject(new Error('nothing sent')) };
  };
  it('does not bring back a lock that was released', async () => {
    const { coordinator, deliver } = await connectWithLateWrite();
    const mutex = coordinator.mutex(etcd.name());
    const hold = await mutex.acquire();
    expect(await hold.release()).toBe(true);
    expect((await deliver()).succeeded).toBe(false);
    expect((await mutex.inspect()).holder).toBe(undefined);
    expect(await (await mutex.acquire()).release()).toBe(true);
  });

  it('does not bring back a place that was given up', async () => {
    const { coordinator, deliver } = await connectWithLateWrite();
    const mutex = coordinator.mutex(etcd.name());
    const blocker = await (await etcd.connect()).mutex(mutex.name).acquire();
    await expect(mutex.acquire({ timeout: 200 })).rejects.toThrow(WaitTimeoutError);
    await queued(mutex.name, 1);
    expect((await deliver()).succeeded).toBe(false);
    await blocker.release();
    expect((await mutex.inspect()).holder).toBe(undefined);
  });

  it.each<[string, (hold: Hold) => Promise<unknown>]>([
    ['is told of it', (hold) => vi.waitFor(() => expect(hold.lost).toBe('deleted'), patience)],
    ['releases it', (hold) => hold.release()],
  ])(
    'does not bring back for long a lock whose key somebody deleted, once its holder %s',
    async (_, learn) => {
      const { coordinator, deliver } = await connectWithLateWrite();
      const mutex = coordinator.mutex(etcd.name());
      const hold = await mutex.acquire();
      await etcd.admin.commit({ success: [{ delete: { key: hold.key } }] });
      await deliver();
      await learn(hold);
      await queued(mutex.name, 0);
      expect((await deliver()).succeeded).toBe(false);
    },
  );

  it('does not take the lock for a try that lost', async () => {
    const { coordinator, deliver } = await connectWithLateWrite();
    const mutex = coordinator.mutex(etcd.name());
    const blocker = await (await etcd.connect()).mutex(mutex.name).acquire();
    expect(await mutex.tryAcquire()).toBe(undefined);
    await blocker.release();
    await expect.poll(async () => (await deliver()).succeeded).toBe(false);
    expect((await mutex.inspect()).holder).toBe(undefined);
  });
});

describe('a release without an answer', () => {
  it('counts where the key is gone and the lease is not', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const hold = await coordinator.mutex(etcd.name()).acquire();
    below.plan('loses its reply');
    expect(await hold.release()).toBe(true);
  });

  it('does not where the key may have gone with the lease', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const hold = await coordinator.mutex(etcd.name()).acquire();
    below.plan(async () => {
      await etcd.admin.revoke(coordinator.session.id);
      throw noAnswer();
    });
    expect(await hold.release()).toBe(false);
  });
});

describe('an event loop that stands still past the deadline', () => {
  const standStill = (ms: number): void => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  };

  it('finds the signal aborted in the first code that runs again', async () => {
    const coordinator = await etcd.connect({ session: { ttl: 2_000 } });
    const { signal, key } = await coordinator.mutex(etcd.name()).acquire();
    // This timer is due long before ours; it runs first.
    const seen = new Promise<boolean>((resolve) => {
      setTimeout(() => resolve(signal.aborted), 10);
    });
    standStill(1_700);
    expect(signal.aborted).toBe(true);
    expect(await seen).toBe(true);
    expect(() => signal.throwIfAborted()).toThrow(HoldLostError);
    expect(signal.reason).toMatchObject({
      reason: 'no-contact',
      message: expect.stringContaining(key),
    });
  });

  it('has a guarded transaction refused without a word to etcd', async () => {
    const coordinator = await etcd.connect({ session: { ttl: 2_000 } });
    const hold = await coordinator.mutex(etcd.name()).acquire();
    standStill(1_700);
    const key = `never/${hold.key}`;
    await expect(hold.txn().put(key, 'written').commit()).rejects.toThrow(HoldLostError);
    expect(await etcd.count(key)).toBe(0);
  });
});
