import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import {
  CompactedError,
  ConflictError,
  type Coordinator,
  type Hold,
  HoldLostError,
  SessionLostError,
  UnavailableError,
  WaitTimeoutError,
} from '../../src/index.js';
import { compact, useEtcd } from '../support/etcd.js';
import { connectLossy } from '../support/lossy.js';
import { randomFrom } from '../support/random.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 10 };
const expected = [WaitTimeoutError, SessionLostError, HoldLostError, ConflictError, CompactedError];

/** Who is in no hurry waits for so many milliseconds: never in vain, whatever goes wrong, as nobody may wait for each other. */
const patient = 30_000;
/** So many grants are to be had, however slow the machine is. */
const enough = 6;

/** Whether that may come of what is done here: an answer is lost for good where history is compacted at the same time. */
function isExpected(error: unknown): boolean {
  const isForgotten = error instanceof UnavailableError && error.outcome === 'applied';
  if (error instanceof WaitTimeoutError && error.message.includes(` ${patient} ms`)) return false;
  return isForgotten || expected.some((each) => error instanceof each);
}

type Random = () => number;

/** Processes: of every three one whose answers, and one whose requests are lost at times. */
async function connectSix(random: Random): Promise<Coordinator[]> {
  const losses = [{}, { replies: 0.15 }, { requests: 0.15 }];
  return Promise.all([...losses, ...losses].map((each) => connectLossy(etcd, random, each)));
}

/** A few, or more than etcd lists to who waits. */
const few = 12;
const many = 40;

/** Runs parties for a while, and until enough was `granted`, with sessions ended and history compacted under them. */
async function upset(
  coordinators: readonly Coordinator[],
  random: Random,
  parties: number,
  granted: () => number,
  step: (coordinator: Coordinator) => Promise<void>,
): Promise<void> {
  const [stop, end] = [Date.now() + 1_500, Date.now() + 20_000];
  const party = async (i: number): Promise<void> => {
    const coordinator = coordinators[i % coordinators.length] as Coordinator;
    while (Date.now() < (granted() < enough ? end : stop)) {
      try {
        await step(coordinator);
      } catch (error) {
        if (!isExpected(error)) throw error;
      }
      if (random() < 0.01) await etcd.admin.revoke(coordinator.session.id);
      // Others may have been faster.
      if (random() < 0.01) await compact(etcd.endpoint, etcd.admin).catch(() => {});
    }
  };
  await Promise.all(Array.from({ length: parties }, (_, i) => party(i)));
}

/** What is held now, as far as the holders know, who look at `lost` before they claim to hold. */
class Inside {
  readonly #holds = new Map<Hold, string>();
  readonly wrong: string[] = [];
  count = 0;

  /** Checks what is in beside `hold`; etcd itself says of each whether it is. */
  async enter(hold: Hold, mode: string): Promise<void> {
    this.#holds.set(hold, mode);
    this.count += 1;
    await this.check();
  }

  async change(hold: Hold, mode: string): Promise<void> {
    this.#holds.set(hold, mode);
    await this.check();
  }

  leave(hold: Hold): void {
    this.#holds.delete(hold);
  }

