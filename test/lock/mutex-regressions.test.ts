import { describe, expect, it, vi } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { FaultProxy } from '../../src/embed/index.js';
import {
  type Coordinator,
  Etcd3Store,
  type Hold,
  HoldLostError,
  type Mutex,
  RefusedError,
  SessionLostError,
  type Store,
  type TxnReply,
  UnavailableError,
  WaitTimeoutError,
  type Watch,
} from '../../src/index.js';
import { compact, useEtcd } from '../support/etcd.js';
import { has, noAnswer, override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 10 };

const queued = (name: string, n: number): Promise<void> =>
  vi.waitFor(async () => expect(await etcd.count(folderOf('mutex', name))).toBe(n), patience);
const remove = (key: string): Promise<TxnReply> =>
  etcd.admin.commit({ success: [{ delete: { key } }] });
const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('when the fence of a session was raised', () => {
  interface Fenced {
    readonly coordinator: Coordinator;
    /** Leaves a put unanswered and has it withdrawn, which raises the fence behind everybody's back. */
    readonly raise: () => Promise<void>;
    /** How many commits were sent. */
    readonly sent: () => number;
  }

  const connectFenced = async (): Promise<Fenced> => {
    let losing = false;
    let sent = 0;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: (txn, options) => {
          sent += 1;
          if (!losing || !has('put', txn) || has('delete', txn)) return store.commit(txn, options);
          losing = false;
          return Promise.reject(noAnswer());
        },
      }),
    );
    const other = await etcd.connect();
    const key = `.etcd-recipes/session/${coordinator.session.id.toString(16)}`;
    let raised = 0n;
    const raise = async (): Promise<void> => {
      const name = etcd.name();
      const blocker = await other.mutex(name).acquire();
      losing = true;
      await expect(coordinator.mutex(name).acquire({ timeout: 200 })).rejects.toThrow(
        WaitTimeoutError,
      );
      await vi.waitFor(async () => {
        const { kvs } = await etcd.admin.read({ key });
        expect(kvs[0]?.version).toBeGreaterThan(raised);
        raised = kvs[0]?.version ?? 0n;
      }, patience);
      await blocker.release();
    };
    return { coordinator, raise, sent: () => sent };
  };

  const expectTrue = async (hold: Hold): Promise<void> => {
    expect(hold.token).toBeGreaterThan(0n);
    const { kvs } = await etcd.admin.read({ key: hold.key });
    expect(kvs[0]?.createRevision).toBe(hold.token);
    expect(hold.lost).toBe(undefined);
  };

  it('grants nothing without a key to many who ask at once, and what is free to all of them', async () => {
    const { coordinator, raise } = await connectFenced();
    const other = await etcd.connect();
    const taken = etcd.name();
    const theirs = await other.mutex(taken).acquire();
    for (let round = 0; round < 4; round += 1) {
      await raise();
      if (round % 2 === 1) await raise();
      const free = Array.from({ length: 6 }, () => etcd.name());
      const shared = etcd.name();
      let inside = 0;
      const section = async (hold: Hold): Promise<void> => {
        inside += 1;
        expect(inside).toBe(1);
        await expectTrue(hold);
        inside -= 1;
      };
      const [timedOut, tried, tries, holds] = await Promise.all([
        Promise.all(
          [1, 2, 3].map(() => rejection(coordinator.mutex(taken).acquire({ timeout: 300 }))),
        ),
        Promise.all([1, 2, 3].map(() => coordinator.mutex(taken).tryAcquire())),
        Promise.all(free.slice(0, 3).map((name) => coordinator.mutex(name).tryAcquire())),
        Promise.all(free.slice(3).map((name) => coordinator.mutex(name).acquire())),
        Promise.all([1, 2, 3, 4].map(() => coordinator.mutex(shared).run(section))),
      ]);
      for (const error of timedOut) expect(error).toBeInstanceOf(WaitTimeoutError);
      expect(tried).toEqual([undefined, undefined, undefined]);
      for (const hold of [...tries, ...holds]) {
        if (!hold) throw new Error('a free lock was not given');
        await expectTrue(hold);
        expect(await hold.release()).toBe(true);
      }
      await queued(taken, 1);
    }
    expect(theirs.lost).toBe(undefined);
    expect(await theirs.release()).toBe(true);
  });

  it('learns at once, and asks no more than it must, that the lease was revoked', async () => {
    const { coordinator, raise, sent } = await connectFenced();
    await raise();
    const mutex = coordinator.mutex(etcd.name());
    await (await mutex.acquire()).release();
    await etcd.admin.revoke(coordinator.session.id);
    const before = sent();
    const [acquired, tried] = [mutex.acquire(), mutex.tryAcquire()];
    await expect(acquired).rejects.toThrow(SessionLostError);
    await expect(tried).rejects.toThrow(SessionLostError);
    expect(sent() - before).toBeLessThan(10);
  });

  it('goes on where somebody deleted its key', async () => {
    const { coordinator, raise } = await connectFenced();
    const mutex = coordinator.mutex(etcd.name());
    await raise();
    await (await mutex.acquire()).release();
    await remove(`.etcd-recipes/session/${coordinator.session.id.toString(16)}`);
    await expectTrue(await mutex.acquire({ timeout: 60_000 }));
  });

  it('gives one of many tries the free lock', async () => {
    const { coordinator, raise } = await connectFenced();
    await raise();
    const name = etcd.name();
    const tries = await Promise.all(
      Array.from({ length: 10 }, () => coordinator.mutex(name).tryAcquire()),
    );
    const holds = tries.filter((hold) => hold !== undefined);
    expect(holds.length).toBe(1);
    for (const hold of holds) await expectTrue(hold);
    await queued(name, 1);
  });
});

