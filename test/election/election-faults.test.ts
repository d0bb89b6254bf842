import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import {
  type Coordinator,
  type Election,
  type ElectionOptions,
  HoldLostError,
  type LeaderChange,
  SessionLostError,
  type Term,
  type Txn,
  type TxnReply,
  type WatchEvent,
} from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import { forLater, rejection } from '../../src/testing/rejection.js';
import { compact, useEtcd } from '../support/etcd.js';
import { noAnswer, override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };
const layouts = ['recipes', 'go'] as const;

const standing = (election: Election, n: number): Promise<void> =>
  vi.waitFor(async () => expect((await election.inspect()).candidates.length).toBe(n), patience);

/** Records what an observer is told. */
const observe = async (
  coordinator: Coordinator,
  name: string,
  options: ElectionOptions = {},
): Promise<LeaderChange[]> => {
  const controller = new AbortController();
  etcd.defer(() => controller.abort());
  const changes: LeaderChange[] = [];
  const { signal } = controller;
  const loop = async (): Promise<void> => {
    for await (const change of coordinator.election(name, options).watch({ signal })) {
      changes.push(change);
    }
  };
  loop().catch(() => {});
  await vi.waitFor(() => expect(changes.length).toBe(1), patience);
  return changes;
};

describe.each(layouts)('in the layout %s', (layout) => {
  it('a candidate whose session died while it waited is told at once, and never leads: etcd#19597', async () => {
    const name = etcd.name();
    const [a, b, c] = [await etcd.connect(), await etcd.connect(), await etcd.connect()];
    const leader = await a.election(name, { layout }).campaign('first');
    const second = rejection(b.election(name, { layout }).campaign('second'));
    await standing(a.election(name, { layout }), 1);
    const third = c.election(name, { layout }).campaign('third');
    await standing(a.election(name, { layout }), 2);
    const { signal } = b.session;
    await etcd.admin.revoke(b.session.id);
    const error = await second;
    expect(error instanceof HoldLostError || error instanceof SessionLostError).toBe(true);
    expect(signal.aborted).toBe(true);
    expect(leader.lost).toBe(undefined);
    await leader.resign();
    const term = await third;
    expect((await a.election(name, { layout }).leader())?.token).toBe(term.token);
    expect(await term.resign()).toBe(true);
  });

  it('a candidate and an observer go on after they were cut off and history was compacted', async () => {
    const name = etcd.name();
    const proxy = await etcd.startProxy();
    const endpoints = [proxy.endpoint];
    const leader = await (await etcd.connect()).election(name, { layout }).campaign('first');
    const waiter = await etcd.connect({ endpoints });
    const wait = forLater(waiter.election(name, { layout }).campaign('second'));
    const admin = (await etcd.connect()).election(name, { layout });
    await standing(admin, 1);
    const changes = await observe(await etcd.connect({ endpoints }), name, { layout });
    proxy.cut();
    await etcd.admin.commit({ success: [{ put: { key: `noise/${name}`, value: '' } }] });
    expect(await leader.resign()).toBe(true);
    await etcd.admin.commit({ success: [{ delete: { key: `noise/${name}` } }] });
    await compact(etcd.endpoint, etcd.admin);
    proxy.heal();
    const term = await wait;
    expect(term.lost).toBe(undefined);
    await vi.waitFor(() => {
      expect(changes.map(({ leader: each }) => each?.value)).toEqual(['first', 'second']);
    }, patience);
    expect(await term.resign()).toBe(true);
    await vi.waitFor(() => expect(changes.at(-1)?.leader).toBe(undefined), patience);
  });

  it('an observer tells every leader and every vacancy once, and names nobody who is gone', async () => {
    const name = etcd.name();
    const history: WatchEvent[] = [];
    const coordinator = await etcd.connect();
    const election = coordinator.election(name, { layout });
    const changes = await observe(await etcd.connect(), name, { layout });
    const folder = layout === 'go' ? `${name}/` : `${folderOf('election', name)}terms/`;
    const listener = {
      events: (events: readonly WatchEvent[]) => void history.push(...events),
      gap: () => {},
      closed: () => {},
    };
    const watch = etcd.admin.watch(prefixRange(folder), listener);
    etcd.defer(() => watch.close());
    await watch.ready;
    const tokens: bigint[] = [];
    for (let i = 0; i < 10; i += 1) {
      const term = await election.campaign(`${i}`);
      tokens.push(term.token);
      if (i % 2 === 0) await term.resign();
      else await etcd.admin.revoke(coordinator.session.id);
      await vi.waitFor(async () => {
        expect(await election.leader()).toBe(undefined);
        expect(term.lost).toBe(i % 2 === 0 ? undefined : 'revoked');
      }, patience);
    }
    await vi.waitFor(() => expect(changes.length).toBe(21), patience);
    expect(changes.filter(({ missed }) => missed)).toEqual([]);
    const told = changes.slice(1).filter((_, i) => i % 2 === 0);
    expect(told.map(({ leader }) => leader?.token)).toEqual(tokens);
    expect(told.map(({ revision }) => revision)).toEqual(tokens);
    const gone = changes.slice(1).filter((_, i) => i % 2 === 1);
    expect(gone.every(({ leader }) => leader === undefined)).toBe(true);
    const deletions = history.filter(({ type }) => type === 'delete');
    expect(gone.map(({ revision }) => revision)).toEqual(deletions.map(({ kv }) => kv.modRevision));
  });

  it('a leader who falls silent is told of the loss before etcd removes its key', {
    timeout: 180_000,
  }, async () => {
    /** What the term says of itself when etcd has removed its key. */
    const round = async (): Promise<string | undefined> => {
      const proxy = await etcd.startProxy();
      const endpoints = [proxy.endpoint];
      // On a machine that is busy elsewhere the session may be lost before.
      const term = await waitFor(async () => {
        const coordinator = await etcd.connect({ endpoints, session: { ttl: 2_000 } });
        return coordinator.election(etcd.name(), { layout }).campaign('me');
      }, patience);
      const removed = new Promise<string | undefined>((resolve) => {
        // Where our event loop stood still, it may read this before any timer: whoever looks learns all the same.
        const events = (): void => resolve(term.signal.aborted ? term.lost : undefined);
        const listener = { events, gap: () => {}, closed: () => {} };
        const options = { from: term.token, only: 'delete' } as const;
        const watch = etcd.admin.watch({ key: term.key }, listener, options);
        etcd.defer(() => watch.close());
      });
      await delay(1_200 + 800 * Math.random());
      proxy.blackhole();
      const said = await removed;
      proxy.heal();
      return said;
    };
    const rounds = await Promise.all(Array.from({ length: 10 }, round));
    expect(new Set(rounds)).toEqual(new Set(['no-contact']));
  });
});

