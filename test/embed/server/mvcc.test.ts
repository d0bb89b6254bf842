import fc from 'fast-check';
import { expect, it } from 'vitest';
import { contains, intervalOf } from '../../../src/embed/server/mvcc/interval.js';
import { MvccStore } from '../../../src/embed/server/mvcc/store.js';
import { newTree, rankOf } from '../../../src/embed/server/mvcc/tree.js';

const key = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '\xff'), minLength: 1, maxLength: 6 });

it('counts the keys before another without visiting them', () => {
  fc.assert(
    fc.property(
      fc.array(key, { maxLength: 2_000, size: 'max' }),
      fc.array(key),
      key,
      (keys, gone, probe) => {
        const tree = newTree<number>();
        for (const one of keys) tree.set(one, 1);
        for (const one of gone) tree.delete(one);
        expect(rankOf(tree, probe)).toBe(tree.keysArray().filter((one) => one < probe).length);
      },
    ),
    { numRuns: 50 },
  );
});

it('counts and reads the same', () => {
  fc.assert(
    fc.property(fc.array(key), key, key, fc.nat(5), (keys, low, high, limit) => {
      const store = new MvccStore();
      for (const one of keys) store.write((writer) => writer.put(one, '', 0n));
      const interval = intervalOf(low, high);
      const expected = [...new Set(keys)].filter((one) => contains(interval, one)).toSorted();
      expect(store.read(interval).map((version) => version.key)).toEqual(expected);
      expect(store.read(interval, limit).map((version) => version.key)).toEqual(
        expected.slice(0, limit),
      );
      expect(store.readAt(interval, store.revision).map((version) => version.key)).toEqual(
        expected,
      );
      expect(store.count(interval)).toBe(expected.length);
    }),
  );
});

it('undoes what a transaction did that fails half-way, and tells nobody', () => {
  const told: unknown[] = [];
  const store = new MvccStore((changes) => told.push(changes));
  store.write((writer) => writer.put('kept', 'before', 0n));
  store.write((writer) => writer.put('gone', '', 0n));
  store.write((writer) => writer.delete(intervalOf('gone', '')));
  const before = [store.revision, store.bytes, store.log.length, store.newest('gone')];
  const failing = (): unknown =>
    store.write((writer) => {
      writer.put('kept', 'after', 0n);
      writer.put('gone', 'back', 0n);
      writer.put('new', '', 0n);
      writer.delete(intervalOf('kept', ''));
      throw new Error('half-way');
    });
  expect(failing).toThrow('half-way');
  expect([store.revision, store.bytes, store.log.length, store.newest('gone')]).toEqual(before);
  expect(store.get('kept')?.value).toBe('before');
  expect([store.get('gone'), store.get('new'), store.size]).toEqual([undefined, undefined, 1]);
  expect(told.length).toBe(3);
});

it('keeps to what it did when somebody who is told of it fails', () => {
  const store = new MvccStore(() => {
    throw new Error('not interested');
  });
  expect(() => store.write((writer) => writer.put('k', 'v', 0n))).toThrow('not interested');
  expect([store.revision, store.get('k')?.value]).toEqual([2, 'v']);
});