describe('a place whose answer was lost', () => {
  /** Calls `between` after the first put was applied, whose answer is lost, or after it was found again. */
  const connectLossy = (
    when: 'before the retry' | 'after the retry',
    between: (key: string) => Promise<unknown>,
  ): Promise<Coordinator> => {
    let puts = 0;
    return etcd.connect({}, (store) =>
      override(store, {
        commit: async (txn, options) => {
          const put = txn.success?.find((step) => 'put' in step);
          const key = put && 'put' in put ? String(put.put.key) : '';
          if (!key.startsWith('mutex/')) return store.commit(txn, options);
          puts += 1;
          const reply = await store.commit(txn, options);
          if (puts === (when === 'before the retry' ? 1 : 2)) await between(key);
          if (puts === 1) throw noAnswer();
          return reply;
        },
      }),
    );
  };

  it('rejects when its key was found again and is deleted before anything else is known', async () => {
    const coordinator = await connectLossy('after the retry', remove);
    const name = etcd.name();
    await expect(coordinator.mutex(name).acquire()).rejects.toThrow(HoldLostError);
    await queued(name, 0);
    expect(coordinator.session.state).toBe('open');
  });

  it('is taken anew, with its own revision, when its key was deleted before the retry', async () => {
    let lost = 0n;
    const coordinator = await connectLossy('before the retry', async (key) => {
      lost = (await remove(key)).revision;
    });
    const name = etcd.name();
    const hold = await coordinator.mutex(name).acquire();
    expect(hold.token).toBeGreaterThan(lost);
    const { kvs } = await etcd.admin.read({ key: hold.key });
    expect(kvs[0]?.createRevision).toBe(hold.token);
    expect(await hold.release()).toBe(true);
    await queued(name, 0);
  });
});

