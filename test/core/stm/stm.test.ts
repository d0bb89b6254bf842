import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { Client } from '../../../src/core/client.js';
import type { Isolation } from '../../../src/core/stm/stm-options.js';
import type { StmFunction } from '../../../src/core/stm/stm-run.js';
import type { StmPair, StmTx } from '../../../src/core/stm/stm-tx.js';
import { keyId, prefixRange } from '../../../src/core/store/keys.js';
import { deferred } from '../../../src/core/time/deferred.js';
import {
  ArgumentError,
  type Clock,
  ClosedError,
  type CommitOptions,
  ConflictError,
  LimitError,
  Namespace,
  type RangeRequest,
  type ReadOptions,
  systemClock,
  type Txn,
  UnavailableError,
  WaitTimeoutError,
} from '../../../src/index.js';
import { waitFor } from '../../../src/testing/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { compact, useEtcd } from '../../support/etcd.js';
import { noAnswer, override } from '../../support/override.js';

const etcd = useEtcd();
const all = { key: '\0', end: '\0' };
const levels: readonly Isolation[] = [
  'serializable-snapshot',
  'serializable',
  'repeatable-reads',
  'read-committed',
];
const guarded = levels.slice(0, 3);

interface Bench {
  /** The one under test. */
  readonly client: Client;
  /** One that does not take turns with it, as in another process. */
  readonly other: Client;
  /** What both are on. */
  readonly store: Namespace;
  readonly reads: [RangeRequest, ReadOptions | undefined][];
  readonly commits: [Txn, CommitOptions | undefined][];
  /** All that is there, as text. */
  readonly contents: () => Promise<string>;
}

/** Clients in a namespace that is emptied after the test; what `client` sends is noted. */
function open(): Bench {
  const prefix = `${etcd.name()}/`;
  const store = new Namespace(etcd.admin, prefix);
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(prefix) }] }));
  const reads: Bench['reads'] = [];
  const commits: Bench['commits'] = [];
  const noted = override(store, {
    read: (range, options) => {
      reads.push([range, options]);
      return store.read(range, options);
    },
    commit: (txn, options) => {
      commits.push([txn, options]);
      return store.commit(txn, options);
    },
  });
  const other = new Client(store);
  return {
    client: new Client(noted),
    other,
    store,
    reads,
    commits,
    contents: async () => (await other.range(all)).kvs.map(shown).join(' '),
  };
}

const shown = ({ key, value }: StmPair): string => `${key.toString()}=${value.toString()}`;
const number = async (tx: StmTx, key: string): Promise<number> =>
  Number((await tx.get(key))?.toString() ?? 0);
const increment = async (tx: StmTx, key = 'n'): Promise<void> =>
  tx.put(key, String((await number(tx, key)) + 1));

