import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Owners, type Shareholder, share } from '../../src/membership/shares.js';

const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];
const holders = fc.uniqueArray(
  fc.record({ id: fc.constantFrom(...ids), weight: fc.integer({ min: 0, max: 9 }) }),
  { selector: ({ id }) => id, maxLength: 10 },
);
const equal = holders.map((all) => all.map(({ id }) => ({ id, weight: 1 })));
const shards = fc.integer({ min: 1, max: 60 });
/** Anything that may have been before: fewer shards or more, and owners who are gone. */
const before = fc.array(fc.option(fc.constantFrom(...ids, 'x', 'y'), { nil: undefined }), {
  maxLength: 70,
});

function numbersOf(owners: Owners, all: readonly Shareholder[]): number[] {
  return all.map(({ id }) => owners.filter((owner) => owner === id).length);
}

function moves(from: Owners, to: Owners): number {
  return to.filter((owner, shard) => owner !== from[shard]).length;
}

/** By trying all ways in which numbers can be rounded: the most shards that can stay where they are. */
function mostKept(from: Owners, all: readonly Shareholder[], count: number): number {
  const total = all.reduce((sum, { weight }) => sum + weight, 0);
  const own = numbersOf(from.slice(0, count), all);
  const go = (i: number, left: number): number => {
    const holder = all[i];
    if (!holder) return left === 0 ? 0 : Number.NEGATIVE_INFINITY;
    const exact = (count * holder.weight) / total;
    const choices = new Set([Math.floor(exact), Math.ceil(exact)]);
    return Math.max(
      ...[...choices].map((quota) => Math.min(quota, own[i] as number) + go(i + 1, left - quota)),
    );
  };
  return go(0, count);
}

describe('the shares of shards', () => {
  it('differ by one at most where weights are equal, and every shard has an owner', () => {
    fc.assert(
      fc.property(before, equal, shards, (old, all, count) => {
        fc.pre(all.length > 0);
        const owners = share(old, all, count);
        const numbers = numbersOf(owners, all);
        expect(Math.max(...numbers) - Math.min(...numbers)).toBeLessThanOrEqual(1);
        expect(numbers.reduce((a, b) => a + b)).toBe(count);
      }),
    );
  });

  it('are within one of what the weights say', () => {
    fc.assert(
      fc.property(before, holders, shards, (old, all, count) => {
        const total = all.reduce((sum, { weight }) => sum + weight, 0);
        const owners = share(old, all, count);
        expect(owners.includes(undefined)).toBe(total === 0);
        for (const [i, number] of numbersOf(owners, total === 0 ? [] : all).entries()) {
          const exact = (count * (all[i] as Shareholder).weight) / total;
          expect(Math.abs(number - exact)).toBeLessThan(1);
        }
      }),
    );
  });

  it('move no more shards than any other assignment that is as balanced', () => {
    fc.assert(
      fc.property(before, holders, shards, (old, all, count) => {
        fc.pre(all.some(({ weight }) => weight > 0));
        const owners = share(old, all, count);
        expect(moves(old, owners)).toBe(count - mostKept(old, all, count));
      }),
    );
  });

  it('move nothing between those who stay when one joins or leaves', () => {
    fc.assert(
      fc.property(equal, shards, fc.nat(), (all, count, n) => {
        fc.pre(all.length > 1);
        const one = all[n % all.length] as Shareholder;
        const others = all.filter((each) => each !== one);
        const without = share([], others, count);
        const joined = share(without, all, count);
        const stay = joined.map((owner, shard) => (owner === one.id ? without[shard] : owner));
        expect(stay).toEqual(without);
        const left = share(joined, others, count);
        expect(joined.map((owner, shard) => (owner === one.id ? left[shard] : owner))).toEqual(
          left,
        );
      }),
    );
  });

  it('stay as they are while nobody comes or goes', () => {
    fc.assert(
      fc.property(before, holders, shards, (old, all, count) => {
        const owners = share(old, all, count);
        expect(share(owners, all.toReversed(), count)).toEqual(owners);
      }),
    );
  });
});
