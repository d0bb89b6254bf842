import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { keyId, prefixRange } from '../../src/core/store/keys.js';
import {
  type KeyRange,
  type KeyValue,
  Namespace,
  type Store,
  type Txn,
  type WatchEvent,
  type WatchListener,
} from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';

const etcd = useEtcd();

const hostile = fc.oneof(
  fc.constantFrom('\0', '\xff', '\xff\xff', 'a', 'a/', 'a\xff'),
  fc.string({ minLength: 1, maxLength: 3 }),
);
const someKey = hostile.map((text) => Buffer.from(text, 'latin1'));
const someKeys: fc.Arbitrary<KeyRange> = fc.oneof(
  someKey.map((only) => ({ key: only })),
  fc.tuple(someKey, someKey).map(([from, end]) => ({ key: from, end })),
  someKey.map((from) => ({ key: from, end: Buffer.from([0]) })),
);
const operation = fc.oneof(
  someKeys.map((within) => ({ range: within })),
  fc
    .tuple(someKey, fc.string({ maxLength: 2 }))
    .map(([at, value]) => ({ put: { key: at, value } })),
  someKeys.map((within) => ({ delete: within })),
);
const someTxn: fc.Arbitrary<Txn> = fc.record({
  compare: fc.array(
    someKeys.map((within) => Object.assign({ target: 'create', is: '>', to: 0n } as const, within)),
    { maxLength: 2 },
  ),
  success: fc.array(
    fc.oneof(
      operation,
      operation.map((inner) => ({ txn: { success: [inner] } })),
    ),
    { maxLength: 1 },
  ),
  failure: fc.array(operation, { maxLength: 1 }),
});
const plain = (value: unknown): string =>
  JSON.stringify(value, (name, part: unknown) => {
    // Revisions differ between two places in one history.
    if (name === 'createRevision' || name === 'modRevision' || name === 'revision') return 0;
    return typeof part === 'bigint' ? String(part) : part;
  });