describe('a function run as a transaction', () => {
  it.each(levels)('reads, writes, and gives what it returns (%s)', async (isolation) => {
    const { client, contents } = open();
    await client.put('a', '1');
    await client.put('b', '2');
    const sum = await client.stm(
      async (tx) => {
        const total = (await number(tx, 'a')) + (await number(tx, 'b'));
        tx.put('sum', String(total));
        tx.delete('a');
        return total;
      },
      { isolation },
    );
    expectTypeOf(sum).toEqualTypeOf<number>();
    expect(sum).toBe(3);
    expect(await contents()).toBe('b=2 sum=3');
  });

  it('sees what it wrote itself, in ranges too', async () => {
    const { client, contents } = open();
    for (const key of ['a', 'b', 'c', 'd']) await client.put(key, key);
    const names = async (tx: StmTx, range = all): Promise<string> =>
      (await tx.range(range)).map(shown).join(' ');
    await client.stm(async (tx) => {
      tx.put('bb', 'new');
      tx.put('c', 'changed');
      tx.delete('a');
      expect(await tx.get('c')).toEqual(Buffer.from('changed'));
      expect(await tx.get('a')).toBe(undefined);
      expect(await names(tx)).toBe('b=b bb=new c=changed d=d');
      tx.delete({ key: 'b', end: 'c' });
      expect(await tx.get('bb')).toBe(undefined);
      expect(await names(tx)).toBe('c=changed d=d');
      tx.delete({ key: 'c', end: '\0' });
      expect(await names(tx)).toBe('');
      tx.put('d', 'again');
      tx.put('x', '');
      tx.delete('x');
      expect(await names(tx)).toBe('d=again');
      expect(await names(tx, { key: 'a', end: 'd' })).toBe('');
    });
    expect(await contents()).toBe('d=again');
  });

  it('deletes ranges around what it writes in them', async () => {
    const { client, contents } = open();
    for (const key of ['a', 'b', 'b\0', 'c', 'd', 'e']) await client.put(key, '1');
    await client.stm((tx) => {
      tx.delete({ key: 'a', end: 'e' });
      for (const key of ['d', 'a', 'b', 'dd']) tx.put(key, '2');
    });
    expect(await contents()).toBe('a=2 b=2 d=2 dd=2 e=1');
  });

  it('writes keys that go with a lease', async () => {
    const { client, other } = open();
    const lease = BigInt(Math.floor(Math.random() * 1e12)) + 1n;
    await etcd.admin.grant(lease, 60_000);
    await client.stm((tx) => tx.put('k', 'v', { lease }));
    expect((await other.get('k'))?.lease).toBe(lease);
    await etcd.admin.revoke(lease);
  });

  it('passes on its error untouched, and writes nothing', async () => {
    const { client, commits } = open();
    const error = new Error('no money');
    const failing = client.stm((tx) => {
      tx.put('k', 'v');
      throw error;
    });
    await expect(failing).rejects.toBe(error);
    expect(commits).toEqual([]);
  });

  it('is not disturbed by bytes that change hands', async () => {
    const { client, contents } = open();
    const [key, value] = [Buffer.from('k'), Buffer.from('v')];
    await client.stm(async (tx) => {
      tx.put(key, value);
      key.fill(0);
      value.fill(0);
      (await tx.get('k'))?.fill(1);
      expect((await tx.get('k'))?.toString()).toBe('v');
    });
    expect(await contents()).toBe('k=v');
  });

  it('has each commit applied exactly once, and never hides that this is not known', async () => {
    const { client, commits } = open();
    await client.stm((tx) => tx.put('k', 'v'));
    expect(commits[0]?.[1]).toEqual({ exactlyOnce: true });
    const error = noAnswer();
    const store = override(etcd.admin, { commit: () => Promise.reject(error) });
    await expect(new Client(store).stm((tx) => tx.put('k', 'v'))).rejects.toBe(error);
  });
});

