import { expect, it } from 'vitest';
import { prefixRange } from '../../src/core/store/keys.js';
import {
  type Coordinator,
  type Operation,
  QuotaError,
  type Store,
  Tenants,
  type Txn,
} from '../../src/index.js';
import { none } from '../../src/tenants/charge.js';
import type { Page } from '../../src/tenants/ledger.js';
import { waitFor } from '../../src/testing/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { useEtcd } from '../support/etcd.js';
import { noAnswer, override } from '../support/override.js';
import { randomFrom } from '../support/random.js';
import { dying } from './support/dying.js';

const etcd = useEtcd();

/** A tenant without a user, whose keys go after the test. */
async function tenant(quota: object): Promise<{ name: string; admin: Coordinator }> {
  const name = etcd.name();
  const admin = await etcd.connect();
  await admin.tenants.create(name, { quota, isolation: 'prefix' });
  etcd.defer(async () => {
    const all = [
      `tenants/${name}/`,
      ...['records', 'terms', 'audit'].map((part) => `.etcd-recipes/tenants/${part}/${name}`),
    ];
    await etcd.admin.commit({ success: all.map((each) => ({ delete: prefixRange(each) })) });
  });
  return { name, admin };
}

const put = (store: Store, key: string, value = '') =>
  store.commit({ success: [{ put: { key, value } }] });

it('lets a tenant have as many keys as it may, and takes no more before one goes', async () => {
  const { name, admin } = await tenant({ keys: 3 });
  const { store } = await admin.tenant(name);
  for (const key of ['a', 'b', 'c']) await put(store, key);
  const error = (await rejection(put(store, 'd'))) as QuotaError;
  expect(error).toBeInstanceOf(QuotaError);
  expect(error).toMatchObject({ code: 'ERR_QUOTA', limit: { keys: 3 }, usage: { keys: 3 } });
  // Neither of both is applied.
  const both = [{ delete: { key: 'a' } }, { put: { key: 'd', value: '' } }];
  await expect(store.commit({ success: both })).rejects.toThrow(/3 of 3 keys/);
  expect((await store.read({ key: 'a', end: 'e' })).count).toBe(3);
  await put(store, 'b', 'may be replaced');
  await store.commit({ success: [{ delete: { key: 'a' } }] });
  await put(store, 'd');
  expect(await admin.tenants.usage(name)).toMatchObject({ keys: 3 });
});

it('counts bytes of keys and values', async () => {
  const { name, admin } = await tenant({ bytes: 100 });
  const { store } = await admin.tenant(name);
  await put(store, 'k', 'v'.repeat(99));
  await expect(put(store, 'l')).rejects.toThrow(/100 of 100 bytes/);
  await put(store, 'k', 'v'.repeat(50));
  await put(store, 'l', 'v'.repeat(48));
  await expect(put(store, 'm')).rejects.toThrow(QuotaError);
  expect(await admin.tenants.usage(name)).toEqual({ keys: 2, bytes: 100 });
});

it('takes back what was given to a process that died, and what went with its lease', async () => {
  const { name, admin } = await tenant({ keys: 10 });
  const other = await etcd.connect();
  const theirs = await other.tenant(name);
  const lease = other.session.id;
  await theirs.store.commit({ success: [{ put: { key: 'leased', value: '', lease } }] });
  const { store } = await admin.tenant(name);
  for (let key = 0; key < 9; key += 1) await put(store, `k${key}`);
  await expect(put(store, 'more')).rejects.toThrow(QuotaError);
  await etcd.admin.revoke(lease);
  await waitFor(() =>
    put(store, 'more').then(
      () => true,
      () => false,
    ),
  );
  expect(await admin.tenants.usage(name)).toMatchObject({ keys: 10 });
});

