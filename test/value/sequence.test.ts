import { describe, expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import { ArgumentError, ClosedError, WaitTimeoutError } from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { override } from '../support/override.js';

const etcd = useEtcd();

const times = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

describe('a sequence', () => {
  it('counts from 1', async () => {
    const coordinator = await etcd.connect();
    const sequence = coordinator.sequence(etcd.name('sequence'));
    expect([await sequence.next(), await sequence.next(), await sequence.next()]).toEqual([
      1n,
      2n,
      3n,
    ]);
  });

  it.each([1, 7, 100])('gives no number twice, with blocks of %i', async (block) => {
    const all = await Promise.all(times(3, () => etcd.connect()));
    const name = etcd.name('sequence');
    const sequences = all.map((each) => each.sequence(name, { block }));
    const numbers = await Promise.all(
      sequences.flatMap((sequence) => times(50, () => sequence.next())),
    );
    expect(new Set(numbers).size).toBe(150);
    for (const [i] of sequences.entries()) {
      const own = numbers.slice(i * 50, i * 50 + 50);
      expect(own).toEqual(own.toSorted((a, b) => Number(a - b)));
    }
  });

  it('asks etcd once for a block', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name('sequence');
    const sequence = coordinator.sequence(name, { block: 10 });
    for (let i = 1n; i <= 10n; i += 1n) expect(await sequence.next()).toBe(i);
    const { kvs } = await etcd.admin.read({ key: `${folderOf('sequence', name)}last` });
    expect(kvs[0]?.version).toBe(1n);
    expect(await coordinator.sequence(name).next()).toBe(11n);
    expect(await sequence.next()).toBe(12n);
  });

  it.each(['loses its reply', 'is lost', 'comes late'] as const)(
    'gives no number twice when a request %s',
    async (fate) => {
      const name = etcd.name('sequence');
      const { coordinator, below } = await connectFailing(etcd);
      const sequence = coordinator.sequence(name);
      const other = (await etcd.connect()).sequence(name);
      const numbers: bigint[] = [];
      for (let i = 0; i < 3; i += 1) {
        below.plan(fate, 'arrives', fate);
        numbers.push(await sequence.next(), await other.next());
        for (const arrive of below.arrive.splice(0)) await arrive().catch(() => {});
      }
      expect(numbers).toEqual(numbers.toSorted((a, b) => Number(a - b)));
      expect(new Set(numbers).size).toBe(6);
    },
  );

  it('gives nobody a number that was taken for somebody else, who gave up, when larger ones are given already', async () => {
    const name = etcd.name();
    const late: (() => void)[] = [];
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: async (...args) => {
          const reply = await store.commit(...args);
          if (late.length === 0) await new Promise<void>((resolve) => late.push(resolve));
          return reply;
        },
      }),
    );
    const sequence = coordinator.sequence(name);
    const other = (await etcd.connect()).sequence(name);
    const giveUp = new AbortController();
    const given = [sequence.next(), sequence.next({ signal: giveUp.signal })];
    await waitFor(() => late.length === 1);
    giveUp.abort(new Error('enough'));
    await expect(given[1]).rejects.toThrow('enough');
    const before = await other.next();
    const after = sequence.next();
    for (const answer of late) answer();
    await given[0];
    expect(await after).toBeGreaterThan(before);
    expect(await sequence.next()).toBeGreaterThan(await after);
  });

  it('ends a wait by its limits, or with the session', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const sequence = coordinator.sequence(etcd.name('sequence'));
    await expect(sequence.next({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    );
    below.plan(...times(100, () => 'is lost' as const));
    await expect(sequence.next({ timeout: 20 })).rejects.toThrow(WaitTimeoutError);
    await coordinator.close();
    await expect(sequence.next()).rejects.toThrow(ClosedError);
  });

  it('tells the largest number that anybody took', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name('sequence');
    const sequence = coordinator.sequence(name, { block: 10 });
    expect(await sequence.last()).toBe(0n);
    await sequence.next();
    expect(await coordinator.sequence(name).last()).toBe(10n);
  });

  it('refuses blocks that are none', async () => {
    const coordinator = await etcd.connect();
    for (const block of [0, 1.5, Number.NaN, '3' as unknown as number]) {
      expect(() => coordinator.sequence('s', { block })).toThrow(ArgumentError);
    }
  });
});
