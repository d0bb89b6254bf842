import { describe, expect, it, vi } from 'vitest';
import { Client } from '../../src/core/client.js';
import { prefixRange } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  CompactedError,
  type KeyValue,
  Namespace,
  type RangeRequest,
  type ReadOptions,
  WaitTimeoutError,
} from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { compact, useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';

const etcd = useEtcd();

/** A client in a namespace that is emptied after the test. */
function open(): { client: Client; store: Namespace; prefix: string } {
  const prefix = `${etcd.name()}/`;
  const store = new Namespace(etcd.admin, prefix);
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(prefix) }] }));
  return { client: new Client(store), store, prefix };
}

/** A client whose reads are noted, and on the way out of which `before` is called. */
function observed(
  store: Namespace,
  before: (range: RangeRequest, options?: ReadOptions) => unknown = () => {},
): { client: Client; reads: [RangeRequest, ReadOptions | undefined][] } {
  const reads: [RangeRequest, ReadOptions | undefined][] = [];
  const client = new Client(
    override(store, {
      read: async (range, options) => {
        reads.push([range, options]);
        await before(range, options);
        return store.read(range, options);
      },
    }),
  );
  return { client, reads };
}

const all = { key: '\0', end: '\0' };
const shown = ({ key, value }: KeyValue): string => `${key.toString()}=${value.toString()}`;
const fill = async (client: Client, keys: number): Promise<string[]> => {
  const names = Array.from({ length: keys }, (_, i) => `k${String(i).padStart(3, '0')}`);
  for (const name of names) await client.put(name, `value of ${name}`);
  return names;
};

describe('reading and writing', () => {
  it('gives a pair that was put, and nothing for a key that does not exist', async () => {
    const { client } = open();
    const { revision, previous } = await client.put('k', 'v', { previous: true });
    expect(previous).toBe(undefined);
    expect(await client.get('k')).toEqual({
      key: Buffer.from('k'),
      value: Buffer.from('v'),
      createRevision: revision,
      modRevision: revision,
      version: 1n,
      lease: 0n,
    });
    expect(await client.get('other')).toBe(undefined);
  });

  it('takes bytes as well as text, and gives bytes', async () => {
    const { client } = open();
    const bytes = Uint8Array.of(0, 0xff, 0x80);
    await client.put(bytes, bytes);
    const pair = await client.get(bytes);
    expect(pair?.key).toEqual(Buffer.from(bytes));
    expect(pair?.value).toEqual(Buffer.from(bytes));
  });

  it('gives what was before, when asked', async () => {
    const { client } = open();
    await client.put('a', '1');
    await client.put('b', '2');
    expect((await client.put('a', '3', { previous: true })).previous?.value.toString()).toBe('1');
    const { deleted, previous, revision } = await client.delete(all, { previous: true });
    expect(deleted).toBe(2);
    expect(previous.map(({ value }) => value.toString())).toEqual(['3', '2']);
    expect((await client.put('c', '')).revision).toBe(revision + 1n);
    expect(await client.delete('none')).toMatchObject({ deleted: 0, previous: [] });
  });

  it('keeps keys on leases', async () => {
    const { client, store } = open();
    const lease = BigInt(Math.floor(Math.random() * 1e12)) + 1n;
    await store.grant(lease, 60_000);
    await client.put('k', '1', { lease });
    await client.put('k', '2', { keepLease: true });
    expect(await client.get('k')).toMatchObject({ lease, value: Buffer.from('2') });
    await store.revoke(lease);
    expect(await client.get('k')).toBe(undefined);
  });

  it('reads the past', async () => {
    const { client } = open();
    const { revision } = await client.put('a', '1');
    await client.put('a', '2');
    await client.put('b', '2');
    expect((await client.get('a', { revision }))?.value.toString()).toBe('1');
    expect(await client.count(all, { revision })).toBe(1);
    expect(await client.count(all)).toBe(2);
    expect((await client.range(all, { revision })).kvs).toHaveLength(1);
  });

  it('reads ranges, filtered and sorted', async () => {
    const { client } = open();
    await fill(client, 5);
    const { kvs, count } = await client.range(prefixRange('k'), {
      limit: 2,
      sortBy: 'key',
      order: 'descending',
      keysOnly: true,
    });
    expect(count).toBe(5);
    expect(kvs.map(shown)).toEqual(['k004=', 'k003=']);
  });

  it('sends what it is told about the call, and no more than etcd understands', async () => {
    const { store } = open();
    const { client, reads } = observed(store);
    const { signal } = new AbortController();
    await client.get('k', { serializable: true, signal, timeout: 9_000 });
    expect(reads).toEqual([[{ key: 'k' }, { serializable: true, signal, timeout: 9_000 }]]);
  });

  it('has writes applied exactly once, unless told otherwise', async () => {
    const { store } = open();
    const commit = vi.fn<Namespace['commit']>((txn, options) => store.commit(txn, options));
    const client = new Client(override(store, { commit }));
    await client.put('k', 'v');
    await client.delete('k', { exactlyOnce: false });
    expect(commit.mock.calls.map(([, options]) => options?.exactlyOnce)).toEqual([true, false]);
  });

  it.each([
    ['an empty key', (client: Client) => client.get(''), /key must be a non-empty string/],
    ['no key', (client: Client) => client.get(7 as never), /key must be .* got 7/],
    ['an empty end', (client: Client) => client.range({ key: 'a', end: '' }), /end must be/],
    ['a negative limit', (client: Client) => client.range(all, { limit: -1 }), /limit must be/],
    ['a negative revision', (client: Client) => client.get('k', { revision: -1n }), /revision/],
    ['a sorting', (client: Client) => client.range(all, { sortBy: 'x' as never }), /sortBy/],
    ['an order', (client: Client) => client.range(all, { order: 'x' as never }), /order/],
    ['a number as value', (client: Client) => client.put('k', 7 as never), /value must be/],
    ['a number as lease', (client: Client) => client.put('k', '', { lease: 7 as never }), /lease/],
    [
      'two leases',
      (client: Client) => client.put('k', '', { lease: 7n, keepLease: true }),
      /lease must be left out together with keepLease, got 7n/,
    ],
    [
      'an inverted range',
      (client: Client) => client.delete({ key: 'b', end: 'a' }),
      /end must be greater than key/,
    ],
    ['no revision', (client: Client) => client.waitForRevision(7 as never), /revision must be/],
  ])('refuses %s before anything is sent', async (_, call, message) => {
    const { store } = open();
    const { client, reads } = observed(store);
    const error = await rejection(call(client));
    expect(error).toBeInstanceOf(ArgumentError);
    expect(String(error)).toMatch(message);
    expect(reads).toEqual([]);
  });

  it('asks how the endpoints are', async () => {
    const { client } = open();
    expect((await client.health()).map(({ healthy }) => healthy)).toEqual([true]);
  });

  it('is there on a coordinator, in its namespace', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name();
    const tenant = coordinator.namespace(`${name}/`);
    await tenant.client.put('k', 'v');
    expect((await coordinator.client.get(`${name}/k`))?.value.toString()).toBe('v');
    expect(tenant.client).toBe(tenant.client);
    await tenant.client.delete('k');
  });
});

