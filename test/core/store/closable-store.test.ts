import { describe, expect, it, vi } from 'vitest';
import { ClosableStore } from '../../../src/core/store/closable-store.js';
import { ClosedError, type Store, type WatchEvent } from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { useEtcd } from '../../support/etcd.js';
import { override } from '../../support/override.js';

const etcd = useEtcd();

/** What a listener is told. */
function listening(): {
  readonly events: WatchEvent[];
  readonly ends: Error[];
  readonly listener: Parameters<Store['watch']>[1];
} {
  const events: WatchEvent[] = [];
  const ends: Error[] = [];
  const listener = {
    events: (some: readonly WatchEvent[]) => events.push(...some),
    gap: () => {},
    closed: (error: Error) => ends.push(error),
  };
  return { events, ends, listener };
}

describe('a store that is closed before the one below it', () => {
  it('rejects pending calls at once, and those that come', async () => {
    const silent = (): Promise<never> => new Promise(() => {});
    const closable = new ClosableStore(
      override(etcd.admin, { read: silent, commit: silent, grant: silent, health: silent }),
    );
    const pending = [
      closable.read({ key: 'k' }),
      closable.commit({}),
      closable.grant(1n, 1_000),
      closable.health(),
    ].map((call) => rejection(call));
    closable.close();
    for (const error of await Promise.all(pending)) expect(error).toBeInstanceOf(ClosedError);
    expect(await rejection(closable.read({ key: 'k' }))).toBeInstanceOf(ClosedError);
    expect(() => closable.watch({ key: 'k' }, listening().listener)).toThrow(ClosedError);
  });

  it('ends watches at once, also those that are being set, and tells them nothing more', async () => {
    const key = etcd.name();
    const closable = new ClosableStore(etcd.admin);
    const one = listening();
    const other = listening();
    const watch = closable.watch({ key }, one.listener);
    await watch.ready;
    expect(watch.since).toBeGreaterThan(0n);
    const young = closable.watch({ key: `${key}/young` }, other.listener);
    closable.close();
    await expect(young.ready).rejects.toThrow(ClosedError);
    for (const { ends } of [one, other]) {
      expect(ends.length).toBe(1);
      expect(ends[0]).toBeInstanceOf(ClosedError);
    }
    const control = listening();
    const still = etcd.admin.watch({ key }, control.listener);
    await still.ready;
    await etcd.admin.commit({ success: [{ put: { key, value: '' } }] });
    await etcd.admin.commit({ success: [{ delete: { key } }] });
    await vi.waitFor(() => expect(control.events.length).toBe(2));
    still.close();
    expect([one.events, other.events]).toEqual([[], []]);
  });

  it('does not tell a watch that was closed before, by its user or by etcd', async () => {
    const mine = listening();
    const refused = listening();
    let refuse: (error: Error) => void = () => {};
    const closable = new ClosableStore(
      override(etcd.admin, {
        watch: (range, listener, options) => {
          refuse = (error) => listener.closed(error);
          return etcd.admin.watch(range, listener, options);
        },
      }),
    );
    closable.watch({ key: etcd.name() }, mine.listener).close();
    const watch = closable.watch({ key: etcd.name() }, refused.listener);
    const reason = new Error('refused');
    refuse(reason);
    closable.close();
    watch.close();
    await Promise.resolve();
    expect([mine.ends, refused.ends]).toEqual([[], [reason]]);
  });
});
