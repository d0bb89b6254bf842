import { expect, it } from 'vitest';
import { keyId } from '../../../src/core/store/keys.js';
import type { Store, WatchListener } from '../../../src/index.js';
import { waitFor } from '../../../src/testing/index.js';
import { useEtcd } from '../../support/etcd.js';
import { noAnswer, override } from '../../support/override.js';

const etcd = useEtcd();
const waiters = 40;
const patience = { timeout: 60_000 };

/** Counts those who look at a line at the same time. */
function countLooks(store: Store) {
  const joined = new Set<string>();
  const listeners: WatchListener[] = [];
  const seen = { total: 0, now: 0, most: 0, losesAnswers: false, listeners, joined };
  const commit: Store['commit'] = async (txn, options) => {
    const put = txn.success?.find((step) => 'put' in step);
    if (put && 'put' in put) {
      const reply = await store.commit(txn, options);
      const key = keyId(put.put.key);
      const isFirst = !joined.has(key);
      joined.add(key);
      if (isFirst && seen.losesAnswers) throw noAnswer();
      return reply;
    }
    if (!txn.success?.some((step) => 'range' in step && step.range.limit)) {
      return store.commit(txn, options);
    }
    seen.total += 1;
    seen.now += 1;
    seen.most = Math.max(seen.most, seen.now);
    try {
      return await store.commit(txn, options);
    } finally {
      seen.now -= 1;
    }
  };
  const watch: Store['watch'] = (range, listener, options) => {
    listeners.push(listener);
    return store.watch(range, listener, options);
  };
  return { seen, store: override(store, { commit, watch }) };
}

it.each(['watches break', 'answers are lost'])(
  'where %s, those who wait look at their line a few at a time',
  async (what) => {
    const name = etcd.name('mutex');
    let seen: ReturnType<typeof countLooks>['seen'] | undefined;
    const coordinator = await etcd.connect({}, (store) => {
      const counting = countLooks(store);
      seen = counting.seen;
      return counting.store;
    });
    const counted = seen as NonNullable<typeof seen>;
    const mutex = coordinator.mutex(name);
    const first = await mutex.acquire();
    counted.losesAnswers = what === 'answers are lost';
    const order: bigint[] = [];
    const waits = Array.from({ length: waiters }, () =>
      mutex.run(({ token }) => {
        order.push(token);
      }),
    );
    await waitFor(() => counted.joined.size > waiters, patience);
    if (what === 'watches break') {
      counted.total = 0;
      for (const listener of counted.listeners) listener.gap(0n);
    }
    await waitFor(() => counted.total >= waiters, patience);
    expect(counted.most).toBeLessThanOrEqual(4);
    await first.release();
    await Promise.all(waits);
    expect(order).toEqual(order.toSorted((a, b) => Number(a - b)));
  },
);
