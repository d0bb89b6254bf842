import { describe, expect, it } from 'vitest';
import { keyId, prefixRange } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  CompactedError,
  ConflictError,
  type Coordinator,
  type Operation,
} from '../../src/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { compact, useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { override } from '../support/override.js';

const etcd = useEtcd();

/** A namespace of its own, which goes after the test with all beside it that has the same name. */
async function tenant(name = etcd.name()): Promise<Coordinator> {
  const coordinator = await etcd.connect();
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(name) }] }));
  return coordinator.namespace(`${name}/`);
}

async function put(
  place: Coordinator,
  keys: readonly (string | Buffer)[],
  value = 'v',
): Promise<void> {
  const puts = keys.map((key): Operation => ({ put: { key, value } }));
  for (let at = 0; at < puts.length; at += 100) {
    await place.store.commit({ success: puts.slice(at, at + 100) });
  }
}

/** Of the large one: a contract of 100,000, which takes a while. */
const large = Number(process.env['NAMESPACE_KEYS'] ?? 20_000);

const many = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `n/${String(index).padStart(6, '0')}`);

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const pairs = async (place: Coordinator): Promise<readonly unknown[]> =>
  (await place.store.read({ key: '\0', end: '\0' })).kvs.map(
    ({ key, value }) => `${keyId(key)}=${keyId(value)}`,
  );

describe('the contents of a namespace', () => {
  it('lists every recipe by kind and name, and other keys by their first part', async () => {
    const place = await tenant();
    await place.counter('visits').add(3n);
    await place.gate('a/b%').raise();
    await place.mutex('backup').acquire();
    await put(place, ['counter/', 'counter/odd', 'plain', 'tenants/b/value/x/value', 'tenants/c']);
    await put(place, [Buffer.of(0), Buffer.of(0xff, 0xfe)]);
    expect(await all(place.contents.list())).toEqual([
      { kind: undefined, name: '\0', keys: 1 },
      { kind: undefined, name: 'counter/', keys: 1 },
      { kind: undefined, name: 'counter/odd', keys: 1 },
      { kind: 'counter', name: 'visits', keys: 1 },
      { kind: 'gate', name: 'a/b%', keys: 1 },
      { kind: 'mutex', name: 'backup', keys: 1 },
      { kind: undefined, name: 'plain', keys: 1 },
      { kind: undefined, name: 'tenants/', keys: 2 },
      { kind: undefined, name: '\ufffd\ufffd', keys: 1 },
    ]);
  });

  it('knows the kinds of all recipes there are', async () => {
    const place = await tenant();
    await place.mutex('m', { lockDelay: 1 }).acquire();
    await place.readWriteLock('r').write.acquire();
    await place.semaphore('s', { limit: 1 }).acquire();
    await place.multiLock(['m1', 'm2']).acquire();
    await place.election('e').campaign('me');
    await place.gate('g').raise();
    await place.latch('l', 2).countDown();
    const wait = { timeout: 100 };
    await rejection(place.cyclicBarrier('c', 2).wait(wait));
    await rejection(place.doubleBarrier('d', 2).enter(wait));
    await place.counter('n').add();
    await place.sequence('q').next();
    await place.value('v').set(1);
    await place.group('g').join(1);
    await place.partitioner('p', { shards: 1 }).resize(2);
    await place.mutex('m').forceRelease('test');
    const { kinds } = await place.contents.usage();
    expect(kinds).not.toHaveProperty('other');
    expect(Object.keys(kinds)).toEqual(expect.arrayContaining(['audit', 'mutex', 'value']));
  });

  it('is measured by kind, in keys and bytes, and not beyond the namespace', async () => {
    const name = etcd.name();
    const place = await tenant(name);
    await put(place, ['counter/a/value', 'counter/b/value', 'x'], '12345');
    const outside = [name, `${name}/`, `${name}0`].map((key) => ({
      put: { key, value: 'o' },
    }));
    await etcd.admin.commit({ success: outside });
    expect(await place.contents.usage()).toEqual({
      keys: 3,
      bytes: 46,
      kinds: { counter: { keys: 2, bytes: 40 }, other: { keys: 1, bytes: 6 } },
    });
    expect(await place.namespace('none/').contents.usage()).toEqual({
      keys: 0,
      bytes: 0,
      kinds: {},
    });
  });

  it('is cleared, says of how many keys, and nothing beyond it is', async () => {
    const name = etcd.name();
    const place = await tenant(name);
    await put(place, many(2_500));
    const outside = [name, `${name}/`, `${name}0`];
    await etcd.admin.commit({ success: outside.map((key) => ({ put: { key, value: 'o' } })) });
    expect(await place.contents.clear()).toBe(2_500);
    expect(await place.contents.clear()).toBe(0);
    const { kvs } = await etcd.admin.read(prefixRange(name));
    expect(kvs.map(({ key }) => key.toString())).toEqual(outside);
  });

  it('is counted exactly where answers are lost', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const name = etcd.name();
    etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(name) }] }));
    const place = coordinator.namespace(`${name}/`);
    await put(place, many(10));
    const lines = await all(place.contents.export());
    below.plan('loses its reply');
    expect(await place.contents.clear()).toBe(10);
    below.plan('loses its reply');
    expect(await place.contents.import(lines)).toEqual({ created: 10, replaced: 0, unchanged: 0 });
  });

  it('of all of etcd is never cleared', async () => {
    const coordinator = await etcd.connect();
    const error = await rejection(coordinator.contents.clear());
    expect(error).toBeInstanceOf(ArgumentError);
    expect(String(error)).toMatch(/clear must be called in a namespace/);
  });

  it('is listed and measured through compaction', async () => {
    const name = etcd.name();
    const place = await tenant(name);
    await put(place, [...many(3_000), 'changed']);
    let reads = 0;
    const decorated = await etcd.connect({}, (store) =>
      override(store, {
        read: async (range, options) => {
          reads += 1;
          if (reads % 2 === 0) {
            await put(place, ['changed'], String(reads));
            await compact(etcd.endpoint, etcd.admin);
          }
          return store.read(range, options);
        },
      }),
    );
    const there = decorated.namespace(`${name}/`);
    expect(await all(there.contents.list())).toEqual([
      { kind: undefined, name: 'changed', keys: 1 },
      { kind: undefined, name: 'n/', keys: 3_000 },
    ]);
    expect((await there.contents.usage()).kinds).toMatchObject({ other: { keys: 3_001 } });
    expect(reads).toBeGreaterThan(10);
  });
});

