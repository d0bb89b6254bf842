import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { Balancer } from '../../../src/discovery/balancing/balancer.js';
import { NoInstanceError } from '../../../src/discovery/balancing/no-instance-error.js';
import { randomFrom } from '../../support/random.js';
import { FakeSource, tally, weighted } from '../support/instances.js';

const weights = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 12 });
const seeds = fc.integer();
const policies = ['round-robin', 'weighted', 'random', 'least-loaded', 'sticky'] as const;
const key = 'a key';

it('gives each instance exactly its weight in every cycle, counted from any pick', () => {
  fc.assert(
    fc.property(weights, fc.nat(100), seeds, (all, before, seed) => {
      fc.pre(all.some((weight) => weight > 0));
      const random = randomFrom(seed);
      const balancer = new Balancer(new FakeSource(...weighted(all)), {
        policy: 'weighted',
        random,
      });
      const pick = (): string => balancer.pick().instance.id;
      tally(before, pick);
      const cycle = all.reduce((sum, weight) => sum + weight);
      const counts = tally(cycle, pick);
      expect(all.map((_, i) => counts.get(String(i)) ?? 0)).toEqual(all);
    }),
  );
});

it('spreads heavy ones between the light', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 20 }), seeds, (heavy, seed) => {
      const random = randomFrom(seed);
      const source = new FakeSource(...weighted([heavy, 1]));
      const balancer = new Balancer(source, { policy: 'weighted', random });
      const picks = Array.from({ length: 4 * heavy }, () => balancer.pick().instance.id);
      // With two of them, nobody waits for longer than his period.
      expect(picks.join('')).not.toMatch(/11/);
      for (const run of picks.join('').match(/0+/g) ?? [])
        expect(run.length).toBeLessThanOrEqual(heavy + 1);
    }),
  );
});

it('goes round, and gives who comes his place without giving another two', () => {
  const source = new FakeSource('a', 'b', 'c');
  const balancer = new Balancer(source, { policy: 'round-robin' });
  const pick = (): string => balancer.pick().instance.id;
  const first = [pick(), pick(), pick()];
  expect(first.toSorted()).toEqual(['a', 'b', 'c']);
  expect([pick(), pick(), pick()]).toEqual(first);
  pick();
  source.set('a', 'b', 'c', 'd');
  const rest = tally(4, pick);
  expect([...rest.values()]).toEqual([1, 1, 1, 1]);
});

it('draws each as likely', () => {
  const balancer = new Balancer(new FakeSource('a', 'b', 'c', 'd'), {
    policy: 'random',
    random: randomFrom(1),
  });
  const avoid = new Set(['b']);
  const counts = tally(9_000, () => balancer.pick({ avoid }).instance.id);
  expect(counts.has('b')).toBe(false);
  for (const count of counts.values()) expect(Math.abs(count - 3_000)).toBeLessThan(200);
});

it('never picks the more loaded of the two it looks at, so never the most loaded of all', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3), { minLength: 2, maxLength: 8 }), seeds, (loads, seed) => {
      const source = new FakeSource(...loads.map((_, i) => String(i)));
      const loaded = new Balancer(source, { random: randomFrom(seed) });
      const all = loads.map((_, i) => String(i));
      loads.forEach((load, i) => {
        const avoid = new Set(all.filter((id) => id !== String(i)));
        for (let n = 0; n < load; n += 1) loaded.pick({ avoid });
      });
      const most = Math.max(...loads);
      const picked = loads[Number(loaded.pick().instance.id)] as number;
      const isOnlyOne = loads.filter((load) => load === most).length === 1;
      expect(picked < most || !isOnlyOne).toBe(true);
    }),
  );
});

it('counts a call as in flight until it is done or disposed of, once', () => {
  const balancer = new Balancer(new FakeSource('a'));
  const pick = balancer.pick();
  {
    using other = balancer.pick();
    expect(other.instance).toBe(pick.instance);
    expect(balancer.inFlight).toEqual(new Map([['a', 2]]));
  }
  pick.done();
  pick.done(new Error('too late'));
  pick[Symbol.dispose]();
  expect(balancer.inFlight).toEqual(new Map([['a', 0]]));
});

it('takes weights into account when it compares loads', () => {
  const balancer = new Balancer(new FakeSource(...weighted([1, 3])));
  tally(400, () => balancer.pick());
  expect(balancer.inFlight).toEqual(
    new Map([
      ['0', 100],
      ['1', 300],
    ]),
  );
});

it('gives idle ones their share by weight', () => {
  const source = new FakeSource(...weighted([1, 3]));
  const balancer = new Balancer(source, { random: randomFrom(1) });
  const counts = tally(4_000, () => {
    using pick = balancer.pick();
    return pick.instance.id;
  });
  expect(Math.abs((counts.get('0') ?? 0) - 1_000)).toBeLessThan(100);
});