describe('a namespace', () => {
  it('behaves as a store of its own, and touches nothing outside', {
    timeout: 180_000,
  }, async () => {
    const outside = etcd.name();
    const mine = new Namespace(etcd.admin, Buffer.from(`${outside}\xff/`, 'latin1'));
    const other = new Namespace(etcd.admin, `${outside}-other/`);
    const walls = [
      Buffer.from(`${outside}\xff.`, 'latin1'),
      Buffer.from(`${outside}\xff0`, 'latin1'),
    ];
    for (const wall of walls) {
      await etcd.admin.commit({ success: [{ put: { key: wall, value: 'wall' } }] });
    }
    await fc.assert(
      fc.asyncProperty(fc.array(someTxn, { maxLength: 6 }), async (txns) => {
        for (const each of txns) {
          const replies = [await mine.commit(each), await other.commit(each)];
          expect(plain(replies[0])).toBe(plain(replies[1]));
        }
        const everything = { key: Buffer.from([0]), end: Buffer.from([0]) };
        const reads = [await mine.read(everything), await other.read(everything)];
        expect(plain(reads[0])).toBe(plain(reads[1]));
      }),
      { numRuns: 150 },
    );
    for (const wall of walls) expect((await etcd.admin.read({ key: wall })).count).toBe(1);
    await etcd.admin.commit({ success: [{ delete: prefixRange(outside) }] });
  });

  it('shows changes inside it, without its prefix, and none outside', async () => {
    const name = etcd.name();
    const inner = new Namespace(new Namespace(etcd.admin, `${name}/a/`), 'b/');
    const seen: KeyValue[] = [];
    const watch = inner.watch(
      { key: '\0', end: '\0' },
      {
        events: (events) => seen.push(...events.map(({ kv }) => kv)),
        gap: () => {},
        closed: () => {},
      },
    );
    await watch.ready;
    for (const path of ['a/b/x', 'a/c', 'a/b', 'a/b/y']) {
      await etcd.admin.commit({ success: [{ put: { key: `${name}/${path}`, value: '' } }] });
    }
    await vi.waitFor(() => expect(seen.map(({ key: k }) => keyId(k))).toEqual(['x', 'y']));
    watch.close();
    await etcd.admin.commit({ success: [{ delete: prefixRange(name) }] });
  });

  it('passes leases through, and outlives its own close', async () => {
    const inner = new Namespace(etcd.admin, `${etcd.name()}/`);
    const lease = 0x7777_7777n;
    expect(await inner.grant(lease, 10_000)).toBe(10_000);
    expect(await inner.keepAlive(lease)).toBe(10_000);
    await inner.commit({ success: [{ put: { key: 'k', value: 'v', lease } }] });
    expect((await inner.read({ key: 'k' })).kvs[0]).toMatchObject({ lease, key: Buffer.from('k') });
    inner.close();
    await inner.revoke(lease);
    expect((await inner.read({ key: 'k' })).count).toBe(0);
  });

  const key = Buffer.from('m');

  it.each([
    ['a read', (store: Store, range: KeyRange) => store.read(range)],
    [
      'a read in a transaction',
      async (store: Store, range: KeyRange) =>
        (await store.commit({ success: [{ range }] })).replies[0],
    ],
    [
      'a deletion',
      async (store: Store, range: KeyRange) =>
        (await store.commit({ success: [{ delete: { ...range, previous: true } }] })).replies[0],
    ],
  ])(
    'takes an end without a byte for none in %s, and so does the store below it',
    async (_, call) => {
      const name = etcd.name();
      // An empty end with a prefix before it would be one for all keys there are.
      const prefixes = [name, Buffer.concat([Buffer.of(0), Buffer.from(name)])];
      const places = [
        ...prefixes.map((prefix) => [new Namespace(etcd.admin, prefix), 'm'] as const),
        [etcd.admin, `${name}-m`] as const,
      ];
      for (const [place, at] of places) {
        const all = [at, `${at}0`].map((each) => ({ put: { key: each, value: '' } }));
        await place.commit({ success: all });
        const reply = await call(place, { key: at, end: '' });
        expect(reply?.kvs.map((kv) => kv.key.toString())).toEqual([at]);
      }
      for (const prefix of prefixes) {
        await etcd.admin.commit({ success: [{ delete: prefixRange(prefix) }] });
      }
    },
  );

  it('compares the one key where the end is without a byte', async () => {
    const name = etcd.name();
    const place = new Namespace(etcd.admin, `${name}/`);
    await place.commit({ success: [{ put: { key, value: 'v' } }] });
    for (const [to, holds] of [
      ['v', true],
      ['w', false],
    ] as const) {
      const compare = [{ key, end: '', target: 'value', to } as const];
      expect((await place.commit({ compare })).succeeded).toBe(holds);
    }
    await place.commit({ success: [{ delete: { key } }] });
  });

  it.each([
    ['to the end of all keys', '\0', ['\0', 'm', '\xff']],
    ['to a key', 'n', ['\0', 'm']],
    ['without an end', undefined, ['\0']],
    ['without a byte in its end', '', ['\0']],
  ])('has a watch without a key begin at its first one, %s', async (_, end, expected) => {
    const name = etcd.name();
    const place = new Namespace(etcd.admin, `${name}/`);
    const seen: string[] = [];
    const watch = place.watch(
      { key: '', ...(end !== undefined && { end }) },
      {
        events: (events) => seen.push(...events.map(({ kv }) => keyId(kv.key))),
        gap: () => {},
        closed: () => {},
      },
    );
    await watch.ready;
    // What comes before the namespace among all keys, and after it.
    const before = { key: Buffer.concat([Buffer.of(1), Buffer.from(name)]), value: '' };
    const after = { key: `${name}0`, value: '' };
    for (const put of [before, after]) await etcd.admin.commit({ success: [{ put }] });
    for (const at of ['\0', 'm', '\xff']) {
      const put = { key: Buffer.from(at, 'latin1'), value: '' };
      await place.commit({ success: [{ put }] });
    }
    const { revision } = await etcd.admin.read({ key });
    const all = new Recorder();
    const replay = place.watch({ key: '\0', end: '\0' }, all, { from: revision - 2n });
    await vi.waitFor(() => expect(all.keys).toHaveLength(3));
    await vi.waitFor(() => expect(seen).toEqual(expected));
    replay.close();
    watch.close();
    const gone = [prefixRange(name), { key: before.key }];
    await etcd.admin.commit({ success: gone.map((range) => ({ delete: range })) });
  });

  it('refuses an empty key in every call, as etcd does', async () => {
    const place = new Namespace(new Namespace(etcd.admin, `${etcd.name()}/`), 'inner/');
    const calls = [
      { success: [{ put: { key: '', value: '' } }] },
      { success: [{ range: { key: '' } }] },
      { success: [{ range: { key: '', end: '\0' } }] },
      { success: [{ delete: { key: '', end: '\0' } }] },
      { compare: [{ key: '', target: 'create', to: 0n }] },
      { success: [{ txn: { success: [{ put: { key: '', value: '' } }] } }] },
    ] satisfies Txn[];
    for (const txn of calls) await expect(place.commit(txn)).rejects.toThrow(/key is not provided/);
    await expect(place.read({ key: '', end: '\0' })).rejects.toThrow(/key is not provided/);
  });

  it('in a namespace is the same as one with both prefixes', async () => {
    const name = etcd.name();
    const coordinator = await etcd.connect();
    const nested = coordinator.namespace(`${name}/`).namespace('b/');
    const direct = coordinator.namespace(`${name}/b/`);
    expect(Namespace.isSame(nested.store, direct.store)).toBe(true);
    expect(Namespace.isSame(nested.store, coordinator.namespace(`${name}/c/`).store)).toBe(false);
    await nested.store.commit({ success: [{ put: { key: 'k', value: 'v' } }] });
    expect((await direct.store.read({ key: 'k' })).count).toBe(1);
    // What was taken through the one is fit for the other.
    const hold = await nested.readWriteLock('rw').upgradeable.acquire();
    const upgraded = await direct.readWriteLock('rw').upgrade(hold);
    await upgraded.release();
    await coordinator.namespace(`${name}/`).contents.clear();
  });

  it('edits nothing that it was given, nor what others were given too', async () => {
    const shared: KeyValue = {
      key: Buffer.from('p/k'),
      value: Buffer.from('v'),
      createRevision: 1n,
      modRevision: 1n,
      version: 1n,
      lease: 0n,
    };
    const reply = { succeeded: true, revision: 1n, replies: [{ kvs: [shared], count: 1 }] };
    const kept = structuredClone(reply);
    const listeners: WatchListener[] = [];
    const below = override(etcd.admin, {
      commit: async () => reply,
      read: async () => ({ ...reply.replies[0], kvs: [shared], count: 1, revision: 1n }),
      watch: (_, listener) => {
        listeners.push(listener);
        return { since: 1n, ready: Promise.resolve(), close: () => {} };
      },
    });
    const place = new Namespace(below, 'p/');
    const request = Object.freeze({ key: 'k', end: '\0' });
    for (const _ of [1, 2]) {
      expect((await place.read(request)).kvs[0]?.key.toString()).toBe('k');
      const { replies } = await place.commit({ success: [{ range: request }] });
      expect(replies[0]?.kvs[0]?.key.toString()).toBe('k');
    }
    const recorders = [new Recorder(), new Recorder()];
    for (const recorder of recorders) place.watch(request, recorder);
    for (const listener of listeners)
      listener.events([{ type: 'put', kv: shared, previous: shared }]);
    expect(recorders.map(({ keys }) => keys)).toEqual([['k'], ['k']]);
    expect(structuredClone(reply)).toEqual(kept);
  });
});

/** Notes the keys of all events. */
class Recorder implements WatchListener {
  readonly keys: string[] = [];
  events(events: readonly WatchEvent[]): void {
    this.keys.push(...events.map(({ kv }) => keyId(kv.key)));
  }
  gap(): void {}
  closed(): void {}
}
