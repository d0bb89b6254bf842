import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { Coordinator, Hold, WaitOptions } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { startMeter } from '../support/meter.js';
import { override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 120_000, interval: 20 };
/** A slow etcd is waited for: what is asked twice, or lost, would be counted. */
const unhurried = { attemptTimeout: 60_000, timeout: 60_000, session: { ttl: 120_000 } };
const processes = 4;
const handOffs = 10;

type Acquire = (
  coordinator: Coordinator,
  name: string,
  i: number,
  wait: WaitOptions,
) => Promise<Hold>;

/** What is waited for by many, and how many are let in at first. */
const lines: Record<string, { readonly acquire: Acquire; readonly inside?: number }> = {
  'a mutex': { acquire: (coordinator, name, _, wait) => coordinator.mutex(name).acquire(wait) },
  'a semaphore': {
    acquire: (coordinator, name, _, wait) =>
      coordinator.semaphore(name, { limit: 3 }).acquire(wait),
    inside: 3,
  },
  'a read/write lock': {
    acquire: (coordinator, name, _, wait) => coordinator.readWriteLock(name).write.acquire(wait),
  },
  'an election': {
    acquire: (coordinator, name, i, wait) => coordinator.election(name).campaign(`${i}`, wait),
  },
  'an election in Go’s layout': {
    acquire: (coordinator, name, i, wait) =>
      coordinator.election(name, { layout: 'go' }).campaign(`${i}`, wait),
  },
};

/** What one hand-off costs on average, where so many wait. */
interface Cost {
  readonly requests: number;
  readonly sent: number;
  readonly received: number;
  /** Processes that sent a request when one who held it gave it back, besides that one. */
  readonly woken: number;
}

async function measure(
  waiters: number,
  { acquire, inside = 1 }: (typeof lines)[string],
): Promise<Cost> {
  const meter = await startMeter(etcd);
  const requests = Array.from({ length: processes }, () => 0);
  const coordinators: Coordinator[] = [];
  for (let i = 0; i < processes; i += 1) {
    coordinators.push(
      await etcd.connect({ ...unhurried, endpoints: [meter.endpoint] }, (store) =>
        override(store, {
          commit: (...args) => {
            requests[i] = (requests[i] ?? 0) + 1;
            return store.commit(...args);
          },
          read: (...args) => {
            requests[i] = (requests[i] ?? 0) + 1;
            return store.read(...args);
          },
        }),
      ),
    );
  }
  const name = etcd.name();
  const enough = new AbortController();
  const held: { hold: Hold; by: number }[] = [];
  let granted = 0;
  let joined = 0;
  const ended: Promise<void>[] = [];
  const join = (): void => {
    const [i, by] = [joined, joined % processes];
    joined += 1;
    const wait = async (): Promise<void> => {
      const hold = await acquire(coordinators[by] as Coordinator, name, i, {
        signal: enough.signal,
      });
      held.push({ hold, by });
      granted += 1;
    };
    ended.push(wait().catch(() => {}));
  };
  for (let i = 0; i < inside; i += 1) {
    join();
    await vi.waitFor(() => expect(granted).toBe(i + 1), patience);
  }
  const total = async (): Promise<number> => {
    const keys = (await etcd.admin.read({ key: '\0', end: '\0' })).kvs;
    return keys.filter(({ key }) => key.toString().includes(name)).length;
  };
  for (let i = 0; i < waiters; i += 1) {
    join();
    // In order, without a wait for each.
    if (i % 50 === 49) await delay(1);
  }
  await vi.waitFor(async () => {
    expect(await total()).toBeGreaterThanOrEqual(waiters + inside);
  }, patience);
  // Who has waited for a second asks whether its key is there still; and until then all have found their places.
  const asked = (): number => requests.reduce((sum, each) => sum + each, 0);
  for (let before = -1; before !== asked(); await delay(1_100)) before = asked();
  let woken = 0;
  // The first hand-off may find who waits still looking.
  for (let i = -2; i < handOffs; i += 1) {
    if (i === 0) Object.assign(meter, { sent: 0, received: 0 });
    if (i === 0) requests.fill(0);
    const counts = [...requests];
    const { hold, by } = held.shift() as (typeof held)[0];
    const isDone = granted + 1;
    expect(await hold.release()).toBe(true);
    await vi.waitFor(() => expect(granted).toBe(isDone), { ...patience, interval: 1 });
    await delay(10);
    expect(granted).toBe(isDone);
    const others = requests.filter((each, other) => other !== by && each > (counts[other] ?? 0));
    // A slow one is counted with the next hand-off.
    if (i >= 0) woken += others.length / handOffs;
  }
  const { sent, received } = meter;
  const cost = {
    requests: asked() / handOffs,
    sent: sent / handOffs,
    received: received / handOffs,
    woken,
  };
  enough.abort();
  for (const { hold } of held) await hold.release();
  await Promise.all(ended);
  return cost;
}

describe.each(Object.keys(lines))('%s for which many wait', (what) => {
  it('is handed to one at a time, at a cost that does not grow with those who wait', {
    timeout: 300_000,
  }, async () => {
    const line = lines[what] as (typeof lines)[string];
    const few = await measure(handOffs + 10, line);
    // What else happens meanwhile, such as renewals, can only add to it.
    const isMore = (many: Cost): boolean =>
      many.requests > few.requests + 1 ||
      many.sent >= few.sent * 1.5 ||
      many.received >= few.received * 1.5 ||
      many.woken >= 1.5;
    let many = await measure(1_000, line);
    for (let chances = 2; chances > 0 && isMore(many); chances -= 1) {
      many = await measure(1_000, line);
    }
    expect({ few, many, isMore: isMore(many) }).toMatchObject({ isMore: false });
  });
});
