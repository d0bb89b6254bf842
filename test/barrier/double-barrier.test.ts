import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  ClosedError,
  ConflictError,
  type Coordinator,
  DoubleBarrier,
  HoldLostError,
  RefusedError,
  SessionLostError,
  type Store,
  WaitTimeoutError,
} from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { FaultyStore, faults } from '../support/faulty-store.js';
import { connectLossy } from '../support/lossy.js';
import { has, override } from '../support/override.js';
import { randomFrom } from '../support/random.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };
const folder = (name: string): string => folderOf('double-barrier', name);

/** The same barrier in so many processes. */
async function processes(count: number, parties = count): Promise<DoubleBarrier[]> {
  const name = etcd.name('double-barrier');
  const all = await etcd.connectAll(count);
  return all.map((each) => each.doubleBarrier(name, parties));
}

async function shows(barrier: DoubleBarrier, waiting: number, inside = 0): Promise<void> {
  await vi.waitFor(async () => {
    const state = await barrier.inspect();
    expect([state.waiting.length, state.inside.length]).toEqual([waiting, inside]);
  }, patience);
}

type Pair = [DoubleBarrier, DoubleBarrier];
type Three = [DoubleBarrier, DoubleBarrier, DoubleBarrier];

describe('a double barrier', () => {
  it('has all begin together and end together, time and again', async () => {
    const [a, b] = (await processes(2)) as Pair;
    for (let i = 1; i <= 4; i += 1) {
      const said: string[] = [];
      const use = async (barrier: DoubleBarrier, name: string): Promise<void> => {
        await barrier.enter();
        said.push(`${name} is in`);
      };
      const first = use(a, 'a');
      await shows(b, 1);
      expect(said).toEqual([]);
      await Promise.all([first, use(b, 'b')]);
      expect(await a.inspect()).toMatchObject({ generation: i + 1, count: 2 });
      await shows(a, 0, 2);
      const leaving = a.leave().then(() => said.push('a has left'));
      await shows(b, 0, 1);
      expect(said.length).toBe(2);
      await Promise.all([leaving, b.leave()]);
      expect(said[2]).toBe('a has left');
    }
    await shows(a, 0);
    expect(await etcd.count(folder(a.name))).toBeLessThanOrEqual(2);
  });

  it('gives a hold that tells when the others take us for having left', async () => {
    const name = etcd.name('double-barrier');
    const [dies, stays] = [await etcd.connect(), (await etcd.connect()).doubleBarrier(name, 2)];
    const barrier = dies.doubleBarrier(name, 2);
    const [hold] = await Promise.all([barrier.enter(), stays.enter()]);
    expect(hold.lost).toBe(undefined);
    const leaving = stays.leave();
    await etcd.admin.revoke(dies.session.id);
    await leaving;
    await vi.waitFor(() => expect(hold.lost).toBe('revoked'), patience);
    expect(hold.signal.aborted).toBe(true);
    await expect(barrier.leave()).rejects.toThrow(HoldLostError);
    await expect(barrier.leave()).rejects.toThrow(/was not entered/);
    await Promise.all([barrier.enter(), stays.enter()]);
    await Promise.all([barrier.leave(), stays.leave()]);
  });

  it('is entered again after a session was lost inside, without leaving first', async () => {
    const name = etcd.name('double-barrier');
    const [one, other] = [await etcd.connect(), await etcd.connect()];
    const [a, b] = [one.doubleBarrier(name, 2), other.doubleBarrier(name, 2)];
    const [hold] = await Promise.all([a.enter(), b.enter()]);
    await etcd.admin.revoke(one.session.id);
    await vi.waitFor(() => expect(hold.lost).toBe('revoked'), patience);
    const again = a.enter();
    await shows(a, 1, 1);
    await b.leave();
    await Promise.all([again, b.enter()]);
    await Promise.all([a.leave(), b.leave()]);
  });

  it('has the others go on waiting when one leaves before all have entered', async () => {
    const [a, b, c] = (await processes(3, 2)) as Three;
    await expect(a.enter({ timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    const controller = new AbortController();
    const leaving = b.enter({ signal: controller.signal });
    await shows(b, 1);
    controller.abort(new Error('enough'));
    await expect(leaving).rejects.toThrow('enough');
    await shows(a, 0);
    const dying = await etcd.connect();
    const lonely = dying.doubleBarrier(a.name, 2).enter();
    await shows(a, 1);
    await Promise.all([
      expect(lonely).rejects.toThrow(SessionLostError),
      etcd.admin.revoke(dying.session.id),
    ]);
    await shows(a, 0);
    const waiting = c.enter();
    await shows(a, 1);
    await Promise.all([waiting, a.enter()]);
    await Promise.all([c.leave(), a.leave()]);
  });

  it('takes who comes too many into the next round', async () => {
    const [a] = (await processes(1, 3)) as [DoubleBarrier];
    const { session } = await etcd.connect();
    const all = Array.from({ length: 9 }, () => new DoubleBarrier(session, a.name, 3));
    await Promise.all(all.map((each) => each.enter()));
    await shows(a, 0, 9);
    await Promise.all(all.map((each) => each.leave()));
    await shows(a, 0);
  });

  it('goes on waiting to leave where that was given up', async () => {
    const [a, b] = (await processes(2)) as Pair;
    await Promise.all([a.enter(), b.enter()]);
    await expect(a.leave({ timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    await expect(a.enter()).rejects.toThrow(/was entered/);
    const leaving = a.leave();
    await Promise.all([leaving, b.leave()]);
    await expect(a.leave()).rejects.toThrow(/was not entered/);
  });

  it('ends a wait with the session', async () => {
    const name = etcd.name('double-barrier');
    const coordinator = await etcd.connect();
    const wait = coordinator.doubleBarrier(name, 2).enter();
    await shows((await etcd.connect()).doubleBarrier(name, 2), 1);
    await Promise.all([expect(wait).rejects.toThrow(ClosedError), coordinator.close(0)]);
  });

  it('tells who uses it wrongly', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name('double-barrier');
    expect(() => coordinator.doubleBarrier('', 1)).toThrow(ArgumentError);
    expect(() => coordinator.doubleBarrier('x', 0)).toThrow(/count must be a whole number from 1/);
    const barrier = coordinator.doubleBarrier(name, 2);
    await expect(barrier.leave()).rejects.toThrow(/was not entered/);
    const entering = barrier.enter();
    await expect(barrier.enter()).rejects.toThrow(/was entered/);
    await shows(barrier, 1);
    await expect(coordinator.doubleBarrier(name, 3).enter()).rejects.toThrow(ConflictError);
    const other = coordinator.doubleBarrier(name, 2);
    await Promise.all([entering, other.enter()]);
    await Promise.all([barrier.leave(), other.leave()]);
  });
});

describe('a double barrier whose requests go wrong', () => {
  it.each(faults)('is entered and left by all, with each call meeting a %s', async (fault) => {
    const name = etcd.name('double-barrier');
    let strikes = 0;
    let isFaulty = false;
    const coordinator = await etcd.connect({}, (store) => {
      const bad = new FaultyStore(store, fault, () => (strikes += 1));
      const now = (): Store => (isFaulty ? bad : store);
      return override(store, {
        read: (...args) => now().read(...args),
        commit: (...args) => now().commit(...args),
      });
    });
    isFaulty = true;
    const all = [coordinator.doubleBarrier(name, 2), coordinator.doubleBarrier(name, 2)];
    for (let i = 0; i < 3; i += 1) {
      await Promise.all(all.map((each) => each.enter()));
      await Promise.all(all.map((each) => each.leave()));
    }
    expect(strikes).toBeGreaterThan(3);
    await shows(all[0] as DoubleBarrier, 0);
  });

  const fates = ['loses its reply', 'is lost', 'comes late'] as const;
  it.each([0, 1, 2, 3, 4, 5].flatMap((step) => fates.map((fate) => [step, fate] as const)))(
    'goes on when write number %i %s',
    async (step, fate) => {
      const { coordinator, below } = await connectFailing(etcd);
      const name = etcd.name('double-barrier');
      const all = [coordinator.doubleBarrier(name, 2), coordinator.doubleBarrier(name, 2)];
      below.plan(...Array.from({ length: step }, () => 'arrives' as const), fate);
      for (let i = 0; i < 2; i += 1) {
        await Promise.all(all.map((each) => each.enter()));
        await Promise.all(all.map((each) => each.leave()));
        for (const arrive of below.arrive.splice(0)) await arrive();
      }
      await shows(all[0] as DoubleBarrier, 0);
    },
  );
});

/** What a party did, by one clock for all. */
interface Use {
  readonly entered: number;
  readonly generation: string;
  leaving: number;
  left: number;
}

describe('parties that enter and leave at random', () => {
  it.each([1, 2, 3, 4])(
    'begin and end together, in no two rounds at once (%i)',
    { timeout: 60_000 },
    async (seed) => {
      const random = randomFrom(seed);
      const name = etcd.name('double-barrier');
      const count = 2 + (seed % 3);
      const coordinators: Coordinator[] = [];
      for (let i = 0; i < 3; i += 1) {
        const losses = i > 0 ? { replies: 0.1, requests: 0.1 } : {};
        coordinators.push(await connectLossy(etcd, random, losses));
      }
      let now = 0;
      const uses: Use[] = [];
      const expected = [WaitTimeoutError, SessionLostError, HoldLostError];
      const [stop, end] = [Date.now() + 1_000, Date.now() + 30_000];
      const seen = new Set<string>();
      const party = async (i: number): Promise<void> => {
        const coordinator = coordinators[i % coordinators.length] as Coordinator;
        const barrier = coordinator.doubleBarrier(name, count);
        while (Date.now() < (seen.size < 2 ? end : stop)) {
          try {
            const hold = await barrier.enter({ timeout: random() < 0.2 ? 10 : 1_000 });
            const generation = hold.key.split('/')[2] as string;
            const use = { generation, entered: (now += 1), leaving: 0, left: 0 };
            uses.push(use);
            seen.add(generation);
            await delay(random() * 10);
            if (random() < 0.05) await etcd.admin.revoke(coordinator.session.id);
            use.leaving = now += 1;
            await barrier.leave();
            use.left = now += 1;
          } catch (error) {
            if (!expected.some((each) => error instanceof each)) throw error;
          }
        }
      };
      await Promise.all(Array.from({ length: count * 2 }, (_, i) => party(i)));
      expect(seen.size).toBeGreaterThan(1);
      for (const round of seen) {
        const parties = uses.filter(({ generation }) => generation === round);
        expect(parties.length).toBeLessThanOrEqual(count);
        // Who left by himself waited for all who were not lost.
        const lasting = parties.filter(({ left }) => left > 0);
        const last = Math.max(...lasting.map(({ leaving }) => leaving));
        expect(lasting.every(({ left }) => left > last)).toBe(true);
      }
      await shows((await etcd.connect()).doubleBarrier(name, count), 0);
    },
  );
});

it('waits for the others at the next call after etcd has refused to let it leave', async () => {
  let refusals = 0;
  const name = etcd.name('double-barrier');
  const kept = await etcd.connect({}, (store) =>
    override(store, {
      commit: async (txn, options) => {
        if (refusals === 0 || !has('delete', txn)) return store.commit(txn, options);
        refusals -= 1;
        throw new RefusedError('PERMISSION_DENIED', 'etcdserver: permission denied');
      },
    }),
  );
  const other = await etcd.connect();
  const [a, b] = [kept.doubleBarrier(name, 2), other.doubleBarrier(name, 2)];
  for (let i = 0; i < 2; i += 1) {
    await Promise.all([a.enter(), b.enter()]);
    refusals = 1;
    await expect(a.leave()).rejects.toThrow(RefusedError);
    await Promise.all([a.leave(), b.leave()]);
  }
});