describe('an export', () => {
  it('is imported elsewhere as it was, byte by byte, without what hangs on leases', async () => {
    const [from, to] = [await tenant(), await tenant()];
    await from.value('v').set('caf\u00e9 \u2028\u2029 "\\');
    await from.counter('n').add(7n);
    const hostile = [
      Buffer.of(0),
      Buffer.of(0xff),
      Buffer.from('\ufeffbom'),
      Buffer.alloc(4_096, 'k'),
    ];
    for (const bytes of hostile) {
      await from.store.commit({ success: [{ put: { key: bytes, value: bytes } }] });
    }
    await from.store.commit({ success: [{ put: { key: 'empty', value: '' } }] });
    const there = await pairs(from);
    await from.mutex('held').acquire();
    const lines = await all(from.contents.export());
    expect(JSON.parse(lines[0] as string)).toEqual({
      format: 'etcd-recipes/namespace/1',
      revision: expect.stringMatching(/^\d+$/),
    });
    expect(JSON.parse(lines.at(-1) as string)).toEqual({ end: true, keys: 7, leased: 1 });
    expect(lines).toContain('{"key":{"base64":"/w=="},"value":{"base64":"/w=="}}');
    expect(lines.join('')).not.toMatch(/[\n\u2028\u2029]/);
    expect(await to.contents.import(lines)).toEqual({ created: 7, replaced: 0, unchanged: 0 });
    expect(await pairs(to)).toEqual(there);
    expect(await to.counter('n').get()).toBe(7n);
  });

  it('is of one revision, whatever is written meanwhile', async () => {
    const place = await tenant();
    await put(place, many(1_000), 'old');
    const lines: string[] = [];
    for await (const line of place.contents.export()) {
      if (lines.length % 100 === 0) {
        await put(
          place,
          [`n/${String(lines.length + 50).padStart(6, '0')}`, `later/${lines.length}`],
          'new',
        );
        await place.store.commit({
          success: [{ delete: { key: `n/${String(lines.length + 51).padStart(6, '0')}` } }],
        });
      }
      lines.push(line);
    }
    expect(lines).toHaveLength(1_002);
    expect(lines.join('')).not.toMatch(/new|later/);
  });

  it('ends with an error where etcd forgets its revision, and is refused for want of its last line', async () => {
    const [from, to] = [await tenant(), await tenant()];
    await put(from, many(1_000));
    const lines: string[] = [];
    const read = async (): Promise<void> => {
      for await (const line of from.contents.export()) {
        if (lines.push(line) !== 10) continue;
        await put(from, ['n/x']);
        await compact(etcd.endpoint, etcd.admin);
      }
    };
    expect(await rejection(read())).toBeInstanceOf(CompactedError);
    const error = await rejection(to.contents.import(lines));
    expect(error).toBeInstanceOf(ArgumentError);
    expect(String(error)).toMatch(/lines must be a whole export/);
  });

  it('is as good after an import that broke off as after none', async () => {
    const [from, to] = [await tenant(), await tenant()];
    await put(from, many(300));
    const lines = await all(from.contents.export());
    const stop = new Error('enough');
    function* broken(): Generator<string> {
      yield* lines.slice(0, 200);
      throw stop;
    }
    expect(await rejection(to.contents.import(broken()))).toBe(stop);
    const report = await to.contents.import(lines);
    expect(report.replaced).toBe(0);
    expect(report.unchanged).toBeGreaterThan(0);
    expect(report.created).toBeGreaterThan(0);
    expect(report.created + report.unchanged).toBe(300);
    expect(await pairs(to)).toEqual(await pairs(from));
  });

  it('replaces nothing unless told to, and then counts it', async () => {
    const [from, to] = [await tenant(), await tenant()];
    await put(from, ['a', 'b', 'c', 'd']);
    await put(to, ['b']);
    await put(to, ['c'], 'mine');
    const lease = 0x1234_5678n;
    await to.store.grant(lease, 60_000);
    await to.store.commit({ success: [{ put: { key: 'd', value: 'v', lease } }] });
    const lines = await all(from.contents.export());
    const before = await pairs(to);
    expect(await rejection(to.contents.import(lines))).toBeInstanceOf(ConflictError);
    expect(await pairs(to)).toEqual(before);
    const report = await to.contents.import(lines, { overwrite: true });
    expect(report).toEqual({ created: 1, replaced: 2, unchanged: 1 });
    await to.store.revoke(lease);
    expect(await pairs(to)).toEqual(await pairs(from));
  });

  it.each([
    ['no line', []],
    ['another format', ['{"format":"other/1"}', '{"end":true,"keys":0}']],
    ['no JSON', ['{"format":"etcd-recipes/namespace/1"}', 'key']],
    ['a line without a key', ['{"format":"etcd-recipes/namespace/1"}', '{"value":"v"}']],
    ['an empty key', ['{"format":"etcd-recipes/namespace/1"}', '{"key":"","value":"v"}']],
    ['a wrong count', ['{"format":"etcd-recipes/namespace/1"}', '{"end":true,"keys":1}']],
    [
      'more behind its end',
      ['{"format":"etcd-recipes/namespace/1"}', '{"end":true,"keys":0}', '{}'],
    ],
    [
      'another head',
      ['{"format":"etcd-recipes/namespace/1"}', '{"format":"etcd-recipes/namespace/1"}'],
    ],
  ])('is refused if it has %s', async (_, lines) => {
    const place = await tenant();
    expect(await rejection(place.contents.import(lines))).toBeInstanceOf(ArgumentError);
    expect(await pairs(place)).toEqual([]);
  });

  it('goes through large values in transactions that etcd takes', async () => {
    const [from, to] = [await tenant(), await tenant()];
    for (const key of ['a', 'b', 'c', 'd', 'e']) await put(from, [key], key.repeat(700_000));
    const lines = await all(from.contents.export());
    expect(await to.contents.import(lines)).toEqual({ created: 5, replaced: 0, unchanged: 0 });
    expect(await pairs(to)).toEqual(await pairs(from));
  });

  it(`of ${large.toLocaleString('en')} keys is never in memory as a whole, nor in its import, list, usage and clear`, {
    timeout: 300_000,
  }, async () => {
    const name = etcd.name();
    etcd.defer(async () => (await etcd.connect()).namespace(`${name}/`).contents.clear());
    let [read, most, largest] = [0, 0, 0];
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        read: async (range, options) => {
          const reply = await store.read(range, options);
          if (!range.keysOnly) read += reply.kvs.length;
          largest = Math.max(largest, reply.kvs.length);
          return reply;
        },
        commit: async (txn, options) => {
          const reply = await store.commit(txn, options);
          largest = Math.max(
            largest,
            txn.success?.length ?? 0,
            ...reply.replies.map((each) => each.count),
          );
          return reply;
        },
      }),
    );
    const [from, to] = ['a', 'b'].map((part) => coordinator.namespace(`${name}/${part}/`)) as [
      Coordinator,
      Coordinator,
    ];
    await put(from, many(large), 'x'.repeat(100));
    const told = async function* (): AsyncGenerator<string> {
      let lines = 0;
      for await (const line of from.contents.export()) {
        most = Math.max(most, read - (lines += 1));
        yield line;
      }
    };
    const report = await to.contents.import(told());
    expect(report).toEqual({ created: large, replaced: 0, unchanged: 0 });
    expect(await all(to.contents.list())).toEqual([{ kind: undefined, name: 'n/', keys: large }]);
    expect(await to.contents.usage()).toMatchObject({ keys: large, bytes: large * 108 });
    expect(await to.contents.clear()).toBe(large);
    expect(await pairs(to)).toEqual([]);
    expect(await from.contents.clear()).toBe(large);
    expect(most).toBeLessThanOrEqual(400);
    expect(largest).toBeLessThanOrEqual(1_000);
  });
});