describe('reads of a transaction', () => {
  it('are of one moment on the serializable levels, and each of its own below', async () => {
    const { client, other } = open();
    for (const isolation of levels) {
      await other.put('a', 'old');
      await other.put('b', 'old');
      const seen: string[] = [];
      await client.stm(
        async (tx) => {
          const a = await tx.get('a');
          if (seen.length === 0) await other.put('b', 'new');
          seen.push(`${a?.toString()} ${(await tx.get('b'))?.toString()}`);
        },
        { isolation },
      );
      expect(seen).toEqual([isolation.startsWith('serializable') ? 'old old' : 'old new']);
    }
  });

  it('gives the same again, however it is asked for', async () => {
    const { client, other } = open();
    for (const isolation of levels) {
      await other.put('a', '1');
      await other.put('b', '1');
      let changed = false;
      await client.stm(
        async (tx) => {
          const [a, none] = [await tx.get('a'), await tx.get('c')];
          const before = await tx.range({ key: 'a', end: 'c' });
          if (!changed) await other.put('a', '2');
          if (!changed) await other.put('b', '2');
          changed = true;
          expect([await tx.get('a'), await tx.get('c')]).toEqual([a, none]);
          expect(await tx.get('b')).toEqual(before[1]?.value);
          expect(await tx.range({ key: 'a', end: 'c' })).toEqual(before);
          expect((await tx.range({ key: 'a', end: 'd' }))[0]?.value).toEqual(a);
        },
        { isolation },
      );
    }
  });

  it('travel together when they are asked for together', async () => {
    const { client, reads, commits } = open();
    await client.put('b', '2');
    commits.length = 0;
    const values = await client.stm((tx) =>
      Promise.all([tx.get('a'), tx.get('b'), tx.range(all), tx.get('b')]),
    );
    expect(values[1]?.toString()).toBe('2');
    expect([reads.length, commits.length]).toEqual([0, 1]);
    expect(commits[0]?.[0].success).toHaveLength(3);
  });

  it('are made all at once where they are told before', async () => {
    const { client, reads, commits } = open();
    const prefetch = ['a', 'b', { key: 'c', end: 'e' }];
    await client.stm(
      async (tx) => {
        await tx.get('a');
        await tx.prefetch('b', 'x', 'y');
        await tx.range({ key: 'c', end: 'e' });
        await Promise.all([tx.get('x'), tx.get('y')]);
      },
      { prefetch },
    );
    expect([reads.length, commits.length]).toEqual([0, 2]);
  });

  it('count only if the function asks for them', async () => {
    const { client, other } = open();
    let runs = 0;
    const prefetch = ['a', 'b'];
    await client.stm(
      async (tx) => {
        runs += 1;
        await tx.get('a');
        await other.put('b', 'x');
        tx.put('c', '1');
      },
      { prefetch },
    );
    expect(runs).toBe(1);
  });

  it('only ask the first time whether a member is behind', async () => {
    const { client, reads } = open();
    const read = async (tx: StmTx): Promise<void> => {
      await tx.get('a');
      await tx.get('b');
    };
    await client.stm(read);
    await client.stm(read, { isolation: 'repeatable-reads' });
    expect(reads.map(([, options]) => options?.serializable)).toEqual([false, true, true, true]);
    expect(reads[1]?.[0].revision).toBeGreaterThan(0n);
    expect(reads[3]?.[0].revision).toBe(undefined);
  });

  it('need no commit where they are of one moment, or nobody asked for more', async () => {
    const { client, commits } = open();
    const read = async (tx: StmTx): Promise<void> => {
      await tx.get('a');
      await tx.get('b');
    };
    for (const isolation of levels) await client.stm(read, { isolation });
    await client.stm((tx) => tx.get('a'), { isolation: 'repeatable-reads' });
    // Of different moments, they must be shown to hold together.
    expect(commits).toHaveLength(1);
    expect(commits[0]?.[0]).toMatchObject({ compare: [{ to: 0n }, { to: 0n }], success: [] });
  });

  it('of a moment that is forgotten are made anew', async () => {
    const endpoint = await etcd.startOwn();
    const store = etcd.open({ endpoints: [endpoint] });
    const client = new Client(store);
    await client.put('a', '1');
    await client.put('b', '1');
    const seen: string[] = [];
    await client.stm(async (tx) => {
      const a = await tx.get('a');
      if (seen.length === 0) {
        seen.push('first');
        await client.put('b', '2');
        await compact(endpoint, store);
      }
      seen.push(`${a?.toString()} ${(await tx.get('b'))?.toString()}`);
      tx.put('c', '');
    });
    expect(seen).toEqual(['first', '1 2']);
  });
});

