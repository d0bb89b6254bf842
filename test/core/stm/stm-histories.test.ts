import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Client } from '../../../src/core/client.js';
import type { Isolation } from '../../../src/core/stm/stm-options.js';
import type { StmTx } from '../../../src/core/stm/stm-tx.js';
import { prefixRange } from '../../../src/core/store/keys.js';
import { deferred } from '../../../src/core/time/deferred.js';
import { Namespace } from '../../../src/index.js';
import { useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();
const all = { key: '\0', end: '\0' };
const serializable: readonly Isolation[] = ['serializable-snapshot', 'serializable'];

/** So many clients on one part of etcd, which take turns only each by itself; and what empties it. */
function open(clients: number): { clients: Client[]; clear: () => Promise<unknown> } {
  const prefix = `${etcd.name()}/`;
  const clear = (): Promise<unknown> =>
    etcd.admin.commit({ success: [{ delete: prefixRange(prefix) }] });
  etcd.defer(clear);
  const store = new Namespace(etcd.admin, prefix);
  return { clients: Array.from({ length: clients }, () => new Client(store)), clear };
}

/** A function that resolves once it was called so many times, or after that at once. */
function barrier(parties: number): () => Promise<void> {
  let waiting = parties;
  const opened = deferred<void>();
  return async () => {
    waiting -= 1;
    if (waiting <= 0) opened.resolve();
    await opened.promise;
  };
}

describe('transfers between accounts', () => {
  const accounts = ['a', 'b', 'c', 'd'];
  const transfer = fc.record({
    from: fc.nat(3),
    to: fc.nat(3),
    amount: fc.integer({ min: 1, max: 50 }),
    client: fc.nat(2),
    audit: fc.boolean(),
  });

  it.each<Isolation>([...serializable, 'repeatable-reads'])(
    'keep the sum, and overdraw nothing (%s)',
    {
      timeout: 180_000,
    },
    async (isolation) => {
      const { clients, clear } = open(3);
      const sumOf = async (tx: StmTx): Promise<number> =>
        (await tx.range(all)).reduce((sum, { value }) => sum + Number(value), 0);
      await fc.assert(
        fc.asyncProperty(fc.array(transfer, { minLength: 2, maxLength: 12 }), async (transfers) => {
          await clear();
          await clients[0]?.stm((tx) => {
            for (const account of accounts) tx.put(account, '100');
          });
          await Promise.all(
            transfers.map(async ({ from, to, amount, client, audit }) => {
              const run = clients[client] as Client;
              const [source, target] = [accounts[from] ?? '', accounts[to] ?? ''];
              await run.stm(
                async (tx) => {
                  const left = Number(await tx.get(source)) - amount;
                  if (left < 0) return;
                  tx.put(source, String(left));
                  tx.put(target, String(Number(await tx.get(target)) + amount));
                },
                { isolation },
              );
              const sums = audit ? [await run.stm(sumOf, { isolation })] : [];
              expect(sums.every((sum) => sum === 400)).toBe(true);
            }),
          );
          const balances =
            (await clients[0]?.range(all))?.kvs.map(({ value }) => Number(value)) ?? [];
          expect(balances.reduce((sum, balance) => sum + balance, 0)).toBe(400);
          expect(Math.min(...balances)).toBeGreaterThanOrEqual(0);
        }),
        { numRuns: 30 },
      );
    },
  );
});

describe('two that each look at what the other writes', () => {
  /** Both look for bookings of a room at the same time, and each books it if there is none: how many there are then. */
  const bookings = async (isolation: Isolation): Promise<number> => {
    const { clients } = open(2);
    const bothLooked = barrier(2);
    const book = (client: Client, name: string): Promise<void> =>
      client.stm(
        async (tx) => {
          const taken = await tx.range(prefixRange('room/'));
          await bothLooked();
          if (taken.length === 0) tx.put(`room/${name}`, '');
        },
        { isolation },
      );
    await Promise.all(clients.map((client, i) => book(client, `guest ${i}`)));
    return (await clients[0]?.count(all)) ?? 0;
  };

  it.each(serializable)('do not both go ahead (%s)', async (isolation) => {
    expect(await bookings(isolation)).toBe(1);
  });

  it('may both go ahead where ranges are not guarded', async () => {
    expect(await bookings('repeatable-reads')).toBe(2);
  });

  it.each<Isolation>([...serializable, 'repeatable-reads'])(
    'do not both go ahead when they look at single keys (%s)',
    async (isolation) => {
      const { clients } = open(2);
      const bothLooked = barrier(2);
      await clients[0]?.put('alice', 'on call');
      await clients[0]?.put('bob', 'on call');
      const leave = (client: Client, who: string, whoElse: string): Promise<void> =>
        client.stm(
          async (tx) => {
            const other = (await tx.get(whoElse))?.toString();
            await bothLooked();
            if (other === 'on call') tx.put(who, 'away');
          },
          { isolation },
        );
      await Promise.all([
        leave(clients[0] as Client, 'alice', 'bob'),
        leave(clients[1] as Client, 'bob', 'alice'),
      ]);
      const { kvs } = (await clients[0]?.range(all)) ?? { kvs: [] };
      expect(kvs.map(({ value }) => value.toString()).toSorted()).toEqual(['away', 'on call']);
    },
  );

  it('lose an update where nothing is guarded, and nowhere else', async () => {
    for (const isolation of [...serializable, 'repeatable-reads', 'read-committed'] as const) {
      const { clients } = open(2);
      const bothLooked = barrier(2);
      const increment = (client: Client): Promise<void> =>
        client.stm(
          async (tx) => {
            const value = Number((await tx.get('n')) ?? 0);
            await bothLooked();
            tx.put('n', String(value + 1));
          },
          { isolation },
        );
      await Promise.all(clients.map(increment));
      const value = (await clients[0]?.get('n'))?.value.toString();
      expect(value).toBe(isolation === 'read-committed' ? '1' : '2');
    }
  });
});

/** What one transaction of a history does: it reads the lists under some keys, or all, and adds its number to some. */
interface Plan {
  readonly client: number;
  readonly reads: readonly string[];
  readonly readsAll: boolean;
  readonly appends: readonly string[];
  readonly isolation: Isolation;
}

/** What it saw, and when it ran. */
interface Ran extends Plan {
  readonly seen: ReadonlyMap<string, readonly number[]>;
  readonly begin: number;
  readonly end: number;
}

const keys = ['k0', 'k1', 'k2', 'k3'];
const listOf = (value: Buffer | undefined): number[] =>
  (value?.toString() ?? '').split(' ').filter(Boolean).map(Number);

/** Who must have come before whom, by what they saw and by time. */
function edges(
  history: readonly Ran[],
  lists: ReadonlyMap<string, readonly number[]>,
): Set<number>[] {
  const before = history.map(() => new Set<number>());
  for (const [i, { seen, begin }] of history.entries()) {
    for (const [j, { end }] of history.entries()) if (end < begin) before[i]?.add(j);
    for (const [key, list] of seen) {
      const final = lists.get(key) ?? [];
      // What it saw must be how the list began.
      expect(final.slice(0, list.length)).toEqual(list);
      const last = list.at(-1);
      if (last !== undefined) before[i]?.add(last);
      const next = final[list.length];
      if (next !== undefined && next !== i) before[next]?.add(i);
    }
  }
  return before;
}

/** Whether there is an order in which everybody comes after all who must have been before. */
function hasOrder(before: Set<number>[]): boolean {
  const left = new Map(before.entries());
  while (left.size > 0) {
    const free = [...left].filter(([, set]) => [...set].every((j) => !left.has(j)));
    if (free.length === 0) return false;
    for (const [i] of free) left.delete(i);
  }
  return true;
}

describe('any transactions side by side', () => {
  const plan: fc.Arbitrary<Plan> = fc.record({
    client: fc.nat(2),
    reads: fc.uniqueArray(fc.constantFrom(...keys), { maxLength: 2 }),
    readsAll: fc.boolean(),
    appends: fc.uniqueArray(fc.constantFrom(...keys), { maxLength: 2 }),
    isolation: fc.constantFrom(...serializable),
  });

  it('have an order in which each saw what those before it did, and which is that of time', {
    timeout: 180_000,
  }, async () => {
    const { clients, clear } = open(3);
    let reruns = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(plan, { minLength: 2, maxLength: 14 }), async (plans) => {
        await clear();
        let clock = 0;
        const run = async (each: Plan, number: number): Promise<Ran> => {
          const begin = (clock += 1);
          const seen = new Map<string, number[]>();
          const work = async (tx: StmTx): Promise<void> => {
            reruns += Number(seen.size > 0);
            seen.clear();
            if (each.readsAll) {
              for (const key of keys) seen.set(key, []);
              for (const { key, value } of await tx.range(all))
                seen.set(key.toString(), listOf(value));
            }
            for (const key of [...each.reads, ...each.appends]) {
              const list = listOf(await tx.get(key));
              expect(seen.get(key) ?? list).toEqual(list);
              seen.set(key, list);
            }
            for (const key of each.appends)
              tx.put(key, [...(seen.get(key) ?? []), number].join(' '));
          };
          await (clients[each.client] as Client).stm(work, { isolation: each.isolation });
          return { ...each, seen, begin, end: (clock += 1) };
        };
        const history = await Promise.all(plans.map(run));
        const { kvs } = (await clients[0]?.range(all)) ?? { kvs: [] };
        const lists = new Map(kvs.map(({ key, value }) => [key.toString(), listOf(value)]));
        expect([...lists.values()].flat().toSorted((a, b) => a - b)).toEqual(
          plans.flatMap(({ appends }, i) => appends.map(() => i)),
        );
        expect(hasOrder(edges(history, lists))).toBe(true);
      }),
      { numRuns: 60 },
    );
    // Conflicts are what this is about.
    expect(reruns).toBeGreaterThan(50);
  });
});
