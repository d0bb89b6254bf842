import { describe, expect, it, vi } from 'vitest';
import { Emitter } from '../../src/core/events/emitter.js';
import { ArgumentError, ClosedError, CoordinationError } from '../../src/index.js';
import { recordEvents } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';

interface Events {
  moved: (from: number, to: number) => void;
  stopped: () => void;
}

const etcd = useEtcd();

describe('a recording of events', () => {
  it('has all of them in order, and each name for itself', () => {
    const emitter = new Emitter<Events>();
    emitter.emit('moved', 0, 1);
    const events = recordEvents(emitter);
    emitter.emit('moved', 1, 2);
    emitter.emit('stopped');
    emitter.emit('moved', 2, 3);
    expect(events.all).toEqual([
      { name: 'moved', args: [1, 2] },
      { name: 'stopped', args: [] },
      { name: 'moved', args: [2, 3] },
    ]);
    const moves: [from: number, to: number][] = events.of('moved');
    expect(moves).toEqual([
      [1, 2],
      [2, 3],
    ]);
  });

  it('leaves listeners as they are', () => {
    const emitter = new Emitter<Events>();
    const told: number[] = [];
    emitter.once('moved', (from, to) => told.push(from, to));
    recordEvents(emitter);
    expect(emitter.emit('moved', 1, 2)).toBe(true);
    expect(emitter.emit('moved', 3, 4)).toBe(false);
    expect(told).toEqual([1, 2]);
  });

  it('gives what has happened already at once, each event once', async () => {
    const emitter = new Emitter<Events>();
    const events = recordEvents(emitter);
    emitter.emit('moved', 1, 2);
    emitter.emit('moved', 2, 3);
    expect(await events.next('moved')).toEqual([1, 2]);
    expect(await events.next('moved')).toEqual([2, 3]);
    expect(events.of('moved').length).toBe(2);
    const next = events.next('moved');
    emitter.emit('stopped');
    emitter.emit('moved', 3, 4);
    expect(await next).toEqual([3, 4]);
  });

  it('gives each of those who wait together an event of their own', async () => {
    const emitter = new Emitter<Events>();
    const events = recordEvents(emitter);
    const both = Promise.all([events.next('moved'), events.next('moved')]);
    emitter.emit('moved', 1, 2);
    await events.next('stopped', { timeout: 1 }).catch(() => {});
    emitter.emit('moved', 2, 3);
    expect(await both).toEqual([
      [1, 2],
      [2, 3],
    ]);
  });

  it('says what came instead of what was waited for', async () => {
    const emitter = new Emitter<Events>();
    const events = recordEvents(emitter);
    emitter.emit('moved', 1, 2);
    const error: unknown = await events.next('stopped', { timeout: 5 }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CoordinationError);
    expect(error).toMatchObject({
      code: 'ERR_WAIT_TIMEOUT',
      message: "no further event 'stopped' within 5 ms; recorded: moved",
    });
  });

  it('rejects a wait with the reason of its signal', async () => {
    const events = recordEvents(new Emitter<Events>());
    const controller = new AbortController();
    const wait = events.next('moved', { signal: controller.signal });
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(wait).rejects.toBe(reason);
  });

  it('refuses a timeout that is no duration', async () => {
    const events = recordEvents(new Emitter<Events>());
    await expect(events.next('moved', { timeout: -1 })).rejects.toThrow(ArgumentError);
  });

  it('forgets everything when it is cleared', async () => {
    const emitter = new Emitter<Events>();
    const events = recordEvents(emitter);
    emitter.emit('moved', 1, 2);
    events.clear();
    emitter.emit('moved', 2, 3);
    expect(events.of('moved')).toEqual([[2, 3]]);
    expect(await events.next('moved')).toEqual([2, 3]);
  });

  it('ends with its block, leaves the emitter as it was, and ends what waits', async () => {
    const emitter = new Emitter<Events>();
    let waiting: Promise<unknown> | undefined;
    const keep = (): { all: readonly unknown[] } => {
      using events = recordEvents(emitter);
      emitter.emit('stopped');
      waiting = events.next('moved');
      waiting.catch(() => {});
      return events;
    };
    const events = keep();
    emitter.emit('stopped');
    expect(events.all).toEqual([{ name: 'stopped', args: [] }]);
    await expect(waiting).rejects.toThrow(ClosedError);
    expect(Object.hasOwn(emitter, 'emit')).toBe(false);
  });

  it('gets along with others on the same emitter, whoever stops first', () => {
    const emitter = new Emitter<Events>();
    const spy = vi.spyOn(emitter, 'emit');
    const [first, second] = [recordEvents(emitter), recordEvents(emitter)];
    emitter.emit('stopped');
    first.stop();
    first.stop();
    emitter.emit('stopped');
    second.stop();
    emitter.emit('stopped');
    expect([first.all.length, second.all.length]).toEqual([1, 2]);
    expect(spy).toHaveBeenCalledTimes(3);
    expect(Reflect.get(emitter, 'emit')).toBe(spy);
  });

  it('has the events of a recipe and of a session, by their types', async () => {
    const coordinator = await etcd.connect();
    const mutex = coordinator.mutex(etcd.name());
    using session = recordEvents(coordinator.session);
    using events = recordEvents(mutex);
    const hold = await mutex.acquire();
    const [{ name, token }] = await events.next('acquired');
    expect([name, token]).toEqual([mutex.name, hold.token]);
    await etcd.admin.commit({ success: [{ delete: { key: hold.key } }] });
    const [{ reason }] = await events.next('lost');
    expect(reason).toBe('deleted');
    await coordinator.close();
    expect(session.of('closed')).toEqual([[]]);
    // @ts-expect-error: a mutex has no such event
    expect(events.of('resumed')).toEqual([]);
  });

  it('is refused for what emits nothing', () => {
    expect(() => recordEvents({} as never)).toThrow(ArgumentError);
    expect(() => recordEvents(undefined as never)).toThrow(/source must be a session or a recipe/);
  });
});