describe('a conflict', () => {
  /** Runs a transaction during whose first run something happens: how often it ran. */
  const runsOf = async (
    { client }: Bench,
    isolation: Isolation,
    read: (tx: StmTx) => unknown,
    meanwhile: () => unknown,
  ): Promise<number> => {
    let runs = 0;
    await client.stm(
      async (tx) => {
        runs += 1;
        await read(tx);
        if (runs === 1) await meanwhile();
        tx.put('result', String(runs));
      },
      { isolation },
    );
    return runs;
  };

  it.each(guarded)('is that a key that was read has changed (%s)', async (isolation) => {
    const bench = open();
    const { other } = bench;
    const get = (tx: StmTx): unknown => tx.get('a');
    expect(await runsOf(bench, isolation, get, () => other.put('a', '1'))).toBe(2);
    expect(await runsOf(bench, isolation, get, () => other.put('a', '1'))).toBe(2);
    expect(await runsOf(bench, isolation, get, () => other.delete('a'))).toBe(2);
    expect(await runsOf(bench, isolation, get, () => other.put('b', '1'))).toBe(1);
  });

  it('is never that a key that was read has changed if updates may be lost', async () => {
    const bench = open();
    const { other } = bench;
    const get = (tx: StmTx): unknown => tx.get('a');
    expect(await runsOf(bench, 'read-committed', get, () => other.put('a', '1'))).toBe(1);
  });

  it.each(guarded)('is that a pair of a range has changed, or is gone (%s)', async (isolation) => {
    const bench = open();
    const { other } = bench;
    for (const key of ['r1', 'r2', 'r3']) await other.put(key, '');
    const range = (tx: StmTx): unknown => tx.range(prefixRange('r'));
    expect(await runsOf(bench, isolation, range, () => other.put('r2', '1'))).toBe(2);
    expect(await runsOf(bench, isolation, range, () => other.delete('r2'))).toBe(2);
    expect(await runsOf(bench, isolation, range, () => other.delete(prefixRange('r')))).toBe(2);
    expect(await runsOf(bench, isolation, range, () => other.put('s', ''))).toBe(1);
  });

  it('is that somebody came into a range, on the serializable levels', async () => {
    for (const isolation of guarded) {
      const bench = open();
      const { other } = bench;
      const range = (tx: StmTx): unknown => tx.range(prefixRange('a/'));
      const expected = isolation === 'repeatable-reads' ? 1 : 2;
      expect(await runsOf(bench, isolation, range, () => other.put('a/1', ''))).toBe(expected);
      expect(await runsOf(bench, isolation, range, () => other.put('a/2', ''))).toBe(expected);
      const gone = async (): Promise<void> => {
        await other.put('a/3', '');
        await other.delete('a/3');
      };
      expect(await runsOf(bench, isolation, range, gone)).toBe(1);
    }
  });

  it('is that somebody wrote what is written, on the highest level only', async () => {
    for (const isolation of levels) {
      const bench = open();
      const { other } = bench;
      const expected = isolation === 'serializable-snapshot' ? 2 : 1;
      const blindly = (tx: StmTx): unknown => tx.get('a');
      const write = (): unknown => other.put('result', 'theirs');
      expect(await runsOf(bench, isolation, blindly, write)).toBe(expected);
      const blindRange = async (tx: StmTx): Promise<void> => {
        await tx.get('a');
        tx.delete(prefixRange('x/'));
      };
      expect(await runsOf(bench, isolation, blindRange, () => other.put('x/1', ''))).toBe(expected);
    }
  });

  it('is not that keys were last written at different times', async () => {
    const bench = open();
    await bench.other.put('a', '1');
    await bench.other.put('b', '1');
    await bench.other.put('b', '2');
    const read = async (tx: StmTx): Promise<void> => {
      tx.put('a', String(await number(tx, 'a')));
      tx.put('b', '7');
    };
    expect(await runsOf(bench, 'serializable-snapshot', read, () => {})).toBe(1);
  });

  it.each(guarded)('needs no further read: the failed commit made it (%s)', async (isolation) => {
    const bench = open();
    const { other, reads, commits } = bench;
    const read = async (tx: StmTx): Promise<void> => {
      await Promise.all([tx.get('a'), tx.range(prefixRange('r/'))]);
    };
    const meanwhile = async (): Promise<void> => {
      await other.put('a', '1');
      await other.put('r/1', '1');
    };
    expect(await runsOf(bench, isolation, read, meanwhile)).toBe(2);
    // The first read of two, which makes it a transaction, and two commits.
    expect([reads.length, commits.length]).toEqual([0, 3]);
  });

  it('ends the transaction when there were too many', async () => {
    const { client, other, contents } = open();
    let runs = 0;
    const hopeless = client.stm(
      async (tx) => {
        runs += 1;
        await tx.get('a');
        await other.put('a', String(runs));
        tx.put('b', '');
      },
      { attempts: 3 },
    );
    await expect(hopeless).rejects.toThrow(ConflictError);
    await expect(hopeless).rejects.toMatchObject({ attempts: 3 });
    expect(runs).toBe(3);
    expect(await contents()).toBe('a=3');
  });
});

