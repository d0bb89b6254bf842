import { describe, expect, it, vi } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  type Coordinator,
  type Election,
  type ElectionOptions,
  HoldLostError,
  type LeaderChange,
  type Term,
  type Txn,
} from '../../src/index.js';
import { forLater } from '../../src/testing/rejection.js';
import { useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };

const standing = (election: Election, n: number): Promise<void> =>
  vi.waitFor(async () => expect((await election.inspect()).candidates.length).toBe(n), patience);

/** Has candidates stand, one after the other, each on a session of its own. */
const stand = async (
  name: string,
  candidates: readonly ElectionOptions[],
): Promise<Promise<Term>[]> => {
  const waits: Promise<Term>[] = [];
  for (const options of candidates) {
    const election = (await etcd.connect()).election(name, options);
    const before = (await election.inspect()).candidates.length;
    waits.push(forLater(election.campaign(`value of ${options.id}`)));
    await standing(election, before + 1);
  }
  return waits;
};

/** Everything that is told of an election, as `value`, or `-` in a vacancy. */
const observe = async (
  coordinator: Coordinator,
  name: string,
  options?: ElectionOptions,
): Promise<{ said: string[]; changes: LeaderChange[] }> => {
  const controller = new AbortController();
  etcd.defer(() => controller.abort());
  const [said, changes]: [string[], LeaderChange[]] = [[], []];
  const loop = async (): Promise<void> => {
    for await (const change of coordinator
      .election(name, options)
      .watch({ signal: controller.signal })) {
      changes.push(change);
      said.push(change.leader?.value ?? '-');
    }
  };
  loop().catch(() => {});
  await vi.waitFor(() => expect(said.length).toBeGreaterThan(0), patience);
  return { said, changes };
};

/** Has somebody lead who is known to hear of whoever comes, until it is made deaf. */
const leadHearing = async (
  name: string,
): Promise<{ leader: Term; heard: (part: string) => boolean; deafen: () => void }> => {
  const keys: string[] = [];
  let isDeaf = false;
  const coordinator = await etcd.connect({}, (store) =>
    override(store, {
      watch: (range, listener, options) =>
        store.watch(
          range,
          {
            events: (events) => {
              if (isDeaf) return;
              keys.push(...events.map(({ kv }) => kv.key.toString()));
              listener.events(events);
            },
            gap: (revision) => listener.gap(revision),
            closed: (error) => listener.closed(error),
          },
          options,
        ),
    }),
  );
  const deafen = (): void => {
    isDeaf = true;
  };
  const heard = (part: string): boolean => keys.some((key) => key.includes(part));
  const leader = await coordinator.election(name).campaign('first');
  await vi.waitFor(async () => {
    await leader.proclaim('first');
    expect(heard('/terms/')).toBe(true);
  }, patience);
  return { leader, heard, deafen };
};