describe('a scan', () => {
  it('gives every pair once, by key, however large the pages', async () => {
    const { client } = open();
    const names = await fill(client, 7);
    for (const pageSize of [1, 2, 6, 7, 8, undefined]) {
      const seen: string[] = [];
      for await (const { key, value } of client.scan(all, pageSize ? { pageSize } : {})) {
        expect(value.toString()).toBe(`value of ${key.toString()}`);
        seen.push(key.toString());
      }
      expect(seen).toEqual(names);
    }
  });

  it('reads no page that it does not need', async () => {
    const { client: plain, store } = open();
    await fill(plain, 4);
    const { client, reads } = observed(store);
    const pagesRead = async (pageSize: number): Promise<number> => {
      const before = reads.length;
      for await (const { key } of client.scan(all, { pageSize })) void key;
      return reads.length - before;
    };
    expect([await pagesRead(2), await pagesRead(3), await pagesRead(4)]).toEqual([2, 2, 1]);
  });

  it('is all of one revision, whatever changes meanwhile', async () => {
    const { client } = open();
    const names = await fill(client, 6);
    const seen: string[] = [];
    for await (const { key, value } of client.scan(all, { pageSize: 2 })) {
      if (seen.length === 0) {
        await client.delete({ key: 'k002', end: 'k004' });
        await client.put('k0045', 'new');
        await client.put('k005', 'changed');
      }
      expect(value.toString()).toBe(`value of ${key.toString()}`);
      seen.push(key.toString());
    }
    expect(seen).toEqual(names);
  });

  it('goes through the past, and without values', async () => {
    const { client } = open();
    await fill(client, 3);
    const { revision } = await client.range(all);
    await client.delete(all);
    const seen: string[] = [];
    const options = { revision, keysOnly: true, pageSize: 2 };
    for await (const pair of client.scan(all, options)) seen.push(shown(pair));
    expect(seen).toEqual(['k000=', 'k001=', 'k002=']);
  });

  it('fetches a page while the one before is worked on, and not more', async () => {
    const { client: plain, store } = open();
    await fill(plain, 6);
    const { client, reads } = observed(store);
    const pages = client.scan(all, { pageSize: 2 })[Symbol.asyncIterator]();
    await pages.next();
    expect(reads).toHaveLength(2);
    await pages.next();
    expect(reads).toHaveLength(2);
    await pages.next();
    expect(reads).toHaveLength(3);
    expect(reads.map(([, options]) => options?.serializable ?? false)).toEqual([false, true, true]);
  });

  it('can be left, which gives up the page that is on its way', async () => {
    const { client: plain, store } = open();
    await fill(plain, 4);
    let given: AbortSignal | undefined;
    const { client, reads } = observed(store, (_, options) => {
      if (reads.length < 2) return undefined;
      given = options?.signal;
      return new Promise(() => {});
    });
    for await (const { key } of client.scan(all, { pageSize: 2 })) {
      expect(key.toString()).toBe('k000');
      break;
    }
    expect(given?.aborted).toBe(true);
  });

  it('does not end in an unhandled rejection when a page fails that nobody asked for', async () => {
    const { client: plain, store } = open();
    await fill(plain, 4);
    const failure = vi.fn<() => never>(() => {
      throw new Error('no page');
    });
    const { client, reads } = observed(store, () => reads.length > 1 && failure());
    for await (const { key } of client.scan(all, { pageSize: 2 })) {
      await waitFor(() => failure.mock.calls.length > 0);
      expect(key.toString()).toBe('k000');
      break;
    }
    const { client: other, reads: second } = observed(store, () => second.length > 1 && failure());
    const seen: string[] = [];
    const goThrough = async (): Promise<void> => {
      for await (const { key } of other.scan(all, { pageSize: 2 })) seen.push(key.toString());
    };
    await expect(goThrough()).rejects.toThrow('no page');
    expect(seen).toEqual(['k000', 'k001']);
  });

  it('ends with the reason of its signal', async () => {
    const { client } = open();
    await fill(client, 4);
    const controller = new AbortController();
    const reason = new Error('enough');
    const seen: string[] = [];
    const goThrough = async (): Promise<void> => {
      for await (const { key } of client.scan(all, { pageSize: 2, signal: controller.signal })) {
        seen.push(key.toString());
        controller.abort(reason);
      }
    };
    await expect(goThrough()).rejects.toBe(reason);
    expect(seen.length).toBeLessThan(4);
  });

  it('says so when its revision is compacted meanwhile', async () => {
    const endpoint = await etcd.startOwn();
    const client = new Client(etcd.open({ endpoints: [endpoint] }));
    await fill(client, 6);
    const seen: string[] = [];
    const goThrough = async (): Promise<void> => {
      for await (const { key } of client.scan(all, { pageSize: 2 })) {
        if (seen.length === 0) {
          await client.put('later', '');
          await compact(endpoint, etcd.open({ endpoints: [endpoint] }));
        }
        seen.push(key.toString());
      }
    };
    await expect(goThrough()).rejects.toThrow(CompactedError);
    expect(seen).toEqual(['k000', 'k001', 'k002', 'k003']);
  });

  it('begins anew each time it is gone through', async () => {
    const { client } = open();
    await client.put('a', '');
    const pairs = client.scan(all);
    for (let i = 0; i < 2; i += 1) {
      let pairsSeen = 0;
      for await (const { key } of pairs) pairsSeen += key.length;
      expect(pairsSeen).toBe(1);
    }
  });

  it('refuses a page size that is none, at once', () => {
    const { client } = open();
    expect(() => client.scan(all, { pageSize: 0 })).toThrow(/pageSize must be .* got 0/);
    expect(() => client.scan({ key: '' })).toThrow(/key must be/);
    expect(() => client.scan(all, { revision: -1n })).toThrow(/revision must be/);
  });
});

describe('waiting for a revision', () => {
  it('ends when reads show it, at once if they do', async () => {
    const { client } = open();
    const { revision } = await client.put('k', '');
    expect(await client.waitForRevision(revision)).toBeGreaterThanOrEqual(revision);
    const ahead = client.waitForRevision(revision + 3n);
    let isOver = false;
    const note = async (): Promise<void> => {
      await ahead;
      isOver = true;
    };
    const noted = note();
    await client.put('k', '');
    expect(isOver).toBe(false);
    await client.put('k', '');
    await client.put('k', '');
    expect(await ahead).toBeGreaterThanOrEqual(revision + 3n);
    await noted;
  });

  it('ends with its timeout, and with the reason of its signal', async () => {
    const { client } = open();
    const never = 2n ** 60n;
    await expect(client.waitForRevision(never, { timeout: 30 })).rejects.toThrow(WaitTimeoutError);
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(client.waitForRevision(never, { signal })).rejects.toBe(reason);
    const controller = new AbortController();
    const waiting = client.waitForRevision(never, { signal: controller.signal });
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(client.waitForRevision(1n, { timeout: -1 })).rejects.toThrow(/timeout must be/);
  });
});