it('an election has nothing to do with one whose name lies inside its own', async () => {
  const coordinator = await etcd.connect();
  const name = etcd.name();
  await using inner = await coordinator.election(`${name}/sub`).campaign('inner');
  expect(await coordinator.election(name).leader()).toBe(undefined);
  await using outer = await coordinator.election(name).campaign('outer', { timeout: 60_000 });
  expect(inner.lost ?? outer.lost).toBe(undefined);
});

it('a candidate is told at once when somebody deletes its key', async () => {
  const name = etcd.name();
  await using leader = await (await etcd.connect()).election(name).campaign('first');
  const election = (await etcd.connect()).election(name);
  const wait = rejection(election.campaign('second'));
  await standing(election, 1);
  const { key = '' } = (await election.inspect()).candidates[0] ?? {};
  await etcd.admin.commit({ success: [{ delete: { key } }] });
  expect(await wait).toBeInstanceOf(HoldLostError);
  expect(leader.lost).toBe(undefined);
});

it('an appointed candidate who is cut off is replaced when its lease ends, and never leads', {
  timeout: 180_000,
}, async () => {
  const name = etcd.name();
  const proxy = await etcd.startProxy();
  const leader = await (await etcd.connect()).election(name).campaign('first');
  const cut = await etcd.connect({ endpoints: [proxy.endpoint], session: { ttl: 2_000 } });
  const wait = rejection(cut.election(name, { id: 'cut off' }).campaign('cut off'));
  const third = (await etcd.connect()).election(name);
  await standing(third, 1);
  const next = forLater(third.campaign('third'));
  await standing(third, 2);
  proxy.blackhole();
  expect(await leader.transferTo('cut off')).toBe(true);
  expect((await third.leader())?.value).toBe('cut off');
  expect(await wait).toBeInstanceOf(SessionLostError);
  const term = await next;
  expect(term.lost).toBe(undefined);
  proxy.heal();
  expect(await term.resign()).toBe(true);
  await vi.waitFor(async () => {
    expect(await etcd.count(folderOf('election', name))).toBe(0);
  }, patience);
});