describe('a line whose watch lags behind', () => {
  it('does not take the key that is ahead for the one of the same name that left before', async () => {
    const proxy = await FaultProxy.start(etcd.endpoint);
    etcd.defer(() => proxy.close());
    const lagging = new Etcd3Store({ endpoints: [proxy.endpoint] });
    etcd.defer(() => lagging.close());
    const watches: Watch[] = [];
    let deletions = 0;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        watch: (range, listener, options) => {
          const counting = {
            events: (events: Parameters<typeof listener.events>[0]) => {
              deletions += events.length;
              listener.events(events);
            },
            gap: (revision: bigint) => listener.gap(revision),
            closed: (error: Error) => listener.closed(error),
          };
          const watch = lagging.watch(range, counting, options);
          watches.push(watch);
          return watch;
        },
      }),
    );
    const name = etcd.name();
    const mutex = coordinator.mutex(name, { layout: 'go' });
    // A Go session uses one key for a lock, however often it takes it.
    const theirs = `${name}/694d9a0b1c2d3e4f`;
    const put = { put: { key: theirs, value: '' } };
    await etcd.admin.commit({ success: [put] });
    const controller = new AbortController();
    const warm = rejection(mutex.acquire({ signal: controller.signal }));
    await vi.waitFor(() => expect(watches.length).toBe(1), patience);
    await watches[0]?.ready;
    controller.abort(new Error('enough'));
    await warm;
    await vi.waitFor(async () => expect(await etcd.count(`${name}/`)).toBe(1), patience);
    await vi.waitFor(() => expect(watches[0]?.since).toBeDefined(), patience);

    proxy.blackhole('to-client');
    await remove(theirs);
    const { revision } = await etcd.admin.commit({ success: [put] });
    let granted: Hold | undefined;
    const wait = mutex.acquire().then((hold) => {
      granted = hold;
      return hold;
    });
    await vi.waitFor(async () => expect(await etcd.count(`${name}/`)).toBe(2), patience);
    const before = deletions;
    proxy.heal();
    await vi.waitFor(() => expect(deletions).toBeGreaterThan(before), patience);
    expect((await mutex.inspect()).holder?.token).toBe(revision);
    expect(granted).toBe(undefined);

    await remove(theirs);
    const hold = await wait;
    expect(hold.token).toBeGreaterThan(revision);
    expect((await mutex.inspect()).holder?.key).toBe(hold.key);
    expect(await hold.release()).toBe(true);
  });
});

describe('history compacted exactly at the revision that comes next', () => {
  /** An etcd of its own, where nobody else makes revisions, and a connection to it that can be cut. */
  const setUp = async (): Promise<{
    endpoint: string;
    proxy: FaultProxy;
    admin: Etcd3Store;
    watches: Watch[];
    connect: (through: string) => Promise<Coordinator>;
  }> => {
    const endpoint = await etcd.startOwn();
    const proxy = await FaultProxy.start(endpoint);
    etcd.defer(() => proxy.close());
    const admin = new Etcd3Store({ endpoints: [endpoint] });
    etcd.defer(() => admin.close());
    const watches: Watch[] = [];
    const connect = (through: string): Promise<Coordinator> =>
      etcd.connect({ endpoints: [through] }, (store) =>
        override(store, {
          watch: (...args) => {
            const watch = store.watch(...args);
            if (through === proxy.endpoint) watches.push(watch);
            return watch;
          },
        }),
      );
    return { endpoint, proxy, admin, watches, connect };
  };
  const ready = async (watches: Watch[]): Promise<void> => {
    await vi.waitFor(() => expect(watches.length).toBe(1), patience);
    await watches[0]?.ready;
  };

  it('does not hide a release from a waiter that was cut off', { timeout: 180_000 }, async () => {
    const { endpoint, proxy, admin, watches, connect } = await setUp();
    const holder = await connect(endpoint);
    const waiter = await connect(proxy.endpoint);
    const hold = await holder.mutex('m').acquire();
    const wait = waiter.mutex('m').acquire();
    await ready(watches);
    const place = (await holder.mutex('m').inspect()).waiters[0]?.token ?? 0n;
    proxy.cut();
    expect(await hold.release()).toBe(true);
    const { revision } = await admin.read({ key: 'x' });
    expect(revision).toBe(place + 1n);
    await compact(endpoint, admin);
    proxy.heal();
    const next = await wait;
    expect(next.token).toBe(place);
    expect(await next.release()).toBe(true);
  });

  it('does not hide a deletion from a holder that was cut off', { timeout: 180_000 }, async () => {
    const { endpoint, proxy, admin, watches, connect } = await setUp();
    const coordinator = await connect(proxy.endpoint);
    const hold = await coordinator.mutex('m').acquire();
    await ready(watches);
    proxy.cut();
    const { revision } = await admin.commit({ success: [{ delete: { key: hold.key } }] });
    expect(revision).toBe(hold.token + 1n);
    await compact(endpoint, admin);
    proxy.heal();
    await vi.waitFor(() => expect(hold.lost).toBe('deleted'), patience);
  });
});