it('is counted by others where who counted before got no answer when he had done so', async () => {
  const { name, admin } = await tenant({ keys: 10 });
  let lost = 0;
  const other = await etcd.connect({}, (store) =>
    override(store, {
      commit: (txn, options) => {
        const [step] = txn.success ?? [];
        const isEnd = step && 'delete' in step && String(step.delete.key).endsWith('/counting');
        if (!isEnd || (lost += 1) > 1) return store.commit(txn, options);
        return Promise.reject(noAnswer());
      },
    }),
  );
  expect(await other.tenants.reconcile(name)).toEqual({ keys: 0, bytes: 0 });
  expect(await admin.tenants.reconcile(name)).toEqual({ keys: 0, bytes: 0 });
  expect(lost).toBe(2);
});

it('goes by a new quota at once, and counts what was written around it', async () => {
  const { name, admin } = await tenant({ keys: 100 });
  const { store } = await admin.tenant(name);
  await put(store, 'a');
  await put(etcd.admin, `tenants/${name}/around`);
  await admin.tenants.setQuota(name, { keys: 2 });
  await expect(put(store, 'b')).rejects.toThrow(/2 of 2 keys/);
  await admin.tenants.setQuota(name, { keys: 3 });
  await put(store, 'b');
  expect(await admin.tenants.reconcile(name)).toMatchObject({ keys: 3 });
  await admin.tenants.suspend(name);
  await expect(put(store, 'a')).rejects.toThrow(/not active/);
});

it('is never exceeded by processes that write and delete at the same time, and gives all of it away', async () => {
  const { name } = await tenant({ keys: 20, bytes: 2_000 });
  const seed = Math.floor(Math.random() * 2 ** 31);
  const most = { keys: 0, bytes: 0 };
  const now = new Map<string, number>();
  const prefix = `tenants/${name}/`;
  const watch = etcd.admin.watch(prefixRange(prefix), {
    events: (events) => {
      for (const { type, kv } of events) {
        const key = kv.key.toString().slice(prefix.length);
        if (key.startsWith('.')) continue;
        if (type === 'put') now.set(key, key.length + kv.value.length);
        else now.delete(key);
      }
      most.keys = Math.max(most.keys, now.size);
      most.bytes = Math.max(
        most.bytes,
        [...now.values()].reduce((a, b) => a + b, 0),
      );
    },
    gap: () => {},
    closed: () => {},
  });
  await watch.ready;
  const workers = await Promise.all(
    Array.from({ length: 3 }, async () => (await etcd.connect()).tenant(name)),
  );
  let refused = 0;
  await Promise.all(
    workers.flatMap(({ store }, worker) =>
      [0, 1].map(async (lane) => {
        const random = randomFrom(seed + 2 * worker + lane);
        for (let turn = 0; turn < 40; turn += 1) {
          const key = `k${Math.floor(random() * 40)}`;
          const step =
            random() < 0.3
              ? { delete: random() < 0.3 ? { key, end: 'l' } : { key } }
              : { put: { key, value: 'v'.repeat(random() * 200) } };
          const compare = random() < 0.3 ? [{ key, target: 'create', to: 0n } as const] : [];
          try {
            await store.commit({ compare, success: [step] });
          } catch (error) {
            if (!(error instanceof QuotaError)) throw error;
            refused += 1;
          }
        }
      }),
    ),
  );
  expect(refused, `seed ${seed}`).toBeGreaterThan(0);
  expect(most.keys, `seed ${seed}`).toBeLessThanOrEqual(20);
  expect(most.bytes, `seed ${seed}`).toBeLessThanOrEqual(2_000);
  const { store } = workers[0] as Coordinator;
  await store.commit({ success: [{ delete: { key: 'k', end: 'l' } }] });
  for (let key = 0; key < 20; key += 1)
    await waitFor(() =>
      put(store, `k${key}`).then(
        () => true,
        () => false,
      ),
    );
  watch.close();
});