it('an appointed candidate whose event loop stood still past its deadline does not lead', async () => {
  const name = etcd.name();
  const leader = await (await etcd.connect()).election(name).campaign('first');
  const coordinator = await etcd.connect({ session: { ttl: 2_000 } });
  const wait = rejection(coordinator.election(name).campaign('late', { timeout: 60_000 }));
  await standing(coordinator.election(name), 1);
  const released = leader.resign();
  // The request is on its way; the answer, and the event, wait for us.
  await new Promise((resolve) => setImmediate(resolve));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_700);
  expect(await wait).toBeInstanceOf(SessionLostError);
  await released;
});

describe('a request that reaches etcd long after it was given up', () => {
  /** Connects so that the next commit that is meant gets no answer; `deliver` has it arrive. */
  const connectWithLate = async (
    isMeant: (txn: Txn) => boolean,
  ): Promise<{
    coordinator: Coordinator;
    lose: () => void;
    deliver: () => Promise<TxnReply>;
  }> => {
    let losing = false;
    let late: (() => Promise<TxnReply>) | undefined;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: (txn, options) => {
          if (!losing || !isMeant(txn)) return store.commit(txn, options);
          losing = false;
          late = () => store.commit(txn);
          return Promise.reject(noAnswer());
        },
      }),
    );
    const lose = (): void => {
      losing = true;
    };
    return { coordinator, lose, deliver: () => late?.() ?? Promise.reject(new Error('nothing')) };
  };
  const puts = (folder: string, { success = [] }: Txn): boolean =>
    success.some((step) => 'put' in step && String(step.put.key).includes(folder));
  const nobody = (name: string): Promise<void> =>
    vi.waitFor(async () => {
      expect(await etcd.count(folderOf('election', name))).toBe(0);
    }, patience);

  it('does not bring a candidacy back', async () => {
    const late = await connectWithLate((txn) => puts('/candidates/', txn));
    const election = late.coordinator.election(etcd.name());
    late.lose();
    const term = await election.campaign('me');
    expect(await term.resign()).toBe(true);
    expect((await late.deliver()).succeeded).toBe(false);
    await nobody(election.name);
  });

  it('does not bring a term back that was claimed', async () => {
    const late = await connectWithLate((txn) => puts('/terms/', txn));
    const election = late.coordinator.election(etcd.name());
    const other = await etcd.connect();
    await other.election(election.name).campaign('first');
    const wait = election.campaign('second');
    await standing(election, 1);
    late.lose();
    await etcd.admin.revoke(other.session.id);
    const term = await wait;
    expect(await term.resign()).toBe(true);
    expect((await late.deliver()).succeeded).toBe(false);
    await nobody(election.name);
  });

  it.each(['recipes', 'go'] as const)(
    'does not undo what was proclaimed later: %s',
    async (kind) => {
      const proclaims = ({ success = [] }: Txn): boolean =>
        success.some((step) =>
          'txn' in step
            ? proclaims(step.txn)
            : 'put' in step && String(step.put.value).includes('lost'),
        );
      let deliver: (() => Promise<unknown>) | undefined;
      const coordinator = await etcd.connect({}, (store) =>
        override(store, {
          commit: (txn, options) => {
            if (!proclaims(txn)) return store.commit(txn, options);
            deliver = () => store.commit(txn);
            return Promise.reject(noAnswer());
          },
        }),
      );
      const term = await coordinator.election(etcd.name(), { layout: kind }).campaign('first');
      const lose = async (): Promise<void> => {
        const lost = term.proclaim('lost', { timeout: 50 });
        await expect(lost).rejects.toMatchObject({ outcome: 'unknown' });
      };
      const value = async (): Promise<string> =>
        String((await etcd.admin.read({ key: term.key })).kvs[0]?.value);
      await lose();
      await term.proclaim('later');
      await deliver?.();
      expect(await value()).toContain('later');
      // One that arrives before keeps nobody from going on.
      await lose();
      await deliver?.();
      expect(await value()).toContain('lost');
      await Promise.all(['next', 'last'].map((each) => term.proclaim(each)));
      expect(await value()).toContain('last');
      expect(await term.resign()).toBe(true);
    },
  );

  it('does not take the term of somebody who came and claimed it first', async () => {
    let held: (() => void) | undefined;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: async (txn, options) => {
          const isClaim = !held && puts('/terms/', txn);
          if (isClaim) await new Promise<void>((resolve) => (held = resolve));
          return store.commit(txn, options);
        },
      }),
    );
    const election = coordinator.election(etcd.name());
    const other = await etcd.connect();
    await other.election(election.name).campaign('first');
    const wait = election.campaign('slow');
    await standing(election, 1);
    await etcd.admin.revoke(other.session.id);
    await vi.waitFor(() => expect(held).toBeDefined(), patience);
    const third = (await etcd.connect()).election(election.name, { priority: 1 });
    const term = await third.campaign('third');
    held?.();
    await delay(50);
    const terms = `${folderOf('election', election.name)}terms/`;
    expect(await etcd.count(terms)).toBe(1);
    expect((await election.leader())?.token).toBe(term.token);
    expect(await term.resign()).toBe(true);
    expect(await (await wait).resign()).toBe(true);
    await nobody(election.name);
  });

  it('does not give a term of somebody who left to a candidate who left', async () => {
    const isEnd = ({ compare = [], failure = [] }: Txn): boolean =>
      compare.length === 1 && failure.some((step) => 'txn' in step);
    const late = await connectWithLate(isEnd);
    const election = late.coordinator.election(etcd.name());
    const term = await election.campaign('first');
    const other = (await etcd.connect()).election(election.name);
    const wait = other.campaign('second');
    await standing(election, 1);
    late.lose();
    expect(await term.resign()).toBe(true);
    expect(await (await wait).resign()).toBe(true);
    const again = await election.campaign('again');
    expect(again.key).toBe(term.key);
    await late.deliver();
    expect((await election.leader())?.token).toBe(again.token);
    expect(again.lost).toBe(undefined);
    expect(await again.resign()).toBe(true);
    await nobody(election.name);
  });
});

