import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { contains, intervalOf } from '../../../src/embed/server/mvcc/interval.js';
import { MvccStore } from '../../../src/embed/server/mvcc/store.js';
import type { Version } from '../../../src/embed/server/mvcc/version.js';
import type { Receiver } from '../../../src/embed/server/watch/watcher.js';
import { WatcherIndex } from '../../../src/embed/server/watch/watcher-index.js';
import { Watches } from '../../../src/embed/server/watch/watches.js';

const patience = { timeout: 60_000, interval: 5 };

const key = fc.string({
  unit: fc.constantFrom('a', 'b', '\0', '\xff'),
  minLength: 1,
  maxLength: 4,
});
const interval = fc
  .tuple(key, fc.oneof(fc.constant(''), fc.constant('\0'), key))
  .map(([low, end]) => intervalOf(low, end));

describe('the index of watchers', () => {
  it('finds those whose interval has the key, and no others', () => {
    fc.assert(
      fc.property(fc.array(interval), key, fc.nat(), (intervals, probe, gone) => {
        const index = new WatcherIndex<{ interval: (typeof intervals)[number] }>();
        const watchers = intervals.map((one) => ({ interval: one }));
        for (const watcher of watchers) index.add(watcher);
        const removed = watchers.splice(gone % (watchers.length + 1), 1);
        for (const watcher of removed) index.delete(watcher);
        const expected = watchers.filter((watcher) => contains(watcher.interval, probe));
        expect(new Set(index.find(probe))).toEqual(new Set(expected));
      }),
    );
  });
});

describe('a watcher that begins in the past', () => {
  const build = (): { store: MvccStore; watches: Watches; put: (name: string) => void } => {
    const store = new MvccStore((changes) => watches.publish(changes));
    const watches: Watches = new Watches(store);
    const put = (name: string): void => store.write((writer) => writer.put(name, '', 0n));
    return { store, watches, put };
  };
  const record = (
    isReady: () => boolean = () => true,
  ): Receiver & { readonly batches: Version[][]; ends: number[] } => {
    const batches: Version[][] = [];
    const ends: number[] = [];
    return {
      batches,
      ends,
      isReady,
      events: (changes) => void batches.push([...changes]),
      compacted: (revision) => void ends.push(revision),
    };
  };
  const all = intervalOf('\0', '\0');
  const revisionsOf = (batches: Version[][]): number[] => batches.flat().map(({ mod }) => mod);
  const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 2);

  it.each([
    ['of everything', all],
    ['of one key', intervalOf('k', '')],
  ])(
    '%s is told of all in order, at most a thousand revisions at once, while others write',
    async (_, range) => {
      const { watches, put } = build();
      for (let i = 0; i < 45_000; i += 1) put('k');
      const receiver = record();
      watches.resume(
        watches.add({ interval: range, from: 2, puts: true, deletions: true }, receiver),
      );
      expect(revisionsOf(receiver.batches).length).toBeLessThan(45_000);
      for (let i = 0; i < 100; i += 1) {
        put('k');
        await new Promise((resolve) => setImmediate(resolve));
      }
      await vi.waitFor(() => expect(revisionsOf(receiver.batches).length).toBe(45_100), patience);
      expect(revisionsOf(receiver.batches)).toEqual(upTo(45_100));
      expect(Math.max(...receiver.batches.map(({ length }) => length))).toBeLessThanOrEqual(1000);
    },
  );

  it('never gets a revision in two parts', async () => {
    const { store, watches } = build();
    for (let i = 0; i < 3_000; i += 1) {
      store.write((writer) => {
        for (const name of ['a', 'b', 'c']) writer.put(name, '', 0n);
      });
    }
    const receiver = record();
    watches.resume(watches.add({ interval: all, from: 2, puts: true, deletions: true }, receiver));
    await vi.waitFor(() => expect(receiver.batches.flat().length).toBe(9_000), patience);
    for (const batch of receiver.batches) {
      const count = new Map<number, number>();
      for (const { mod } of batch) count.set(mod, (count.get(mod) ?? 0) + 1);
      expect([...count.values()].every((n) => n === 3)).toBe(true);
    }
  });

  it('gets past a revision of any size, whether it has a part in it or not', async () => {
    const { store, watches, put } = build();
    store.write((writer) => {
      for (let i = 0; i < 45_000; i += 1) writer.put(`many/${i}`, '', 0n);
    });
    put('other');
    const receivers = [intervalOf('many/', 'many0'), intervalOf('o', 'p')].map((range) => {
      const receiver = record();
      const spec = { interval: range, from: 2, puts: true, deletions: true };
      watches.resume(watches.add(spec, receiver));
      return receiver;
    });
    await vi.waitFor(() => expect(receivers[1]?.batches.flat().length).toBe(1), patience);
    await vi.waitFor(
      () => expect(receivers[0]?.batches.map(({ length }) => length)).toEqual([45_000]),
      patience,
    );
  });

  it('leaves others their turns while hundreds catch up', async () => {
    const { watches, put } = build();
    for (let i = 0; i < 30_000; i += 1) put(`k${i % 10}`);
    const receivers = Array.from({ length: 200 }, () => record());
    for (const receiver of receivers) {
      watches.resume(
        watches.add({ interval: all, from: 2, puts: true, deletions: true }, receiver),
      );
    }
    let turns = 0;
    while (receivers.some(({ batches }) => batches.length < 30)) {
      await new Promise((resolve) => setImmediate(resolve));
      turns += 1;
    }
    expect(turns).toBeGreaterThan(100);
    for (const { batches } of receivers) expect(revisionsOf(batches)).toEqual(upTo(30_000));
  });

  it('falls behind while its receiver is not ready, and ends when history is compacted under it', () => {
    const { store, watches, put } = build();
    let ready = true;
    const receiver = record(() => ready);
    const watcher = watches.add({ interval: all, from: 2, puts: true, deletions: true }, receiver);
    watches.resume(watcher);
    put('a');
    ready = false;
    for (let i = 0; i < 5; i += 1) put('a');
    expect(revisionsOf(receiver.batches)).toEqual([2]);
    ready = true;
    watches.resume(watcher);
    expect(revisionsOf(receiver.batches)).toEqual(upTo(6));
    ready = false;
    for (let i = 0; i < 5; i += 1) put('a');
    store.compact(10);
    ready = true;
    watches.resume(watcher);
    expect([revisionsOf(receiver.batches), receiver.ends]).toEqual([upTo(6), [10]]);
    expect(watches.size).toBe(0);
    put('a');
    expect(revisionsOf(receiver.batches)).toEqual(upTo(6));
  });
});