describe('when etcd refuses that a key is deleted', () => {
  /** Connects so that the next `n` deletions are refused. */
  const connectRefused = async (): Promise<{
    coordinator: Coordinator;
    refuse: (n: number) => void;
    left: () => number;
  }> => {
    let left = 0;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: (txn, options) => {
          if (left === 0 || !has('delete', txn)) return store.commit(txn, options);
          left -= 1;
          const error = new RefusedError('PERMISSION_DENIED', 'etcdserver: permission denied');
          return Promise.reject(error);
        },
      }),
    );
    const refuse = (n: number): void => {
      left = n;
    };
    return { coordinator, refuse, left: () => left };
  };

  it('gets rid of the place of a waiter that gave up in the end', async () => {
    const name = etcd.name();
    const { coordinator, refuse, left } = await connectRefused();
    const hold = await (await etcd.connect()).mutex(name).acquire();
    refuse(5);
    await expect(coordinator.mutex(name).acquire({ timeout: 100 })).rejects.toThrow(
      WaitTimeoutError,
    );
    await queued(name, 1);
    expect(left()).toBe(0);
    expect(coordinator.session.state).toBe('open');
    expect(await hold.release()).toBe(true);
    expect(await (await coordinator.mutex(name).acquire()).release()).toBe(true);
  });

  it('says so when a lock is released, and gets rid of it in the end', async () => {
    const name = etcd.name();
    const { coordinator, refuse, left } = await connectRefused();
    const hold = await coordinator.mutex(name).acquire();
    const next = (await etcd.connect()).mutex(name).acquire();
    await queued(name, 2);
    refuse(5);
    await expect(hold.release()).rejects.toThrow(RefusedError);
    await expect(hold.release()).rejects.toThrow(RefusedError);
    expect(await (await next).release()).toBe(true);
    await queued(name, 0);
    expect(left()).toBe(0);
    expect(coordinator.session.state).toBe('open');
  });

  it('does not use the name again while the key may be there', async () => {
    const name = etcd.name();
    const { coordinator, refuse } = await connectRefused();
    const hold = await coordinator.mutex(name).acquire();
    refuse(3);
    await expect(hold.release()).rejects.toThrow(RefusedError);
    const next = await coordinator.mutex(name).acquire();
    expect(next.key).not.toBe(hold.key);
    expect(next.lost).toBe(undefined);
    expect(await next.release()).toBe(true);
    await queued(name, 0);
  });
});

it('does not keep the place of a waiter that gives up while its look is stuck', async () => {
  const name = etcd.name();
  let stuck = 0;
  const coordinator = await etcd.connect({}, (store) =>
    override(store, {
      commit: (txn, options) => {
        if (has('put', txn) || has('delete', txn)) return store.commit(txn, options);
        stuck += 1;
        return new Promise(() => {});
      },
    }),
  );
  const hold = await (await etcd.connect()).mutex(name).acquire();
  const controller = new AbortController();
  const reason = new Error('enough');
  const wait = rejection(coordinator.mutex(name).acquire({ signal: controller.signal }));
  await vi.waitFor(() => expect(stuck).toBe(1), patience);
  await queued(name, 2);
  controller.abort(reason);
  expect(await wait).toBe(reason);
  await queued(name, 1);
  expect(await hold.release()).toBe(true);
});