describe('an election', () => {
  it('has a leader whom all see, with value, token and owner', async () => {
    const a = await etcd.connect({ session: { label: 'first' } });
    const b = await etcd.connect();
    const name = etcd.name();
    expect(await b.election(name).leader()).toBe(undefined);
    const term = await a.election(name, { id: 'a', priority: 3 }).campaign('http://a');
    expect(await b.election(name).leader()).toMatchObject({
      id: 'a',
      value: 'http://a',
      priority: 3,
      token: term.token,
      key: term.key,
      lease: a.session.id,
      owner: { pid: process.pid, label: 'first' },
    });
    expect(await term.resign()).toBe(true);
    expect(await b.election(name).leader()).toBe(undefined);
    expect(await etcd.count(folderOf('election', name))).toBe(0);
  });

  it('takes one transaction where nobody else stands', async () => {
    const sent: Txn[] = [];
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: (txn, options) => {
          sent.push(txn);
          return store.commit(txn, options);
        },
      }),
    );
    const term = await coordinator.election(etcd.name()).campaign('me');
    expect(sent.length).toBe(1);
    await term.resign();
    expect(sent.length).toBe(2);
  });

  it('shows who would lead, in order: by priority, and then who came first', async () => {
    const name = etcd.name();
    const leader = await (await etcd.connect()).election(name).campaign('leader');
    const ids = [
      { id: 'a' },
      { id: 'b', priority: 5 },
      { id: 'c', priority: -1 },
      { id: 'd' },
      { id: 'e', priority: 5 },
    ];
    const waits = await stand(name, ids);
    const election = (await etcd.connect()).election(name);
    const state = await election.inspect();
    expect(state.leader?.token).toBe(leader.token);
    expect(state.candidates.map(({ id }) => id)).toEqual(['b', 'e', 'a', 'd', 'c']);
    let token = leader.token;
    await leader.resign();
    for (const i of [1, 4, 0, 3, 2]) {
      const term = (await waits[i]) as Term;
      expect((await election.leader())?.value).toBe(`value of ${ids[i]?.id}`);
      expect(term.token).toBeGreaterThan(token);
      token = term.token;
      await term.resign();
    }
  });

  it('passes the term in one transaction, without a vacancy', async () => {
    const name = etcd.name();
    const { leader, heard } = await leadHearing(name);
    const { said, changes } = await observe(await etcd.connect(), name);
    const [wait] = await stand(name, [{ id: 'x' }]);
    await vi.waitFor(() => expect(heard('/candidates/')).toBe(true), patience);
    expect(await leader.resign()).toBe(true);
    const next = await (wait as Promise<Term>);
    await vi.waitFor(() => expect(said).toEqual(['first', 'value of x']), patience);
    expect(changes[1]).toMatchObject({ revision: next.token, missed: false });
    expect(changes[1]?.leader?.token).toBe(next.token);
  });

  it('has the next of who stands lead when the appointed one has just gone', async () => {
    const name = etcd.name();
    let delayed: (() => void) | undefined;
    const a = await etcd.connect({}, (store) =>
      override(store, {
        commit: async (txn, options) => {
          const isEnd = txn.failure?.some((step) => 'txn' in step) && txn.compare?.length === 1;
          if (isEnd) await new Promise<void>((resolve) => (delayed = resolve));
          return store.commit(txn, options);
        },
      }),
    );
    const leader = await a.election(name).campaign('first');
    const controller = new AbortController();
    const best = (await etcd.connect()).election(name, { priority: 9 });
    const gone = best.campaign('best', { signal: controller.signal });
    gone.catch(() => {});
    await standing(best, 1);
    const [wait] = await stand(name, [{ id: 'x' }]);
    const released = leader.resign();
    await vi.waitFor(() => expect(delayed).toBeDefined(), patience);
    controller.abort();
    await standing(best, 1);
    delayed?.();
    expect(await released).toBe(true);
    expect((await (wait as Promise<Term>)).lost).toBe(undefined);
  });

  it('passes by nobody of whom the leader has not heard', async () => {
    const name = etcd.name();
    const { leader, heard, deafen } = await leadHearing(name);
    const [low] = await stand(name, [{ id: 'low' }]);
    await vi.waitFor(() => expect(heard('/candidates/')).toBe(true), patience);
    deafen();
    const [high] = await stand(name, [{ id: 'high', priority: 1 }]);
    expect(await leader.resign()).toBe(true);
    expect(await (await (high as Promise<Term>)).resign()).toBe(true);
    expect(await (await (low as Promise<Term>)).resign()).toBe(true);
  });

  it('has a term given back that came as its candidate gave up', async () => {
    const name = etcd.name();
    const coordinator = await etcd.connect();
    const candidate = (await etcd.connect()).election(name, { priority: 1 });
    const third = (await etcd.connect()).election(name);
    let gaveUp = 0;
    for (let pause = 0; pause < 20; pause += 1) {
      const leader = await coordinator.election(name).campaign('first');
      const controller = new AbortController();
      const wait = candidate.campaign('hesitant', { signal: controller.signal });
      const outcome = wait.catch(() => undefined);
      await standing(candidate, 1);
      const next = third.campaign('third');
      await standing(candidate, 2);
      const released = leader.resign();
      for (let i = 0; i < pause; i += 1) await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      expect(await released).toBe(true);
      const won = await outcome;
      if (!won) gaveUp += 1;
      await won?.resign();
      expect(await (await next).resign()).toBe(true);
      await vi.waitFor(async () => {
        expect(await etcd.count(folderOf('election', name))).toBe(0);
      }, patience);
    }
    expect(gaveUp).toBeGreaterThan(0);
  });

  it('lets a leader change its value, and nobody who has lost', async () => {
    const name = etcd.name();
    const coordinator = await etcd.connect();
    const election = coordinator.election(name, { id: 'me', priority: 2 });
    const term = await election.campaign('one');
    const { said } = await observe(await etcd.connect(), name);
    await term.proclaim('two');
    const leader = await election.leader();
    const { id: lease } = coordinator.session;
    expect(leader).toMatchObject({ value: 'two', id: 'me', priority: 2, token: term.token, lease });
    await vi.waitFor(() => expect(said).toEqual(['one', 'two']), patience);
    await term.resign();
    await expect(term.proclaim('three')).rejects.toThrow(HoldLostError);
    await expect(term.proclaim(3 as never)).rejects.toThrow(/value must be a string, got 3/);
    expect(await election.leader()).toBe(undefined);
  });

  it('hands over to a candidate by its ID, whoever else is before it', async () => {
    const name = etcd.name();
    const leader = await (await etcd.connect()).election(name).campaign('first');
    const [, , wait] = await stand(name, [{ id: 'a', priority: 9 }, { id: 'b' }, { id: 'c' }]);
    expect(await leader.transferTo('nobody')).toBe(false);
    expect(leader.lost).toBe(undefined);
    expect(leader.remaining()).toBeGreaterThan(0);
    expect(await leader.transferTo('c')).toBe(true);
    expect(leader.remaining()).toBe(0);
    const term = (await wait) as Term;
    const election = (await etcd.connect()).election(name);
    expect((await election.leader())?.id).toBe('c');
    expect((await election.inspect()).candidates.map(({ id }) => id)).toEqual(['a', 'b']);
    expect(await term.resign()).toBe(true);
    expect(await leader.transferTo('b')).toBe(false);
  });

  it('says of transfers at the same time which of them it was', async () => {
    const name = etcd.name();
    let answers: Promise<unknown>[] = [];
    const connecting = etcd.connect({}, (store) =>
      override(store, {
        read: async (...args) => {
          const answer = store.read(...args);
          answers.push(answer);
          await Promise.resolve();
          await Promise.all(answers);
          return answer;
        },
      }),
    );
    const leader = await (await connecting).election(name).campaign('first');
    const waits = await stand(name, [{ id: 'a', priority: 9 }, { id: 'b' }, { id: 'c' }]);
    const ids = ['b', 'nobody', 'c'];
    answers = [];
    const done = await Promise.all(ids.map((id) => leader.transferTo(id)));
    const next = (await (await etcd.connect()).election(name).leader())?.id;
    expect(ids.filter((_, i) => done[i])).toEqual([next]);
    await Promise.race(waits);
  });

  it('has the first of who stands lead when the leader’s session ends', async () => {
    const name = etcd.name();
    const a = await etcd.connect();
    const leader = await a.election(name).campaign('first');
    const [low, high] = await stand(name, [{ id: 'low' }, { id: 'high', priority: 1 }]);
    const { said } = await observe(await etcd.connect(), name);
    await etcd.admin.revoke(a.session.id);
    const term = (await high) as Term;
    expect(term.token).toBeGreaterThan(leader.token);
    await vi.waitFor(() => expect(leader.lost).toBe('revoked'), patience);
    await vi.waitFor(() => expect(said).toEqual(['first', '-', 'value of high']), patience);
    await term.resign();
    expect((await low)?.lost).toBe(undefined);
  });

  it('goes on when somebody deletes the leader’s candidacy, its term, or both', async () => {
    const name = etcd.name();
    const election = (await etcd.connect()).election(name);
    for (const part of ['candidates/', 'terms/', '']) {
      const term = await election.campaign('first');
      const folder = folderOf('election', name);
      const [wait] = await stand(name, [{ id: 'x' }]);
      const key = `${folder}${part}${part && term.key.slice(term.key.lastIndexOf('/') + 1)}`;
      if (part) await etcd.admin.commit({ success: [{ delete: { key } }] });
      else {
        const both = ['candidates/', 'terms/'].map((each) => ({
          delete: { key: term.key.replace('terms/', each) },
        }));
        await etcd.admin.commit({ success: both });
      }
      const isLost = part !== 'candidates/';
      await vi.waitFor(() => expect(term.lost).toBe(isLost ? 'deleted' : undefined), patience);
      expect(await term.resign()).toBe(!isLost);
      const next = await (wait as Promise<Term>);
      expect(await next.resign()).toBe(true);
      expect(await etcd.count(folder)).toBe(0);
    }
  });

  it('is not held up by what others have put in its folder', async () => {
    const name = etcd.name();
    const leader = await (await etcd.connect()).election(name).campaign('first');
    const key = `${folderOf('election', name)}candidates/foreign`;
    const value = '{"priority":99}';
    await etcd.admin.commit({ success: [{ put: { key, value } }] });
    const [wait] = await stand(name, [{ id: 'x' }]);
    await leader.resign();
    expect(await (await (wait as Promise<Term>)).resign()).toBe(true);
    await etcd.admin.commit({ success: [{ delete: { key } }] });
  });

  it('tells of waiting, of being elected and of a loss', async () => {
    const name = etcd.name();
    const leader = await (await etcd.connect()).election(name).campaign('first');
    const told: string[] = [];
    const election = (await etcd.connect())
      .election(name)
      .on('waiting', (event) => told.push(`waiting for ${event.name}`))
      .on('elected', ({ token, waited }) => told.push(`elected ${token} ${waited > 0}`))
      .on('lost', ({ reason }) => told.push(`lost: ${reason}`));
    const wait = election.campaign('second');
    await vi.waitFor(() => expect(told).toEqual([`waiting for ${name}`]), patience);
    await leader.resign();
    const { key, token } = await wait;
    await etcd.admin.commit({ success: [{ delete: { key } }] });
    await vi.waitFor(
      () => expect(told.slice(1)).toEqual([`elected ${token} true`, 'lost: deleted']),
      patience,
    );
  });

  it.each([
    ['an empty name', '', {}, /name must be a non-empty string, got ''/],
    ['an unknown layout', 'x', { layout: 'java' }, /layout must be 'recipes' or 'go', got 'java'/],
    ['an empty ID', 'x', { id: '' }, /id must be a non-empty string, got ''/],
    ['no number', 'x', { priority: Number.NaN }, /priority must be a finite number, got NaN/],
    ['no check', 'x', { healthy: true }, /healthy must be a function, got true/],
    ['no pause', 'x', { healthInterval: 0 }, /healthInterval must be a number of milliseconds/],
    ['a priority', 'x', { layout: 'go', priority: 1 }, /priority must be given with the layout/],
    ['an ID', 'x', { layout: 'go', id: 'a' }, /id must be given with the layout 'recipes' only/],
  ])('refuses %s', async (_, name, options, message) => {
    const coordinator = await etcd.connect();
    const make = (): Election => coordinator.election(name, options as never);
    expect(make).toThrow(ArgumentError);
    expect(make).toThrow(message);
  });

  it('refuses a value that is no text, and what its layout does not have', async () => {
    const coordinator = await etcd.connect();
    const election = coordinator.election(etcd.name());
    await expect(election.campaign(1 as never)).rejects.toThrow(/value must be a string, got 1/);
    await expect(election.tryCampaign({} as never)).rejects.toThrow(ArgumentError);
    const run = (options: object): Promise<unknown> => election.run('me', () => {}, options);
    await expect(run({ stopWithin: -1 })).rejects.toThrow(/stopWithin must be a number/);
    await expect(run({ onOverrun: 'panic' })).rejects.toThrow(/onOverrun must be 'event', 'exit'/);
    const term = await coordinator.election(etcd.name(), { layout: 'go' }).campaign('me');
    await expect(term.transferTo('x')).rejects.toThrow(ArgumentError);
    expect(await term.resign()).toBe(true);
  });
});

describe('an election that is kept as Go keeps it', () => {
  it('has value, order and proclamations in its line', async () => {
    const name = etcd.name();
    const layout = 'go';
    const leader = await (await etcd.connect()).election(name, { layout }).campaign('first');
    const waits = await stand(name, []);
    expect(waits).toEqual([]);
    const election = (await etcd.connect()).election(name, { layout });
    const next = election.campaign('second');
    await standing(election, 1);
    const { said } = await observe(await etcd.connect(), name, { layout });
    expect(await election.inspect()).toMatchObject({
      leader: { value: 'first', token: leader.token },
      candidates: [{ value: 'second' }],
    });
    const { kvs } = await etcd.admin.read({ key: leader.key });
    expect(kvs[0]?.value.toString()).toBe('first');
    await leader.proclaim('still first');
    await leader.resign();
    const term = await next;
    await term.resign();
    await vi.waitFor(() => expect(said).toEqual(['first', 'still first', 'second', '-']), patience);
  });
});
