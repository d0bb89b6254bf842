import { describe, expect, it } from 'vitest';
import { ArgumentError, ConflictError, WaitTimeoutError } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';

const etcd = useEtcd();

describe('a latch', () => {
  it('opens when all have counted down, and stays open', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const name = etcd.name('latch');
    const [one, other] = [a.latch(name, 3), b.latch(name, 3)];
    let isOpen = false;
    const waiting = [one.wait(), other.wait()].map((wait) => wait.then(() => (isOpen = true)));
    expect(await one.countDown()).toBe(2);
    expect(await other.countDown()).toBe(1);
    await expect(one.wait({ timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    expect(isOpen).toBe(false);
    expect(await one.countDown()).toBe(0);
    await Promise.all(waiting);
    await other.wait({ timeout: 15_000 });
    expect(await other.countDown()).toBe(0);
  });

  it('counts a party once, however often it counts down', async () => {
    const coordinator = await etcd.connect();
    const latch = coordinator.latch(etcd.name('latch'), 2);
    expect(await latch.countDown('a/1')).toBe(1);
    expect(await latch.countDown('a/1')).toBe(1);
    expect(await latch.countDown('b')).toBe(0);
    expect(await latch.inspect()).toEqual({ count: 2, parties: ['a/1', 'b'] });
  });

  it('finds out who uses it with another count', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name('latch');
    await coordinator.latch(name, 2).countDown('a');
    const other = coordinator.latch(name, 3);
    await expect(other.countDown('b')).rejects.toThrow(`latch ${name} waits for 2 parties, not 3`);
    await expect(other.wait()).rejects.toThrow(ConflictError);
    expect((await other.inspect()).parties).toEqual(['a']);
    await other.reset();
    expect(await other.inspect()).toEqual({ count: undefined, parties: [] });
    expect(await other.countDown('b')).toBe(2);
  });

  it('goes on waiting when it is reset', async () => {
    const coordinator = await etcd.connect();
    const latch = coordinator.latch(etcd.name('latch'), 2);
    const waiting = latch.wait();
    await latch.countDown('a');
    await latch.reset();
    expect(await latch.countDown('b')).toBe(1);
    expect(await latch.countDown('c')).toBe(0);
    await waiting;
  });

  it.each(['loses its reply', 'is lost'] as const)(
    'counts a party once when a request %s',
    async (fate) => {
      const { coordinator, below } = await connectFailing(etcd);
      const latch = coordinator.latch(etcd.name('latch'), 3);
      const waiting = latch.wait();
      const left: number[] = [];
      for (let i = 0; i < 3; i += 1) {
        below.plan(fate, fate);
        left.push(await latch.countDown());
      }
      expect(left).toEqual([2, 1, 0]);
      await waiting;
      expect((await latch.inspect()).parties.length).toBe(3);
    },
  );

  it('refuses what cannot be a latch, or a party', async () => {
    const coordinator = await etcd.connect();
    expect(() => coordinator.latch('', 1)).toThrow(ArgumentError);
    for (const count of [0, 1.5, '2' as unknown as number]) {
      expect(() => coordinator.latch('x', count)).toThrow(/count must be a whole number from 1/);
    }
    await expect(coordinator.latch('x', 1).countDown('')).rejects.toThrow(/party must be/);
  });
});
