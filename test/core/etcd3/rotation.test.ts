import { Metadata } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import type { Endpoint } from '../../../src/core/etcd3/endpoint.js';
import { Members } from '../../../src/core/etcd3/members.js';
import { Rotation } from '../../../src/core/etcd3/rotation.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';

/** Endpoints of these names, and a rotation of them in which those in `ill` fail when asked. */
const rotationOf = (...names: string[]) => {
  const clock = new VirtualClock();
  const ill = new Set<string>();
  const asked: string[] = [];
  const endpoints = names.map((name) => ({ name }) as Endpoint);
  const rotation = new Rotation(endpoints, clock, async ({ name }) => {
    asked.push(name);
    return !ill.has(name);
  });
  const of = (name: string): Endpoint => endpoints[names.indexOf(name)] as Endpoint;
  const fail = (name: string): void => {
    ill.add(name);
    rotation.setAside(of(name));
  };
  return { clock, rotation, ill, asked, of, fail, pick: () => rotation.pick()?.name };
};

describe('the endpoint in use', () => {
  it('stays the same while it is well', () => {
    const { pick } = rotationOf('a', 'b', 'c');
    expect([pick(), pick(), pick()]).toEqual(['a', 'a', 'a']);
  });

  it('is the next in turn when one fails, and stays that when the other is well again', async () => {
    const { pick, fail, ill, clock, rotation, of } = rotationOf('a', 'b', 'c');
    fail('a');
    expect(pick()).toBe('b');
    ill.clear();
    await clock.advance(60_000);
    expect(rotation.isAside(of('a'))).toBe(false);
    expect(pick()).toBe('b');
    fail('b');
    expect(pick()).toBe('c');
    fail('c');
    expect(pick()).toBe('a');
  });

  it('is the one that failed first where all have failed', async () => {
    const { pick, fail, clock } = rotationOf('a', 'b', 'c');
    fail('b');
    await clock.advance(1);
    fail('c');
    await clock.advance(1);
    fail('a');
    expect(pick()).toBe('b');
  });

  it('is not one that a call has tried, unless it has tried them all', () => {
    const { rotation, of, fail } = rotationOf('a', 'b');
    expect(rotation.best(new Set([of('a')]))?.name).toBe('b');
    fail('b');
    expect(rotation.best(new Set([of('a')]))?.name).toBe('b');
    expect(rotation.best(new Set([of('a'), of('b')]))?.name).toBe('a');
  });

  it('does not change by asking which is best', () => {
    const { rotation, of, pick } = rotationOf('a', 'b');
    rotation.best(new Set([of('a')]));
    expect(pick()).toBe('a');
  });

  it('is none where there are none', () => {
    expect(rotationOf().pick()).toBe(undefined);
  });
});

describe('when the endpoint in use fails', () => {
  it('the first to prove that it is well is used, whoever would be next in turn', async () => {
    const { pick, fail, ill, clock } = rotationOf('a', 'b', 'c');
    ill.add('b');
    fail('a');
    expect(pick()).toBe('b');
    await clock.advance(0);
    expect(pick()).toBe('c');
  });

  it('that one stays in use where it proves to be well all the same', async () => {
    const { pick, rotation, of, clock } = rotationOf('a', 'b');
    rotation.setAside(of('a'));
    await clock.advance(0);
    expect(pick()).toBe('a');
  });

  it('all are found out about as soon as they answer, however often they have failed', async () => {
    const { fail, ill, rotation, of, clock, pick } = rotationOf('a', 'b');
    ill.add('b');
    fail('a');
    pick();
    fail('b');
    await clock.advance(3_000);
    ill.clear();
    await clock.advance(200);
    expect([rotation.isAside(of('a')), rotation.isAside(of('b'))]).toEqual([false, false]);
  });

  it('those who wait for answers are told whose need not be waited for', async () => {
    const { fail, rotation, clock, of } = rotationOf('a', 'b');
    const told: boolean[][] = [];
    rotation.onAbandon.add((isAbandoned) =>
      told.push(['a', 'b'].map((n) => isAbandoned(of(n), 0))),
    );
    fail('a');
    await clock.advance(100);
    expect(told).toEqual([[true, false]]);
  });

  it('and is not in use, nobody else is asked', async () => {
    const { fail, asked, clock } = rotationOf('a', 'b');
    fail('b');
    await clock.advance(200);
    expect(asked).toEqual([]);
  });
});

