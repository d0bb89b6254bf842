import { describe, expect, it, vi } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  ClosedError,
  type Hold,
  type Store,
  WaitTimeoutError,
} from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };

describe('a gate', () => {
  it('lets everybody pass while it is not raised', async () => {
    const coordinator = await etcd.connect();
    const gate = coordinator.gate(etcd.name());
    await gate.wait();
    expect(await gate.lift()).toBe(false);
    expect(await gate.inspect()).toEqual({ raised: false, owner: undefined, age: undefined });
  });

  it('has all wait until it is lifted', async () => {
    const [a, b] = [await etcd.connect({ session: { label: 'a' } }), await etcd.connect()];
    const name = etcd.name();
    expect(await a.gate(name).raise()).toBe(true);
    expect(await b.gate(name).raise()).toBe(false);
    expect(await b.gate(name).inspect()).toMatchObject({ raised: true, owner: { label: 'a' } });
    let passed = 0;
    const waiting = [a, b, b].map(async (each) => {
      await each.gate(name).wait();
      passed += 1;
    });
    await expect(b.gate(name).wait({ timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    expect(passed).toBe(0);
    expect(await b.gate(name).lift()).toBe(true);
    await Promise.all(waiting);
    expect(await etcd.count(folderOf('gate', name))).toBe(0);
  });

  it('stays raised when who raised it goes, unless it was bound to the session', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const [free, bound] = [etcd.name(), etcd.name()];
    await a.gate(free).raise();
    await a.gate(bound).raise({ bound: true });
    const waiting = b.gate(bound).wait();
    await a.close();
    await waiting;
    expect((await b.gate(free).inspect()).raised).toBe(true);
    await b.gate(free).lift();
  });

  it('is bound to the lease that a session gets after a loss', async () => {
    const coordinator = await etcd.connect();
    const { id } = coordinator.session;
    await etcd.admin.revoke(id);
    const gate = coordinator.gate(etcd.name());
    expect(await gate.raise({ bound: true })).toBe(true);
    await vi.waitFor(() => expect(coordinator.session.id).not.toBe(id), patience);
    expect((await gate.inspect()).raised).toBe(true);
    await gate.lift();
  });

  it('finds out about the lease that is gone where there are several', async () => {
    let commits = 0;
    const counted = (store: Store): Store =>
      override(store, {
        commit: (txn, options) => {
          commits += 1;
          return store.commit(txn, options);
        },
        // Nobody else is to find out first.
        watch: (range, listener, options) =>
          store.watch(range, { ...listener, events: () => {} }, options),
      });
    const coordinator = await etcd.connect({ session: { keysPerLease: 1 } }, counted);
    const { id } = coordinator.session;
    const [a, b] = [etcd.name('mutex'), etcd.name('mutex')];
    for (const name of [a, b]) await coordinator.mutex(name).acquire();
    await etcd.admin.revoke(id);
    const before = commits;
    const gate = coordinator.gate(etcd.name('gate'));
    expect(await gate.raise({ bound: true })).toBe(true);
    expect(commits - before).toBeLessThan(10);
    expect((await gate.inspect()).raised).toBe(true);
  });

  it('is bound to the session, not to one of its leases that may go back', async () => {
    const coordinator = await etcd.connect({ session: { keysPerLease: 1 } });
    const gate = coordinator.gate(etcd.name());
    const mutex = (): Promise<Hold> => coordinator.mutex(etcd.name()).acquire();
    const first = await mutex();
    const other = await mutex();
    await other.release();
    await gate.raise({ bound: true });
    const holds = [first, await mutex(), await mutex()];
    for (const hold of holds.toReversed()) await hold.release();
    await expect(gate.wait({ timeout: 100 })).rejects.toThrow(WaitTimeoutError);
    expect((await gate.inspect()).raised).toBe(true);
    await gate.lift();
  });

  it('ends a wait by its limits, or with the session', async () => {
    const coordinator = await etcd.connect();
    const gate = coordinator.gate(etcd.name());
    await gate.raise({ bound: true });
    const controller = new AbortController();
    const waiting = gate.wait({ signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    const last = gate.wait();
    await Promise.all([expect(last).rejects.toThrow(ClosedError), coordinator.close()]);
    await expect(gate.raise({ bound: 1 as unknown as boolean })).rejects.toThrow(ArgumentError);
  });
});