it('has a write wait for others who count no longer than its caller does', async () => {
  const { name, admin } = await tenant({ keys: 1 });
  await put((await admin.tenant(name)).store, 'a');
  const counting = `tenants/${name}/.etcd-recipes/quota/counting`;
  await put(etcd.admin, counting);
  const { store } = await (await etcd.connect()).tenant(name);
  const success = [{ put: { key: 'b', value: '' } }];
  const first = rejection(store.commit({ success }));
  const reason = new Error('enough');
  await expect(store.commit({ success }, { signal: AbortSignal.abort(reason) })).rejects.toBe(
    reason,
  );
  const late = await rejection(store.commit({ success }, { timeout: 1 }));
  expect(late).toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'not-applied' });
  await etcd.admin.commit({ success: [{ delete: { key: counting } }] });
  expect(await first).toBeInstanceOf(QuotaError);
});

it('is not exceeded where a write is given up while more is asked for', async () => {
  const { name } = await tenant({ keys: 100 });
  const given = new AbortController();
  let isDue = false;
  const writer = await etcd.connect({}, (store) =>
    override(store, {
      commit: async (txn, options) => {
        const reply = await store.commit(txn, options);
        const isBook = (step: Operation): boolean =>
          'put' in step && String(step.put.key).endsWith('/book');
        if (isDue && txn.success?.some(isBook)) given.abort(new Error('enough'));
        options?.signal?.throwIfAborted();
        return reply;
      },
    }),
  );
  const { store } = await writer.tenant(name);
  const puts = (from: number, to: number): Txn => ({
    success: Array.from({ length: to - from }, (_, i) => ({
      put: { key: `k${from + i}`, value: '' },
    })),
  });
  await store.commit(puts(0, 80));
  await store.commit(puts(80, 90));
  await store.commit({
    success: Array.from({ length: 40 }, (_, i) => ({ delete: { key: `k${i}` } })),
  });
  isDue = true;
  await expect(store.commit(puts(100, 145), { signal: given.signal })).rejects.toThrow('enough');
  isDue = false;
  await waitFor(() =>
    store.commit(puts(100, 145)).then(
      () => true,
      () => false,
    ),
  );
  await rejection(store.commit(puts(200, 220)));
  expect((await writer.tenants.usage(name)).keys).toBeLessThanOrEqual(100);
});

const nothing = JSON.stringify({ used: none, shares: {} });

/** What the book says that a tenant has at most, and what of that is promised only. */
async function bookOf(name: string): Promise<{ readonly most: number; readonly shares: number }> {
  const key = `tenants/${name}/.etcd-recipes/quota/book`;
  const { kvs } = await etcd.admin.read({ key });
  const { used, shares } = JSON.parse(String(kvs[0]?.value ?? nothing)) as Page;
  const promised = Object.values(shares).reduce((sum, { keys }) => sum + keys, 0);
  return { most: used.keys + promised, shares: promised };
}

it.each(['before', 'after'] as const)(
  'counts at least what is there, and no more once it was counted, when a writer died %s any of its requests',
  async (when) => {
    for (let at = 1; at < 40; at += 1) {
      const { name, admin } = await tenant({ keys: 5 });
      const writer = await etcd.connect();
      const mortal = dying(writer.store, at, when);
      const writes = async (): Promise<void> => {
        const store = await new Tenants(writer.session.over(mortal.store)).open(name);
        for (const key of ['a', 'b', 'a', 'c']) await put(store, key);
        await store.commit({ success: [{ delete: { key: 'a', end: 'c' } }] });
        for (const key of ['d', 'e', 'f', 'g']) await put(store, key);
        // There is room for none.
        await expect(put(store, 'h')).rejects.toThrow(QuotaError);
      };
      const isDone = await writes().then(
        () => true,
        () => false,
      );
      // What hangs on its session goes with it.
      await writer.close(0);
      const { keys } = await admin.tenants.usage(name);
      expect((await bookOf(name)).most).toBeGreaterThanOrEqual(keys);
      expect(await admin.tenants.reconcile(name)).toMatchObject({ keys });
      expect(await bookOf(name)).toEqual({ most: keys, shares: 0 });
      const { store } = await admin.tenant(name);
      for (let key = keys; key < 5; key += 1) await put(store, `new ${key}`);
      await expect(put(store, 'more')).rejects.toThrow(QuotaError);
      if (isDone) return;
    }
    expect.unreachable('it never ends');
  },
);