describe('an endpoint that failed', () => {
  it('is told of once, however many calls it fails', () => {
    const { rotation, fail } = rotationOf('a', 'b');
    const told: string[] = [];
    rotation.onSetAside.add(({ name }) => told.push(name));
    fail('a');
    fail('a');
    expect(told).toEqual(['a']);
  });

  it('is asked less and less often whether it is well, until it is', async () => {
    const { rotation, fail, ill, asked, clock, of } = rotationOf('a', 'b');
    fail('a');
    await clock.advance(10_000);
    const early = asked.length;
    expect(early).toBeGreaterThanOrEqual(2);
    await clock.advance(600_000);
    // 30 s apart at most, and more than half a second.
    expect(asked.length - early).toBeGreaterThanOrEqual(19);
    expect(asked.length).toBeLessThan(600);
    expect(rotation.isAside(of('a'))).toBe(true);
    ill.clear();
    await clock.advance(31_000);
    expect(rotation.isAside(of('a'))).toBe(false);
    asked.length = 0;
    await clock.advance(600_000);
    expect(asked).toEqual([]);
  });

  it('is back as soon as a call was answered', async () => {
    const { rotation, fail, asked, clock, of } = rotationOf('a', 'b');
    fail('a');
    rotation.takeBack(of('a'));
    await clock.advance(0);
    asked.length = 0;
    await clock.advance(60_000);
    expect(asked).toEqual([]);
  });

  it('is not asked after the end, nor for long where it is the only one', async () => {
    const alone = rotationOf('a');
    alone.fail('a');
    const closed = rotationOf('a', 'b');
    closed.fail('a');
    closed.rotation.close();
    await Promise.all([alone.clock.advance(10_000), closed.clock.advance(10_000)]);
    for (const { asked } of [alone, closed]) asked.length = 0;
    await Promise.all([alone.clock.advance(60_000), closed.clock.advance(60_000)]);
    expect([alone.asked, closed.asked]).toEqual([[], []]);
  });
});

describe('endpoints that are replaced', () => {
  it('are left by those who use them, and the one in use stays if it can', () => {
    const { rotation, of, pick } = rotationOf('a', 'b', 'c');
    const told: string[] = [];
    rotation.onSetAside.add(({ name }) => told.push(name));
    rotation.pick(new Set([of('a')]));
    const d = { name: 'd' } as Endpoint;
    expect(rotation.replace([d, of('b')])).toEqual([of('a'), of('c')]);
    expect(told).toEqual(['a', 'c']);
    expect(pick()).toBe('b');
    rotation.replace([d]);
    expect(pick()).toBe('d');
  });
});

it('an endpoint that failed when it was the only one is asked as soon as there are others', async () => {
  const { rotation, fail, ill, clock, of } = rotationOf('a');
  fail('a');
  rotation.replace([of('a'), { name: 'b' } as Endpoint]);
  ill.clear();
  await clock.advance(60_000);
  expect(rotation.isAside(of('a'))).toBe(false);
});

describe('members asked for who they are', () => {
  it('are those known before where they tell what is no endpoint, and are asked again', async () => {
    const clock = new VirtualClock();
    const options = { endpoints: ['a:1'], syncInterval: 1_000 };
    const members = new Members(options, clock, new Metadata(), async () => true);
    const answers = [['unix://b'], ['http://c:1/', 'd:1', 'c:1']];
    members.keepInSync(async () => answers.shift() ?? []);
    const names = (): string[] => members.rotation.endpoints.map(({ name }) => name);
    await clock.advance(1_000);
    expect(names()).toEqual(['a:1']);
    await clock.advance(1_000);
    expect(names()).toEqual(['c:1', 'd:1']);
    members.close();
  });
});
