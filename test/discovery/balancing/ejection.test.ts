import { expect, it } from 'vitest';
import { Balancer } from '../../../src/discovery/balancing/balancer.js';
import type {
  BalancerOptions,
  EjectionOptions,
} from '../../../src/discovery/balancing/balancer-options.js';
import type { Picked } from '../../../src/discovery/balancing/picked.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';
import { FakeSource, tally } from '../support/instances.js';

const failure = new Error('connection refused');
const ids = ['a', 'b', 'c', 'd'];

class Bench {
  readonly clock = new VirtualClock();
  readonly source = new FakeSource(...ids);
  readonly balancer: Balancer;
  readonly told: string[] = [];

  constructor(ejection: EjectionOptions = {}, options: BalancerOptions = {}) {
    this.balancer = new Balancer(this.source, {
      policy: 'round-robin',
      clock: this.clock,
      ejection,
      ...options,
    })
      .on('ejected', ({ id }, ms) => this.told.push(`${id} for ${ms}`))
      .on('returned', ({ id }) => this.told.push(`${id} is back`));
  }

  /** Picks this one. */
  pick(id: string): Picked {
    const avoid = new Set(this.source.instances().map((each) => each.id));
    avoid.delete(id);
    return this.balancer.pick({ avoid });
  }

  fail(id: string, times = 1): void {
    for (let i = 0; i < times; i += 1) this.pick(id).done(failure);
  }

  /** Who may be picked; looks without an end of the call. */
  get callable(): string[] {
    return ids.filter((id) => {
      try {
        return this.pick(id);
      } catch {
        return false;
      }
    });
  }
}

it('leaves who fails in a row alone', () => {
  const bench = new Bench();
  bench.fail('a', 4);
  bench.pick('a').done();
  bench.fail('a', 4);
  expect(bench.told).toEqual([]);
  bench.fail('a');
  expect(bench.told).toEqual(['a for 30000']);
  expect(bench.callable).toEqual(['b', 'c', 'd']);
  expect(tally(9, () => bench.balancer.pick().instance.id).has('a')).toBe(false);
});

it('leaves who fails too often alone, by the calls of a window', async () => {
  const bench = new Bench({ failuresInRow: 100, failureRate: 0.5, minCalls: 10, window: 1_000 });
  const fails = (): void => {
    bench.pick('a').done();
    bench.fail('a');
  };
  for (let i = 0; i < 4; i += 1) fails();
  await bench.clock.advance(1_000);
  for (let i = 0; i < 4; i += 1) fails();
  expect(bench.told).toEqual([]);
  fails();
  expect(bench.told).toEqual(['a for 30000']);
});

it('gives one call to who was ejected when the time has passed, and ejects it for longer when that fails', async () => {
  const bench = new Bench();
  bench.fail('a', 5);
  await bench.clock.advance(29_999);
  expect(bench.callable).not.toContain('a');
  await bench.clock.advance(1);
  const trial = bench.pick('a');
  expect(bench.callable).not.toContain('a');
  trial.done(failure);
  expect(bench.told).toEqual(['a for 30000', 'a for 60000']);
  await bench.clock.advance(59_999);
  expect(bench.callable).not.toContain('a');
  await bench.clock.advance(1);
  bench.pick('a').done();
  expect(bench.told.at(-1)).toBe('a is back');
  expect(bench.callable).toContain('a');
});

it('gives another trial in time where the end of one is not told', async () => {
  const bench = new Bench();
  bench.fail('a', 5);
  await bench.clock.advance(30_000);
  bench.pick('a');
  await bench.clock.advance(30_000);
  bench.pick('a').done();
  expect(bench.told).toEqual(['a for 30000', 'a is back']);
});

it('learns nothing of calls that began before', () => {
  const bench = new Bench();
  const [good, bad] = [bench.pick('a'), bench.pick('a')];
  bench.fail('a', 5);
  good.done();
  bad.done(failure);
  expect(bench.told).toEqual(['a for 30000']);
  expect(bench.callable).not.toContain('a');
});

it('ejects for longer each time, up to a limit, and forgets with time', async () => {
  const bench = new Bench({ time: 100, maxTime: 250 });
  const eject = async (): Promise<void> => {
    bench.fail('a', 5);
    await bench.clock.advance(250);
    bench.pick('a').done();
  };
  for (let i = 0; i < 4; i += 1) await eject();
  await bench.clock.advance(300);
  await eject();
  expect(bench.told.filter((text) => !text.endsWith('back'))).toEqual([
    'a for 100',
    'a for 200',
    'a for 250',
    'a for 250',
    'a for 200',
  ]);
});

it('ejects no more than a part, and never all', () => {
  const half = new Bench();
  for (const id of ids) half.fail(id, 5);
  expect(half.told).toEqual(['a for 30000', 'b for 30000']);
  expect(half.callable).toEqual(['c', 'd']);
  const all = new Bench({ maxEjected: 1 });
  for (const id of ids) all.fail(id, 5);
  expect(all.callable).toEqual(['d']);
  const one = new Bench({ maxEjected: 1 });
  one.source.set('a');
  one.fail('a', 100);
  expect(one.callable).toEqual(['a']);
});

it('lets those in whose time comes first where the others have gone', async () => {
  const bench = new Bench();
  bench.fail('a', 5);
  await bench.clock.advance(1);
  bench.fail('b', 5);
  bench.source.set('a', 'b');
  const pick = bench.pick('a');
  expect(() => bench.pick('b').done()).not.toThrow();
  pick.done();
  expect(bench.told.slice(2)).toEqual(['b is back', 'a is back']);
});

it('forgets who has gone, and starts anew with who comes', () => {
  const bench = new Bench();
  bench.fail('a', 5);
  bench.source.set('b', 'c');
  expect(bench.callable).toEqual(['b', 'c']);
  bench.source.set(...ids);
  expect(bench.callable).toEqual(ids);
});

it('says how many are ejected', () => {
  const bench = new Bench();
  bench.fail('a', 5);
  expect(() => bench.balancer.pick({ avoid: new Set(ids) })).toThrow(
    'no instance to call: 4 in all, of these 0 filtered, 1 ejected, 3 avoided',
  );
});

it('goes out of its zone where too many are ejected there', () => {
  const bench = new Bench({}, { zone: 'eu' });
  const near = ['a', 'b'].map((id) => ({ id, address: id, zone: 'eu' }));
  bench.source.set(...near, 'c', 'd');
  expect([...tally(8, () => bench.balancer.pick().instance.id).keys()].toSorted()).toEqual([
    'a',
    'b',
  ]);
  bench.fail('a', 5);
  bench.fail('b', 5);
  expect([...tally(8, () => bench.balancer.pick().instance.id).keys()].toSorted()).toEqual([
    'c',
    'd',
  ]);
});

it('ejects nobody where that is not wanted', () => {
  const clock = new VirtualClock();
  const balancer = new Balancer(new FakeSource('a', 'b'), { ejection: false, clock });
  const avoid = new Set(['b']);
  for (let i = 0; i < 100; i += 1) balancer.pick({ avoid }).done(failure);
  expect(balancer.pick({ avoid }).instance.id).toBe('a');
});