it('has who writes within it leave nothing behind when the tenant is deleted', async () => {
  const { name, admin } = await tenant({ keys: 10 });
  const { store } = await admin.tenant(name);
  await put(store, 'a');
  let late: Promise<unknown> | undefined;
  const other = await etcd.connect({}, (below) =>
    override(below, {
      read: async (range, options) => {
        const reply = await below.read(range, options);
        // What is to be cleared was looked at: this is behind it.
        if (String(range.key).startsWith(`tenants/${name}/`)) late ??= rejection(put(store, '~'));
        await late;
        return reply;
      },
    }),
  );
  await other.tenants.delete(name);
  expect(await late).toMatchObject({ message: `tenant ${name} is not active` });
  expect((await etcd.admin.read(prefixRange(`tenants/${name}/`))).count).toBe(0);
});

it('lets all that there is be replaced by an import where no room is left, and refuses what is too much at once', async () => {
  const { name, admin } = await tenant({ keys: 128 });
  const { store, contents } = await admin.tenant(name);
  const puts = (value: string) =>
    Array.from({ length: 128 }, (_, i) => ({ put: { key: `k${i}`, value } }));
  await store.commit({ success: puts('old') });
  const lines: string[] = [];
  for await (const line of contents.export()) lines.push(line.replace('"old"', '"new"'));
  expect(await contents.import(lines, { overwrite: true })).toMatchObject({ replaced: 128 });
  await expect(store.commit({ success: puts('newer') })).rejects.toThrow(QuotaError);
});

it('goes by what was counted there where another tenant is imported', async () => {
  const from = await tenant({ keys: 10 });
  const to = await tenant({ keys: 10 });
  await put((await from.admin.tenant(from.name)).store, 'a');
  const { store } = await to.admin.tenant(to.name);
  for (let key = 0; key < 10; key += 1) await put(store, `k${key}`);
  const inside = ({ name, admin }: typeof to) => admin.namespace(`tenants/${name}/`).contents;
  expect(await inside(to).import(inside(from).export())).toMatchObject({ created: 1 });
  const { store: others } = await (await etcd.connect()).tenant(to.name);
  await expect(put(others, 'more')).rejects.toThrow(QuotaError);
});

it('takes one share for a process that opens it again and again, in which each is known to the others', async () => {
  const { name, admin } = await tenant({ bytes: 1e9 });
  const ours = await Promise.all([1, 2, 3].map(() => admin.tenant(name)));
  await Promise.all(ours.map(({ store }, i) => put(store, `k${i}`)));
  const shares = prefixRange(`tenants/${name}/.etcd-recipes/quota/shares/`);
  expect((await etcd.admin.read(shares)).count).toBe(1);
  const register = (each?: Coordinator) => each?.service('s').register({ id: 'x', address: 'a' });
  await register(ours[0]);
  await expect(register(ours[1])).rejects.toThrow(/in use by this process/);
});

it('has a container of its own, where its store and session are found', async () => {
  const { name, admin } = await tenant({ keys: 1_000 });
  const { container, store } = await admin.tenant(name);
  const { STORE, SESSION } = await import('../../src/index.js');
  expect(container.resolve(STORE)).toBe(store);
  expect(container.resolve(SESSION).store).toBe(store);
  expect(container.resolve(SESSION).id).toBe(admin.session.id);
  const mutex = (await admin.tenant(name)).mutex('m');
  expect(await (await mutex.acquire()).release()).toBe(true);
});

it('refuses of jobs that are put together those that do not fit', async () => {
  const { name, admin } = await tenant({ bytes: 5_000 });
  const jobs = (await admin.tenant(name)).queue<string>('jobs');
  const values = ['small', 'x'.repeat(10_000), 'small, too'];
  const puts = await Promise.allSettled(values.map((value) => jobs.put(value)));
  expect(puts.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect((puts[1] as PromiseRejectedResult).reason).toBeInstanceOf(QuotaError);
});