describe('the names of keys', () => {
  /** Records the names that are written in the folder of a mutex. */
  const recordNames = async (mutex: Mutex): Promise<string[]> => {
    const names: string[] = [];
    const watch = etcd.admin.watch(
      prefixRange(folderOf('mutex', mutex.name)),
      {
        events: (events) => names.push(...events.map(({ kv }) => kv.key.toString())),
        gap: () => {},
        closed: () => {},
      },
      { only: 'put' },
    );
    etcd.defer(() => watch.close());
    await watch.ready;
    return names;
  };

  it('are one for a session that takes a lock again and again', async () => {
    const mutex = (await etcd.connect()).mutex(etcd.name());
    const names = await recordNames(mutex);
    let token = 0n;
    for (let i = 0; i < 50; i += 1) {
      const hold = (await (i % 2 === 0 ? mutex.acquire() : mutex.tryAcquire())) as Hold;
      expect(hold.token).toBeGreaterThan(token);
      token = hold.token;
      expect(await hold.release()).toBe(true);
    }
    await vi.waitFor(() => expect(names.length).toBe(50), patience);
    expect(new Set(names).size).toBe(1);
  });

  it('are no more than there are contenders at a time', async () => {
    const mutex = (await etcd.connect()).mutex(etcd.name());
    const names = await recordNames(mutex);
    const contend = async (): Promise<void> => {
      for (let i = 0; i < 10; i += 1) await mutex.run(() => {});
    };
    await Promise.all([1, 2, 3].map(contend));
    await vi.waitFor(() => expect(names.length).toBe(30), patience);
    expect(new Set(names).size).toBeLessThanOrEqual(3);
  });

  /** Connects so that the next deletion gets no answer; `deliver` lets it arrive. */
  const connectWithLateDeletion = async (): Promise<{
    coordinator: Coordinator;
    lose: () => void;
    deliver: () => Promise<TxnReply>;
  }> => {
    let losing = false;
    let late: (() => Promise<TxnReply>) | undefined;
    const coordinator = await etcd.connect({}, (store: Store) =>
      override(store, {
        commit: (txn, options) => {
          if (!losing || !has('delete', txn)) return store.commit(txn, options);
          losing = false;
          late = () => store.commit(txn);
          return Promise.reject(noAnswer());
        },
      }),
    );
    const lose = (): void => {
      losing = true;
    };
    return {
      coordinator,
      lose,
      deliver: () => late?.() ?? Promise.reject(new Error('nothing sent')),
    };
  };

  it('are not used again after a deletion without an answer, which may come later', async () => {
    const name = etcd.name();
    const { coordinator, lose, deliver } = await connectWithLateDeletion();
    const mutex = coordinator.mutex(name);
    const names = await recordNames(mutex);
    const blocker = await (await etcd.connect()).mutex(name).acquire();
    lose();
    await expect(mutex.acquire({ timeout: 100 })).rejects.toThrow(WaitTimeoutError);
    await queued(name, 1);
    await blocker.release();
    const holds: Hold[] = [];
    for (let i = 0; i < 3; i += 1) {
      const hold = await mutex.acquire();
      holds.push(hold);
      await deliver();
      const { kvs } = await etcd.admin.read({ key: hold.key });
      expect(kvs[0]?.createRevision).toBe(hold.token);
      expect(await hold.release()).toBe(true);
    }
    // The blocker's, the one given up, and those after it.
    const abandoned = names.find((key) => key !== blocker.key);
    expect(holds.map(({ key }) => key)).not.toContain(abandoned);
  });

  it('may be used again after a release without an answer, which cannot hurt a later hold', async () => {
    const { coordinator, lose, deliver } = await connectWithLateDeletion();
    const mutex = coordinator.mutex(etcd.name());
    const first = await mutex.acquire();
    lose();
    expect(await first.release()).toBe(true);
    const second = await mutex.acquire();
    expect((await deliver()).succeeded).toBe(false);
    const { kvs } = await etcd.admin.read({ key: second.key });
    expect(kvs[0]?.createRevision).toBe(second.token);
    expect(second.lost).toBe(undefined);
    expect(await second.release()).toBe(true);
  });

  it('are not used again after a try whose put stayed without an answer', async () => {
    const name = etcd.name();
    let lost: (() => Promise<TxnReply>) | undefined;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: (txn, options) => {
          if (lost || !has('put', txn)) return store.commit(txn, options);
          lost = () => store.commit(txn);
          return Promise.reject(noAnswer());
        },
      }),
    );
    const blocker = await (await etcd.connect()).mutex(name).acquire();
    const mutex = coordinator.mutex(name);
    expect(await mutex.tryAcquire()).toBe(undefined);
    await blocker.release();
    const next = await mutex.acquire();
    await expect.poll(async () => (await lost?.())?.succeeded).toBe(false);
    expect(next.lost).toBe(undefined);
    expect(await next.release()).toBe(true);
    await queued(name, 0);
  });
});

it('rejects a release that the store gave up only when the session is over', async () => {
  let answers = true;
  const coordinator = await etcd.connect({}, (store) =>
    override(store, {
      commit: (txn, options) => (answers ? store.commit(txn, options) : Promise.reject(noAnswer())),
    }),
  );
  const hold = await coordinator.mutex(etcd.name()).acquire();
  answers = false;
  const released = hold.release();
  await expect(hold.txn().put('never', '').commit()).rejects.toThrow(HoldLostError);
  await coordinator.session.close();
  expect(await released).toBe(false);
  await expect(coordinator.store.commit({})).rejects.toThrow(UnavailableError);
});