it('moves only the keys of an instance that goes, and only to one that comes', () => {
  fc.assert(
    fc.property(weights, fc.nat(), (all, which) => {
      const instances = weighted(all);
      fc.pre(all.filter((weight) => weight > 0).length >= 2);
      const rest = instances.filter((_, i) => i !== which % all.length);
      fc.pre(rest.some(({ weight }) => weight !== 0));
      const gone = String(which % all.length);
      const source = new FakeSource(...instances);
      const balancer = new Balancer(source, { policy: 'sticky' });
      const keys = Array.from({ length: 100 }, (_, i) => `user-${i}`);
      const place = (): string[] => keys.map((each) => balancer.pick({ key: each }).instance.id);
      const before = place();
      source.set(...rest);
      const after = place();
      const stayed = [...keys.keys()].filter((i) => before[i] !== gone);
      expect(stayed.map((i) => after[i])).toEqual(stayed.map((i) => before[i]));
      source.set(...instances.toReversed());
      expect(place()).toEqual(before);
    }),
    { numRuns: 30 },
  );
});

it('shares keys out by weight', () => {
  const balancer = new Balancer(new FakeSource(...weighted([1, 2, 5])), { policy: 'sticky' });
  let i = 0;
  const counts = tally(8_000, () => balancer.pick({ key: `user-${i++}` }).instance.id);
  [1, 2, 5].forEach((weight, at) =>
    expect(Math.abs((counts.get(String(at)) ?? 0) / 1_000 - weight)).toBeLessThan(0.2),
  );
});

it('wants a key to be sticky', () => {
  const balancer = new Balancer(new FakeSource('a'), { policy: 'sticky' });
  expect(() => balancer.pick()).toThrow('key must be a non-empty string, got undefined');
});

it.each(policies)('%s never picks who is avoided, has no weight, or is filtered', (policy) => {
  fc.assert(
    fc.property(weights, fc.uniqueArray(fc.nat(11)), seeds, (all, avoided, seed) => {
      const avoid = new Set(avoided.map(String));
      const balancer = new Balancer(new FakeSource(...weighted(all)), {
        policy,
        random: randomFrom(seed),
        filter: ({ id }) => id !== '3',
      });
      const eligible = [...all.keys()].filter((i) => (all[i] as number) > 0 && i !== 3);
      const left = eligible.map(String).filter((id) => !avoid.has(id));
      const counts = {
        total: all.length,
        filtered: all.length - eligible.length,
        ejected: 0,
        avoided: eligible.length,
      };
      const none = new NoInstanceError(counts).message;
      const picked = tally(30, () => {
        try {
          return balancer.pick({ avoid, key }).instance.id;
        } catch (error) {
          return (error as Error).message;
        }
      });
      const expected = left.length > 0 ? left : [none];
      expect(expected).toEqual(expect.arrayContaining([...picked.keys()]));
    }),
  );
});

it.each(policies)('%s follows instances that come, go and change', (policy) => {
  const source = new FakeSource('a');
  const balancer = new Balancer(source, { policy });
  const pick = (): string => balancer.pick({ key }).instance.address;
  expect(pick()).toBe('a:80');
  source.set('b');
  expect(pick()).toBe('b:80');
  source.set({ id: 'b', address: 'elsewhere:80' });
  expect(pick()).toBe('elsewhere:80');
  source.set();
  expect(pick).toThrow('no instance to call: 0 in all, of these 0 filtered, 0 ejected, 0 avoided');
});

it('stays in its zone as long as enough are there, and goes further for one pick', () => {
  const at = (id: string, zone: string): { id: string; address: string; zone: string } => ({
    id,
    address: `${id}:80`,
    zone,
  });
  const source = new FakeSource(at('a', 'eu'), at('b', 'eu'), at('c', 'us'));
  const balancer = new Balancer(source, { zone: 'eu', zoneAtLeast: 2, policy: 'round-robin' });
  const pick = (avoid?: string[]): string => balancer.pick({ avoid: new Set(avoid) }).instance.id;
  expect([...tally(10, () => pick()).keys()].toSorted()).toEqual(['a', 'b']);
  expect(pick(['a', 'b'])).toBe('c');
  source.set(at('b', 'eu'), at('c', 'us'));
  expect([...tally(10, () => pick()).keys()].toSorted()).toEqual(['b', 'c']);
});

it('refuses options that cannot be meant', () => {
  const source = new FakeSource();
  const refused = (options: object): unknown => {
    try {
      return new Balancer(source, options);
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(refused({ policy: 'best' })).toBe(
    "policy must be round-robin, weighted, random, least-loaded or sticky, got 'best'",
  );
  expect(() => new Balancer(undefined as never)).toThrow(/^source must be/);
  expect(refused({ zone: '' })).toMatch(/^zone must be/);
  expect(refused({ ejection: { maxEjected: 50 } })).toBe(
    'ejection.maxEjected must be a number from 0 to 1, got 50',
  );
  expect(refused({ retryBudget: { tokens: 0 } })).toMatch(/^retryBudget.tokens must be/);
});

it('asks a filter again that has thrown', () => {
  const filter = vi
    .fn<() => boolean>(() => true)
    .mockImplementationOnce(() => {
      throw new Error('not yet');
    });
  const balancer = new Balancer(new FakeSource('a'), { filter });
  expect(() => balancer.pick()).toThrow('not yet');
  expect(balancer.pick().instance.id).toBe('a');
});