it('has one key in its terms at most, whatever happens to its candidates', async () => {
  const name = etcd.name();
  const folder = `${folderOf('election', name)}terms/`;
  const held = new Set<string>();
  let most = 0;
  const listener = {
    events: (events: readonly WatchEvent[]) => {
      for (const [i, { type, kv }] of events.entries()) {
        if (type === 'put') held.add(kv.key.toString());
        else held.delete(kv.key.toString());
        // In a hand-over one goes and another comes at one revision.
        const isWhole = events[i + 1]?.kv.modRevision !== kv.modRevision;
        if (isWhole) most = Math.max(most, held.size);
      }
    },
    gap: () => {},
    closed: () => {},
  };
  const watch = etcd.admin.watch(prefixRange(folder), listener);
  etcd.defer(() => watch.close());
  await watch.ready;
  const terms: Term[] = [];
  const live = new Set<Term>();
  let together = 0;
  const contend = async (i: number): Promise<void> => {
    const coordinator = await etcd.connect();
    const election = coordinator.election(name, { priority: i % 3, id: `${i}` });
    for (let round = 0; terms.length < 60; round += 1) {
      // Some give up soon, maybe at the moment at which they are elected.
      const wait = round % 2 === 0 ? {} : { timeout: 100 * Math.random() };
      const term = await election.campaign(`${i}`, wait).catch(() => undefined);
      if (!term) continue;
      live.add(term);
      together = Math.max(together, [...live].filter(({ lost }) => lost === undefined).length);
      terms.push(term);
      await delay(5 * Math.random());
      live.delete(term);
      if (round % 5 === 4) await etcd.admin.revoke(coordinator.session.id);
      else if (round % 2 === 0) await term.transferTo(`${(i + 1) % 6}`);
      await term.resign();
    }
  };
  await Promise.all(Array.from({ length: 6 }, (_, i) => contend(i)));
  expect(together).toBe(1);
  const tokens = terms.map(({ token }) => token);
  expect(tokens).toEqual(tokens.toSorted((a, b) => Number(a - b)));
  await vi.waitFor(async () => {
    expect(await etcd.count(folderOf('election', name))).toBe(0);
  }, patience);
  await vi.waitFor(() => expect(held.size).toBe(0), patience);
  expect(most).toBe(1);
});

it('a candidate whose key was gone before it had read who stands is told', async () => {
  let hold: (() => void) | undefined;
  const held = new Promise<void>((resolve) => (hold = resolve));
  const coordinator = await etcd.connect({}, (store) =>
    override(store, {
      read: async (range, options) => {
        const isRoll = String(range.key).startsWith('election/');
        if (isRoll) await held;
        return store.read(range, options);
      },
    }),
  );
  const name = etcd.name();
  await using leader = await (await etcd.connect()).election(name).campaign('first');
  const wait = rejection(coordinator.election(name).campaign('second'));
  const folder = `${folderOf('election', name)}candidates/`;
  await vi.waitFor(async () => expect(await etcd.count(folder)).toBe(2), patience);
  const { kvs } = await etcd.admin.read(prefixRange(folder));
  const own = kvs.filter(({ lease }) => lease === coordinator.session.id);
  await etcd.admin.commit({ success: own.map(({ key }) => ({ delete: { key } })) });
  hold?.();
  expect(await wait).toBeInstanceOf(HoldLostError);
  expect(leader.lost).toBe(undefined);
});