  /** All keys at one revision. */
  async check(): Promise<void> {
    const held = [...this.#holds];
    const reply = await etcd.admin.commit({
      success: held.map(([{ key }]) => ({ range: { key, keysOnly: true } })),
    });
    const there = held
      .filter(([hold, mode], i) => {
        const [kv] = reply.replies[i]?.kvs ?? [];
        // An upgraded hold has the token of the one it is within.
        const isThere = kv && (mode === 'upgraded' || kv.createRevision === hold.token);
        // Changed or left meanwhile: then it says nothing.
        return isThere && this.#holds.get(hold) === mode;
      })
      .map(([, mode]) => mode);
    const alone = there.filter((mode) => mode === 'write' || mode === 'upgraded').length;
    const readers = there.filter((mode) => mode === 'read').length;
    if (alone > 1 || (alone > 0 && readers > 0)) this.wrong.push(there.join());
  }
}

it.each([1, 2, 3, 4, 5, 6])(
  'a read/write lock never has a writer beside others, whatever goes wrong (%i)',
  { timeout: 60_000 },
  async (seed) => {
    const random = randomFrom(seed);
    const name = etcd.name();
    const inside = new Inside();
    const use = async (hold: Hold, mode: string, work?: () => Promise<void>): Promise<void> => {
      try {
        await inside.enter(hold, mode);
        await delay(random() * 4);
        await work?.();
      } finally {
        inside.leave(hold);
        await hold.release();
      }
    };
    const step = async (coordinator: Coordinator): Promise<void> => {
      const lock = coordinator.readWriteLock(name);
      const wait = { timeout: random() < 0.2 ? random() * 10 : patient };
      const draw = random();
      if (draw < 0.4) await use(await lock.read.acquire(wait), 'read');
      else if (draw < 0.5) {
        const hold = await lock.write.tryAcquire(wait);
        if (hold) await use(hold, 'write');
      } else if (draw < 0.75) {
        const hold = await lock.write.acquire(wait);
        await use(hold, 'write', async () => {
          if (random() < 0.5) return;
          inside.leave(hold);
          await lock.downgrade(hold);
          await inside.change(hold, 'read');
          await delay(random() * 4);
        });
      } else {
        const hold = await lock.upgradeable.acquire(wait);
        await use(hold, 'upgradeable', async () => {
          const more = { timeout: random() < 0.3 ? random() * 10 : patient };
          await use(await lock.upgrade(hold, more), 'upgraded');
        });
      }
    };
    await upset(await connectSix(random), random, seed % 2 ? few : many, () => inside.count, step);
    expect(inside.wrong).toEqual([]);
    expect(inside.count).toBeGreaterThanOrEqual(enough);
    await vi.waitFor(async () => {
      const { kvs } = await etcd.admin.read(prefixRange(folderOf('read-write-lock', name)));
      expect(kvs.map(({ key }) => key.toString())).toEqual([]);
    }, patience);
    const lock = (await etcd.connect()).readWriteLock(name);
    await (await lock.write.acquire()).release();
  },
);

it.each([1, 2, 3, 4])(
  'several mutexes at once exclude all who want one of them, whatever goes wrong (%i)',
  { timeout: 60_000 },
  async (seed) => {
    const random = randomFrom(seed);
    const names = Array.from({ length: 4 }, () => etcd.name());
    const inside = new Map(names.map((name) => [name, new Inside()]));
    const step = async (coordinator: Coordinator): Promise<void> => {
      const mine = names.filter(() => random() < 0.5);
      if (mine.length === 0) return;
      const lock =
        mine.length === 1 ? coordinator.mutex(mine[0] as string) : coordinator.multiLock(mine);
      const wait = { timeout: random() < 0.2 ? random() * 10 : patient };
      const hold = random() < 0.2 ? await lock.tryAcquire(wait) : await lock.acquire(wait);
      if (!hold) return;
      try {
        for (const name of mine) await inside.get(name)?.enter(hold, 'write');
        await delay(random() * 3);
      } finally {
        for (const name of mine) inside.get(name)?.leave(hold);
        await hold.release();
      }
    };
    const least = (): number => Math.min(...[...inside.values()].map(({ count }) => count));
    await upset(await connectSix(random), random, seed % 2 ? few : many, least, step);
    for (const [name, each] of inside) {
      expect(each.wrong).toEqual([]);
      expect(each.count).toBeGreaterThanOrEqual(enough);
      await vi.waitFor(async () => expect(await etcd.count(folderOf('mutex', name))).toBe(0), {
        ...patience,
      });
    }
    const all = (await etcd.connect()).multiLock(names);
    await (await all.acquire()).release();
  },
);

it.each([1, 2, 3, 4])(
  'a semaphore never gives more permits than its limit was, whatever goes wrong (%i)',
  { timeout: 60_000 },
  async (seed) => {
    const random = randomFrom(seed);
    const name = etcd.name();
    const folder = folderOf('semaphore', name);
    etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(folder) }] }));
    const coordinators = await connectSix(random);
    await (coordinators[0] as Coordinator).semaphore(name).resize(3);
    const held = new Map<Hold, number>();
    const wrong: string[] = [];
    let granted = 0;
    let limit = 3;
    const check = async (): Promise<void> => {
      const now = [...held];
      const { replies } = await etcd.admin.commit({
        success: now.map(([{ key }]) => ({ range: { key, keysOnly: true } })),
      });
      const used = now
        .filter(([hold], i) => replies[i]?.kvs[0]?.createRevision === hold.token && held.has(hold))
        .reduce((sum, [, permits]) => sum + permits, 0);
      if (used > limit) wrong.push(`${used} of ${limit}`);
    };
    const step = async (coordinator: Coordinator): Promise<void> => {
      const semaphore = coordinator.semaphore(name);
      // It only grows here.
      if (random() < 0.02 && limit < 9) await semaphore.resize((limit += 1));
      const permits = 1 + Math.floor(random() * 3);
      const wait = { permits, timeout: random() < 0.2 ? random() * 10 : patient };
      const hold =
        random() < 0.3 ? await semaphore.tryAcquire(wait) : await semaphore.acquire(wait);
      if (!hold) return;
      try {
        held.set(hold, permits);
        granted += 1;
        await check();
        await delay(random() * 3);
      } finally {
        held.delete(hold);
        await hold.release();
      }
    };
    await upset(coordinators, random, seed % 2 ? few : many, () => granted, step);
    expect(wrong).toEqual([]);
    expect(granted).toBeGreaterThanOrEqual(enough);
    await vi.waitFor(async () => expect(await etcd.count(`${folder}permits/`)).toBe(0), patience);
  },
);
