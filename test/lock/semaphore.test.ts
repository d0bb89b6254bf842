import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  ConflictError,
  type Hold,
  type Semaphore,
  WaitTimeoutError,
} from '../../src/index.js';
import { holdSuite, startTestEtcd } from '../../src/testing/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { useEtcd } from '../support/etcd.js';
import { has, noAnswer, override } from '../support/override.js';
import { runCases } from '../support/run-cases.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };
const folder = (name: string): string => folderOf('semaphore', name);

/** The same semaphore in so many processes. */
async function processes(count: number, limit?: number): Promise<Semaphore[]> {
  const name = etcd.name('semaphore');
  const all = await etcd.connectAll(count);
  return all.map((each) => each.semaphore(name, limit === undefined ? {} : { limit }));
}

async function waiting(semaphore: Semaphore, count: number): Promise<void> {
  await vi.waitFor(
    async () => expect((await semaphore.inspect()).waiters.length).toBe(count),
    patience,
  );
}

describe('a semaphore of one permit', () => {
  runCases(
    holdSuite({
      admin: etcd.admin,
      folder: (name) => `${folder(name)}permits/1/`,
      connect: () => etcd.connect(),
      make: (coordinator, name) => coordinator.semaphore(name, { limit: 1 }),
    }),
  );
});