describe('a transaction gives up', () => {
  it('with its timeout, and writes nothing', async () => {
    const { client, commits } = open();
    const waiting = client.stm(
      async (tx) => {
        tx.put('k', 'v');
        await delay(60_000, undefined, { ref: false });
      },
      { timeout: 30 },
    );
    await expect(waiting).rejects.toThrow(WaitTimeoutError);
    expect(commits).toEqual([]);
  });

  it.each<[string, StmFunction<unknown>]>([
    ['its read', (tx) => tx.get('a')],
    ['its reads', (tx) => Promise.all([tx.get('a'), tx.get('b')])],
  ])('with its timeout, and tells who did not answer %s', async (_, fn) => {
    const client = new Client(etcd.open({ endpoints: ['127.0.0.1:1', '127.0.0.1:2'] }));
    const error = await rejection(client.stm(fn, { timeout: 300 }));
    expect(error).toBeInstanceOf(WaitTimeoutError);
    const { cause } = error as WaitTimeoutError;
    expect(cause).toBeInstanceOf(UnavailableError);
    expect((cause as UnavailableError).failures.length).toBe(2);
  });

  it('with the error of a read that fails while there is time', async () => {
    const store = override(etcd.admin, { read: () => Promise.reject(noAnswer()) });
    const reading = new Client(store).stm((tx) => tx.get('a'), { timeout: 5_000 });
    await expect(reading).rejects.toThrow(UnavailableError);
  });

  it('with the reason of its signal, before it runs and while it does', async () => {
    const { client } = open();
    const reason = new Error('enough');
    let runs = 0;
    const fn = async (): Promise<void> => {
      runs += 1;
      await new Promise(() => {});
    };
    await expect(client.stm(fn, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(runs).toBe(0);
    const controller = new AbortController();
    const waiting = client.stm(fn, { signal: controller.signal });
    await waitFor(() => runs === 1);
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  it('without an answer to its commit, by saying so rather than that time is up', async () => {
    const timeouts: (number | undefined)[] = [];
    const store = override(etcd.admin, {
      commit: (_, { timeout } = {}) => {
        timeouts.push(timeout);
        return Promise.reject(noAnswer());
      },
    });
    const committing = new Client(store).stm((tx) => tx.put('k', 'v'), { timeout: 5_000 });
    await expect(committing).rejects.toThrow(UnavailableError);
    expect(timeouts[0]).toBeLessThanOrEqual(5_000);
  });

  it.each([
    ['an unknown level', { isolation: 'toString' as Isolation }, /isolation must be one of/],
    ['no attempt', { attempts: 0 }, /attempts must be/],
    ['half an attempt', { attempts: 1.5 }, /attempts must be/],
    ['no time', { timeout: -1 }, /timeout must be/],
    ['an empty key', { prefetch: ['a', ''] }, /key must be/],
  ])('at once when told %s', async (_, options, message) => {
    const { client, commits } = open();
    const refused = client.stm((tx) => tx.put('k', 'v'), options);
    await expect(refused).rejects.toThrow(ArgumentError);
    await expect(refused).rejects.toThrow(message);
    expect(commits).toEqual([]);
  });

  it('when it is too large for etcd, before it is sent', async () => {
    const { client, commits } = open();
    const writing = client.stm((tx) => {
      for (let i = 0; i < 129; i += 1) tx.put(`k${i}`, '');
    });
    await expect(writing).rejects.toThrow(LimitError);
    await expect(writing).rejects.toThrow(/transaction is too large: 129, maxTxnOps allows 128/);
    const reading = client.stm(async (tx) => {
      await Promise.all(Array.from({ length: 129 }, (_, i) => tx.get(`k${i}`)));
      tx.put('k', '');
    });
    await expect(reading).rejects.toThrow(LimitError);
    expect(commits.every(([{ success = [] }]) => success.every((step) => 'range' in step))).toBe(
      true,
    );
  });
});

describe('the handle of a transaction', () => {
  it('is of no use after the function has ended', async () => {
    const { client, commits } = open();
    const kept = await client.stm((tx) => tx);
    expect(() => kept.put('k', 'v')).toThrow(ClosedError);
    expect(() => kept.put('k', 'v')).toThrow(/transaction is closed/);
    expect(() => kept.delete('k')).toThrow(ClosedError);
    await expect(kept.get('k')).rejects.toThrow(ClosedError);
    await expect(kept.range(all)).rejects.toThrow(ClosedError);
    await expect(kept.prefetch('k')).rejects.toThrow(ClosedError);
    expect(commits).toEqual([]);
  });

  it('refuses what cannot be where it is written', async () => {
    const { client } = open();
    await client.stm(async (tx) => {
      expect(() => tx.put('', 'v')).toThrow(/key must be/);
      expect(() => tx.put('k', 7 as never)).toThrow(/value must be/);
      expect(() => tx.delete({ key: 'b', end: 'a' })).toThrow(/end must be greater than key/);
      await expect(tx.get('')).rejects.toThrow(/key must be/);
      await expect(tx.range({ key: '' })).rejects.toThrow(/key must be/);
    });
  });

  it('refuses what are no keys, wherever they are expected', async () => {
    const { client } = open();
    for (const keys of [undefined, null, 7, []] as never[]) {
      await client.stm(async (tx) => {
        expect(() => tx.delete(keys)).toThrow(ArgumentError);
        await expect(tx.range(keys)).rejects.toThrow(ArgumentError);
      });
      const prefetch = { prefetch: [keys] };
      await expect(client.stm(() => 1, prefetch)).rejects.toThrow(ArgumentError);
      expect(() => client.watch(keys)).toThrow(ArgumentError);
    }
    await expect(client.stm(() => 1, { prefetch: 'k' as never })).rejects.toThrow(
      /prefetch must be/,
    );
    // etcd takes it for a key of one zero byte.
    expect(() => client.watch({ key: '' })).toThrow(/key must be/);
  });

  it('does not count what the function did not wait for', async () => {
    const { other, store } = open();
    await other.put('b', '1');
    const forgotten: Promise<Buffer | undefined>[] = [];
    const committing = deferred<void>();
    let runs = 0;
    const slow = override(store, {
      read: async (range, options) => {
        if (runs === 1 && keyId(range.key) === 'b') await committing.promise;
        return store.read(range, options);
      },
      commit: async (txn, options) => {
        committing.resolve();
        await Promise.all(forgotten);
        return store.commit(txn, options);
      },
    });
    const seen = await new Client(slow).stm(async (tx) => {
      runs += 1;
      await tx.get('a');
      if (runs === 2) return tx.get('b');
      forgotten.push(tx.get('b'));
      await other.put('a', '1');
      tx.put('c', '');
      return undefined;
    });
    expect(runs).toBe(2);
    expect(seen?.toString()).toBe('1');
    expect((await forgotten[0])?.toString()).toBe('1');
  });

  it('is not for another transaction within', async () => {
    const { client, contents } = open();
    const nested = client.stm(async (tx) => {
      tx.put('a', '1');
      await client.stm((inner) => inner.put('b', '1'));
    });
    await expect(nested).rejects.toThrow(/stm must be called outside of the function of another/);
    expect(await contents()).toBe('');
    let later: Promise<void> | undefined;
    const putLater = async (): Promise<void> => {
      await delay(1);
      await client.stm((tx) => tx.put('c', '1'));
    };
    await client.stm(() => {
      later = putLater();
    });
    await later;
    expect(await contents()).toBe('c=1');
  });
});

describe('transactions side by side', () => {
  it.each(guarded)('lose no increment (%s)', { timeout: 180_000 }, async (isolation) => {
    const { client, other, contents } = open();
    const workers = [client, other, client, other, client, other, client, client].map(
      async (each) => {
        for (let i = 0; i < 12; i += 1) await each.stm(increment, { isolation });
      },
    );
    await Promise.all(workers);
    expect(await contents()).toBe('n=96');
  });

  it('take turns in one process, each beginning with what the one before left', async () => {
    const { client, reads, commits, contents } = open();
    const rivals = 16;
    await Promise.all(Array.from({ length: rivals }, () => client.stm(increment)));
    // All read and try once; whoever lost goes on in line, mostly without a read, and without another conflict.
    expect(reads.length).toBeLessThan(rivals + 5);
    expect(commits.length).toBeLessThan(2 * rivals + 5);
    reads.length = 0;
    commits.length = 0;
    const worker = async (): Promise<void> => {
      for (let i = 0; i < 20; i += 1) await client.stm(increment);
    };
    await Promise.all(Array.from({ length: rivals }, worker));
    expect(commits.length).toBeLessThan(20 * rivals + 2 * rivals);
    expect(reads.length).toBeLessThan((20 * rivals) / 4);
    expect(await contents()).toBe(`n=${21 * rivals}`);
  });

  it('do not block one another, in whichever order they take their keys', async () => {
    const { client, other, contents } = open();
    const keys = ['a', 'b', 'c', 'd'];
    const move = (from: string, to: string) => async (tx: StmTx) => {
      await increment(tx, from);
      await increment(tx, to);
    };
    const moves = keys.flatMap((from) =>
      keys.flatMap((to) => (to === from ? [] : [move(from, to), move(from, to)])),
    );
    await Promise.all(moves.map((each, i) => (i % 3 === 0 ? other : client).stm(each)));
    expect(await contents()).toBe('a=12 b=12 c=12 d=12');
  });

  it('join another line when that is where they lose', { timeout: 180_000 }, async () => {
    const { client, contents } = open();
    const over = new AbortController();
    const busy = async (key: string): Promise<void> => {
      while (!over.signal.aborted) await client.stm((tx) => increment(tx, key));
    };
    const others = ['a', 'a', 'a', 'b', 'b', 'b'].map(busy);
    let runs = 0;
    // Each waits behind all the others twice, which takes long on a busy machine.
    const rounds = 5;
    for (let i = 0; i < rounds; i += 1) {
      await client.stm(async (tx) => {
        runs += 1;
        await increment(tx, 'a');
        await increment(tx, 'b');
        await increment(tx, 'both');
      });
    }
    over.abort();
    await Promise.all(others);
    expect(await contents()).toMatch(/both=5$/);
    expect(runs).toBeLessThan(4 * rounds);
  });

  it('pause between their runs when they lose again, and no sooner', async () => {
    const { other, store } = open();
    const sleeps: number[] = [];
    const clock: Clock = {
      ...systemClock,
      sleep: async (ms) => {
        sleeps.push(ms);
      },
    };
    let runs = 0;
    const losing = new Client(store, { clock }).stm(
      async (tx) => {
        runs += 1;
        await tx.get('n');
        await other.put('n', '');
        tx.put('m', '');
      },
      { attempts: 4 },
    );
    await expect(losing).rejects.toThrow(ConflictError);
    expect([runs, sleeps.length]).toEqual([4, 2]);
  });

  it('do not wait for those that gave up', async () => {
    const { other, store, contents } = open();
    // Nobody loses patience on this one.
    const clock: Clock = { ...systemClock, after: () => () => {} };
    const client = new Client(store, { clock });
    const losing = client.stm(
      async (tx) => {
        await tx.get('n');
        await other.put('n', '7');
        tx.put('m', '');
      },
      { attempts: 2 },
    );
    await expect(losing).rejects.toThrow(ConflictError);
    await client.stm(increment);
    expect(await contents()).toBe('n=8');
  });

  it('do not wait for a transaction that is over, though its reads were not', async () => {
    const { other, store, contents } = open();
    const [asked, slow, held] = [deferred<void>(), deferred<never>(), deferred<void>()];
    const failing = override(store, {
      read: (range, options) => {
        if (keyId(range.key) !== 'slow') return store.read(range, options);
        asked.resolve();
        return slow.promise;
      },
    });
    // Nobody loses patience on this one.
    const clock: Clock = { ...systemClock, after: () => () => {} };
    const client = new Client(failing, { clock });
    let runs = 0;
    const ahead = client.stm(async (tx) => {
      runs += 1;
      await increment(tx);
      await (runs === 1 ? other.put('n', '7') : held.promise);
    });
    await waitFor(() => runs === 2);
    const reads: Promise<unknown>[] = [];
    const over = client.stm(async (tx) => {
      reads.push(tx.get('slow').catch(() => {}));
      await asked.promise;
      reads.push(tx.get('n').catch(() => {}));
      throw new Error('enough');
    });
    await expect(over).rejects.toThrow('enough');
    slow.reject(new Error('too late'));
    await reads[0];
    held.resolve();
    await ahead;
    await client.stm(increment);
    await Promise.all(reads);
    expect(await contents()).toBe('n=9');
  });

  it('do not wait for ever for a turn that waits for them', { timeout: 180_000 }, async () => {
    const { client, other, contents } = open();
    let runs = 0;
    let inner: Promise<void> | undefined;
    // Begun outside, so it is not nested; but the first one waits for its end.
    const incrementLater = async (): Promise<void> => {
      await waitFor(() => runs === 2);
      await client.stm((tx) => increment(tx));
    };
    const second = incrementLater();
    await client.stm(async (tx) => {
      runs += 1;
      await tx.get('n');
      if (runs === 1) await other.put('n', '10');
      if (runs === 2) inner = second;
      await inner;
      await increment(tx);
    });
    expect(await contents()).toBe('n=12');
  });

  it('hand on nothing to who came after it was found out', async () => {
    const { other, store } = open();
    // The first is in line after a conflict, and its commit is under way when the second comes.
    let runs = 0;
    let second: Promise<Buffer | undefined> | undefined;
    const slow = new Client(
      override(store, {
        commit: async (txn, options) => {
          const reply = await store.commit(txn, options);
          if (runs === 2 && !second) {
            second = slow.stm((tx) => tx.get('n'));
            await other.put('n', 'newer');
          }
          return reply;
        },
      }),
    );
    await slow.stm(async (tx) => {
      runs += 1;
      await tx.get('n');
      if (runs === 1) await other.put('n', 'other');
      tx.put('n', 'mine');
    });
    expect((await second)?.toString()).toBe('newer');
  });
});
