import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../../src/core/store/errors.js';
import { VirtualClock } from '../../src/embed/virtual-clock.js';

/** The times at which timers run that are due at `times`. */
const record = (clock: VirtualClock, times: readonly number[]): [number, number][] => {
  const ran: [number, number][] = [];
  for (const at of times) clock.after(at, () => ran.push([at, clock.now()]));
  return ran;
};

describe('a virtual clock', () => {
  it('stands still until it is advanced', async () => {
    const clock = new VirtualClock();
    const ran = record(clock, [0, 1]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect([clock.now(), ran]).toEqual([0, []]);
    await clock.advance(0);
    expect(ran).toEqual([[0, 0]]);
    await clock.advance(1.5);
    expect([clock.now(), ran.length]).toEqual([1.5, 2]);
  });

  it('runs what falls due in order, each at its time, and no more', async () => {
    const clock = new VirtualClock();
    const ran = record(clock, [30, 10, 20, 41, 40]);
    await clock.advance(40);
    expect(ran).toEqual([10, 20, 30, 40].map((at) => [at, at]));
    expect(clock.now()).toBe(40);
  });

  it('runs what falls due together in the order in which it was set', async () => {
    const clock = new VirtualClock();
    const order: number[] = [];
    for (let i = 0; i < 50; i += 1) clock.after(5, () => order.push(i));
    await clock.advance(5);
    expect(order).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  it('runs what that leads to within the same advance, whatever the number of awaits', async () => {
    const clock = new VirtualClock();
    const told: string[] = [];
    const work = async (): Promise<void> => {
      await clock.sleep(10);
      for (let i = 0; i < 1_000; i += 1) await Promise.resolve();
      await clock.sleep(10);
      told.push(`awake at ${clock.now()}`);
    };
    void work();
    clock.after(15, () => told.push('in between'));
    await clock.advance(20);
    expect(told).toEqual(['in between', 'awake at 20']);
  });

  it('runs timers late after a jump, and never steps back', async () => {
    const clock = new VirtualClock();
    const ran = record(clock, [10, 200]);
    clock.jump(100);
    expect([clock.now(), ran]).toEqual([100, []]);
    await clock.advance(0);
    expect(ran).toEqual([[10, 100]]);
    clock.after(0, () => clock.jump(500));
    await clock.advance(1);
    await clock.advance(0);
    expect(clock.now()).toBe(600);
    expect(ran.at(-1)).toEqual([200, 600]);
  });

  it('takes a deadline that has passed for one that is due', async () => {
    const clock = new VirtualClock();
    const ran = record(clock, [-5]);
    await clock.advance(0);
    expect(ran).toEqual([[-5, 0]]);
  });

  it('adds up advances that overlap', async () => {
    const clock = new VirtualClock();
    await Promise.all([clock.advance(10), clock.advance(10)]);
    expect(clock.now()).toBe(20);
  });

  it('does not run what was taken back', async () => {
    const clock = new VirtualClock();
    const times = Array.from({ length: 1_000 }, (_, i) => (i * 7919) % 1_000);
    const ran: number[] = [];
    const cancels = times.map((at) => clock.after(at, () => ran.push(at)));
    for (const [i, cancel] of cancels.entries()) if (i % 3 > 0) cancel();
    cancels[1]?.();
    await clock.advance(1_000);
    cancels[0]?.();
    const kept = times.filter((_, i) => i % 3 === 0);
    expect(ran).toEqual(kept.toSorted((a, b) => a - b));
  });

  it('says what a callback throws, and goes on from there', async () => {
    const clock = new VirtualClock();
    const error = new Error('the callback failed');
    clock.after(10, () => {
      throw error;
    });
    const ran = record(clock, [20]);
    await expect(clock.advance(30)).rejects.toBe(error);
    expect(clock.now()).toBe(10);
    await clock.advance(10);
    expect(ran).toEqual([[20, 20]]);
  });

  it('steps through 10,000 timers', async () => {
    const clock = new VirtualClock();
    let ran = 0;
    for (let i = 0; i < 10_000; i += 1) clock.after((i * 7919) % 10_007, () => (ran += 1));
    await clock.advance(10_007);
    expect(ran).toBe(10_000);
  });
});

describe('a sleep', () => {
  it('lets go of its signal when it is over', async () => {
    const clock = new VirtualClock();
    const { signal } = new AbortController();
    const sleep = clock.sleep(10, signal);
    expect(getEventListeners(signal, 'abort').length).toBe(1);
    await clock.advance(10);
    await sleep;
    expect(getEventListeners(signal, 'abort').length).toBe(0);
  });

  it('rejects with the reason of its signal, at once', async () => {
    const clock = new VirtualClock();
    const controller = new AbortController();
    const reason = new Error('enough');
    const sleep = clock.sleep(10, controller.signal);
    controller.abort(reason);
    await expect(sleep).rejects.toBe(reason);
    await expect(clock.sleep(10, controller.signal)).rejects.toBe(reason);
  });
});

it.each([Number.NaN, -1, Number.POSITIVE_INFINITY, '5' as never])(
  'refuses to pass %s ms',
  async (ms) => {
    const clock = new VirtualClock();
    await expect(clock.advance(ms)).rejects.toThrow(ArgumentError);
    expect(() => clock.jump(ms)).toThrow(ArgumentError);
    expect(clock.now()).toBe(0);
  },
);

it.each([Number.NaN, 2 ** 31, '5' as never])('refuses a timer of %s ms', async (ms) => {
  const clock = new VirtualClock();
  expect(() => clock.after(ms, () => {})).toThrow(ArgumentError);
  await expect(clock.sleep(ms)).rejects.toThrow(ArgumentError);
});