describe('a semaphore', () => {
  it('gives as many permits as there are, and no more', async () => {
    const [a, b] = (await processes(2, 3)) as [Semaphore, Semaphore];
    const held = [await a.acquire(), await b.acquire({ permits: 2 })];
    expect(await a.tryAcquire()).toBe(undefined);
    await expect(b.acquire({ timeout: 30 })).rejects.toThrow(WaitTimeoutError);
    const next = a.acquire({ permits: 2 });
    await waiting(a, 1);
    await held[0]?.release();
    expect((await a.inspect()).waiters.length).toBe(1);
    await held[1]?.release();
    const state = await b.inspect();
    expect(state.limit).toBe(3);
    expect(state.holders.map(({ permits }) => permits)).toEqual([2]);
    const other = await b.tryAcquire();
    expect(other?.lost).toBe(undefined);
    expect(await b.tryAcquire()).toBe(undefined);
    await (await next).release();
    await other?.release();
    expect(await etcd.count(`${folder(a.name)}permits/`)).toBe(0);
  });

  it('does not let those who want few pass one who wants many', async () => {
    const [a, b] = (await processes(2, 4)) as [Semaphore, Semaphore];
    const granted: string[] = [];
    const note = async (name: string, hold: Promise<Hold>): Promise<Hold> => {
      const got = await hold;
      granted.push(name);
      return got;
    };
    const first = [await a.acquire(), await a.acquire()];
    const many = note('many', b.acquire({ permits: 4 }));
    await waiting(a, 1);
    const few = note('few', a.acquire());
    await waiting(a, 2);
    expect(await b.tryAcquire()).toBe(undefined);
    await first[0]?.release();
    await waiting(a, 2);
    expect(granted).toEqual([]);
    await first[1]?.release();
    await (await many).release();
    await (await few).release();
    expect(granted).toEqual(['many', 'few']);
  });

  it('has one limit for all: who wants another is told', async () => {
    const name = etcd.name('semaphore');
    const coordinator = await etcd.connect();
    await expect(coordinator.semaphore(name).acquire()).rejects.toThrow(/has no limit yet/);
    await using hold = await coordinator.semaphore(name, { limit: 2 }).acquire();
    await expect(coordinator.semaphore(name, { limit: 3 }).acquire()).rejects.toThrow(
      `semaphore ${name} has 2 permits, not 3`,
    );
    await using other = await coordinator.semaphore(name).acquire();
    expect([hold.lost, other.lost]).toEqual([undefined, undefined]);
    expect(await coordinator.semaphore(name).tryAcquire()).toBe(undefined);
    await expect(coordinator.semaphore(name).acquire({ permits: 3 })).rejects.toThrow(
      /permits must be at most 2/,
    );
  });

  it('lets more in when it becomes larger, and none before enough have left when it becomes smaller', async () => {
    const [a, b] = (await processes(2, 1)) as [Semaphore, Semaphore];
    const own = (await etcd.connect()).semaphore(a.name);
    await (await a.acquire()).release();
    const first = await own.acquire();
    const more = [own.acquire(), own.acquire()];
    await waiting(own, 2);
    expect(await own.resize(3)).toBe(1);
    const [second, third] = await Promise.all(more);
    await expect(a.acquire()).rejects.toThrow(ConflictError);
    await expect(b.tryAcquire()).rejects.toThrow(ConflictError);
    expect(await own.resize(1)).toBe(3);
    const last = own.acquire();
    await waiting(own, 3);
    await first.release();
    await second?.release();
    await expect(own.acquire({ timeout: 30 })).rejects.toThrow(WaitTimeoutError);
    await third?.release();
    await (await last).release();
  });

  it('tells those who wait of a change of the limit, however it comes about', async () => {
    const [a] = (await processes(1, 12)) as [Semaphore];
    const own = (await etcd.connect()).semaphore(a.name);
    await Promise.all(Array.from({ length: 12 }, () => a.acquire()));
    let granted = 0;
    const late = Array.from({ length: 30 }, async () => {
      await own.acquire();
      granted += 1;
    });
    await waiting(own, 30);
    expect(granted).toBe(0);
    await own.resize(20);
    await vi.waitFor(() => expect(granted).toBe(8), patience);
    await waiting(own, 22);
    await own.resize(42);
    await Promise.all(late);
  });

  it('turns away who waits for more than there are since it became smaller, and keeps nobody behind', async () => {
    const [a] = (await processes(1, 5)) as [Semaphore];
    await (await a.acquire()).release();
    const own = (await etcd.connect()).semaphore(a.name);
    const first = await own.acquire();
    const many = own.acquire({ permits: 5 });
    await waiting(own, 1);
    const few = own.acquire({ timeout: 15_000 });
    await waiting(own, 2);
    await Promise.all([
      expect(many).rejects.toThrow(`semaphore ${a.name} has 2 permits, fewer than 5`),
      own.resize(2),
    ]);
    await (await few).release();
    await first.release();
  });

  it('learns that it has become larger before it turns somebody away', async () => {
    const name = etcd.name('semaphore');
    const [one, other] = [await etcd.connect(), await etcd.connect()];
    const semaphore = one.semaphore(name);
    await semaphore.resize(2);
    await (await semaphore.acquire()).release();
    await other.semaphore(name).resize(5);
    await (await semaphore.acquire({ permits: 5 })).release();
    await expect(semaphore.acquire({ permits: 6 })).rejects.toThrow(/permits must be at most 5/);
  });

  it('never gives more permits than there are, in the order of arrival', {
    timeout: 120_000,
  }, async () => {
    const coordinators = await Promise.all(Array.from({ length: 3 }, () => etcd.connect()));
    const wants = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 5 })),
      {
        minLength: 4,
        maxLength: 16,
      },
    );
    await fc.assert(
      fc.asyncProperty(wants, async (asked) => {
        const name = etcd.name('semaphore');
        const all = coordinators.map((each) => each.semaphore(name, { limit: 5 }));
        let used = 0;
        const tokens: bigint[] = [];
        const work = asked.map(([i, permits], n) =>
          (all[i] as Semaphore).run(
            async (hold) => {
              used += permits;
              tokens.push(hold.token);
              expect(used).toBeLessThanOrEqual(5);
              expect(
                (
                  await hold
                    .txn()
                    .put(`${folder(name)}x`, `${n}`)
                    .commit()
                ).succeeded,
              ).toBe(true);
              used -= permits;
            },
            { permits },
          ),
        );
        await Promise.all(work);
        expect(new Set(tokens).size).toBe(asked.length);
        expect(await etcd.count(`${folder(name)}permits/`)).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  it('refuses what cannot be a limit, or a number of permits', async () => {
    const coordinator = await etcd.connect();
    for (const limit of [0, 1.5, Number.NaN, '2' as unknown as number]) {
      expect(() => coordinator.semaphore('s', { limit })).toThrow(ArgumentError);
      await expect(coordinator.semaphore('s').resize(limit)).rejects.toThrow(ArgumentError);
      await expect(coordinator.semaphore('s').acquire({ permits: limit })).rejects.toThrow(
        /permits must be a whole number from 1/,
      );
    }
  });
});

it('waits that end in an outage leave nothing behind that goes on asking', async () => {
  let isOut = false;
  let asked = 0;
  const coordinator = await etcd.connect({}, (store) =>
    override(store, {
      commit(txn, options) {
        if (!isOut) return store.commit(txn, options);
        asked += 1;
        return new Promise(() => {});
      },
    }),
  );
  const semaphore = coordinator.semaphore(etcd.name('semaphore'), { limit: 1 });
  isOut = true;
  for (let i = 0; i < 5; i += 1) {
    await expect(semaphore.acquire({ timeout: 5 })).rejects.toThrow(WaitTimeoutError);
  }
  expect(asked).toBe(1);
});

describe('a semaphore at an etcd that is slow', () => {
  it('is waited for as long as asked, whatever is asked of etcd in that time', async () => {
    const slow = await startTestEtcd({ time: 'virtual' });
    etcd.defer(() => slow.stop());
    const [a, b] = [await slow.connect(), await slow.connect()];
    await a.semaphore('x', { limit: 1 }).acquire();
    slow.faults.add({ rpc: 'KV.Txn', kind: 'delay', delay: 600 });
    let error: unknown;
    const wait = rejection(b.semaphore('x', { limit: 1 }).acquire({ timeout: 1_000 }));
    void wait.then((reason) => (error = reason));
    await slow.advance(1_000);
    expect(error).toBeInstanceOf(WaitTimeoutError);
  });

  it('is looked at in one step, through outages', async () => {
    const failures = [noAnswer];
    let reads = 0;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        read: (...args) => {
          const fail = failures.pop();
          if (fail) return Promise.reject(fail());
          reads += 1;
          return store.read(...args);
        },
      }),
    );
    const semaphore = coordinator.semaphore(etcd.name('semaphore'), { limit: 2 });
    const hold = await semaphore.acquire({ permits: 2 });
    const { limit, holders } = await semaphore.inspect();
    expect([limit, holders.map(({ permits }) => permits), reads]).toEqual([2, [2], 1]);
    await hold.release();
  });
});

it('turns away at once who learns of another limit as it is let in, though etcd does not answer', async () => {
  let isSilent = false;
  const silent = await etcd.connect({}, (store) =>
    override(store, {
      commit: (txn, options) =>
        isSilent && has('delete', txn) ? Promise.reject(noAnswer()) : store.commit(txn, options),
    }),
  );
  const name = etcd.name('semaphore');
  const semaphore = silent.semaphore(name, { limit: 1 });
  await (await semaphore.acquire()).release();
  await (await etcd.connect()).semaphore(name).resize(2);
  isSilent = true;
  expect(await rejection(semaphore.acquire({ timeout: 5_000 }))).toBeInstanceOf(ConflictError);
  isSilent = false;
});
