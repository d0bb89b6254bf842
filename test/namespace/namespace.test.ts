import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { keyId, prefixRange } from '../../src/core/keys.js';
import { type KeyRange, type KeyValue, Namespace, type Txn } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

const hostile = fc.oneof(
  fc.constantFrom('\0', '\xff', '\xff\xff', 'a', 'a/', 'a\xff'),
  fc.string({ minLength: 1, maxLength: 3 }),
);
const key = hostile.map((text) => Buffer.from(text, 'latin1'));
const range: fc.Arbitrary<KeyRange> = fc.oneof(
  key.map((only) => ({ key: only })),
  fc.tuple(key, key).map(([from, end]) => ({ key: from, end })),
  key.map((from) => ({ key: from, end: Buffer.from([0]) })),
);
const operation = fc.oneof(
  range.map((within) => ({ range: within })),
  fc.tuple(key, fc.string({ maxLength: 2 })).map(([at, value]) => ({ put: { key: at, value } })),
  range.map((within) => ({ delete: within })),
);
const txn: fc.Arbitrary<Txn> = fc.record({
  compare: fc.array(
    range.map((within) => Object.assign({ target: 'create', is: '>', to: 0n } as const, within)),
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
    timeout: 60_000,
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
      fc.asyncProperty(fc.array(txn, { maxLength: 6 }), async (txns) => {
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
});
