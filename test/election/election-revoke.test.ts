import { expect, it, vi } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { ArgumentError, type Store } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';

const etcd = useEtcd();
const patience = { timeout: 60_000 };

it('who leads is asked to resign, and leads on; observers see no change', async () => {
  const election = (await etcd.connect()).election(etcd.name());
  expect(await election.requestRevoke('nobody there')).toEqual([]);
  const term = await election.campaign('me');
  const heard: string[] = [];
  term.onRevokeRequest(({ reason }) => heard.push(reason));
  const asked = await election.requestRevoke('update at 3');
  expect(asked).toMatchObject([{ value: 'me', token: term.token }]);
  await vi.waitFor(() => expect(heard).toEqual(['update at 3']), patience);
  expect(await election.leader()).toMatchObject({ value: 'me', token: term.token });
  await term.proclaim('me, leaving');
  expect(await term.resign()).toBe(true);
});

it('a value that is proclaimed while somebody is asked is not undone', async () => {
  const name = etcd.name();
  const term = await (await etcd.connect()).election(name).campaign('old');
  let isFirst = true;
  const late = (store: Store): Store =>
    override(store, {
      commit: async (txn, options) => {
        if (isFirst) await term.proclaim('new');
        isFirst = false;
        return store.commit(txn, options);
      },
    });
  const heard: string[] = [];
  term.onRevokeRequest(({ reason }) => heard.push(reason));
  const operator = (await etcd.connect({}, late)).election(name);
  expect(await operator.requestRevoke('update')).toMatchObject([{ token: term.token }]);
  await vi.waitFor(() => expect(heard).toEqual(['update']), patience);
  expect((await operator.leader())?.value).toBe('new');
});

it.each(['recipes', 'go'] as const)(
  'a term that is ended by force passes to who waits, in the layout %s',
  async (layout) => {
    const name = etcd.name();
    const audit = prefixRange(folderOf('audit', `election/${name}`));
    etcd.defer(() => etcd.admin.commit({ success: [{ delete: audit }] }));
    const election = (await etcd.connect()).election(name, { layout });
    const term = await election.campaign('old');
    const next = (await etcd.connect()).election(name, { layout }).campaign('new');
    await vi.waitFor(async () => {
      expect((await election.inspect()).candidates).toHaveLength(1);
    }, patience);
    expect(await election.forceRelease('hangs')).toMatchObject([{ value: 'old' }]);
    const { token } = await next;
    expect(token).toBeGreaterThan(term.token);
    await vi.waitFor(() => expect(term.lost).toBe('deleted'), patience);
    await vi.waitFor(async () => {
      expect((await election.inspect()).candidates).toEqual([]);
    }, patience);
    expect(await election.audit()).toMatchObject([{ token: term.token, reason: 'hangs' }]);
  },
);

it.each(['at once', 'by appointment'])(
  'a leader elected %s that hangs is not in the way of the next after a term ended by force',
  async (how) => {
    const name = etcd.name('election');
    // As where a process is stopped: its lease lives, and it takes nothing back.
    let isHung = false;
    const hang = (store: Store): Store =>
      override(store, {
        commit: (txn, options) => (isHung ? new Promise(() => {}) : store.commit(txn, options)),
      });
    const first = how === 'at once' ? undefined : (await etcd.connect()).election(name);
    const term = await first?.campaign('first');
    const hung = (await etcd.connect({}, hang)).election(name, { priority: 1 }).campaign('hung');
    const operator = (await etcd.connect()).election(name);
    await vi.waitFor(async () => {
      const { leader, candidates } = await operator.inspect();
      expect([leader, ...candidates].map((each) => each?.value)).toContain('hung');
    }, patience);
    await term?.resign();
    await hung;
    const next = (await etcd.connect()).election(name).campaign('next');
    await vi.waitFor(async () => {
      expect((await operator.inspect()).candidates).toMatchObject([{ value: 'next' }]);
    }, patience);
    isHung = true;
    expect(await operator.forceRelease('hangs')).toMatchObject([{ value: 'hung' }]);
    await next;
    expect(await operator.inspect()).toMatchObject({ leader: { value: 'next' }, candidates: [] });
  },
);

it('nobody is asked or forced for no reason: nobody would hear of it', async () => {
  const election = (await etcd.connect()).election(etcd.name('election'));
  const term = await election.campaign('me');
  await expect(election.requestRevoke(undefined as never)).rejects.toThrow(ArgumentError);
  await expect(election.forceRelease(undefined as never)).rejects.toThrow(ArgumentError);
  expect(await term.release()).toBe(true);
});

it('in the layout go nobody is asked, for the value is what others see', async () => {
  const election = (await etcd.connect()).election(etcd.name(), { layout: 'go' });
  await election.campaign('me');
  await expect(election.requestRevoke('x')).rejects.toThrow(ArgumentError);
  expect((await election.leader())?.value).toBe('me');
});
