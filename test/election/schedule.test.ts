import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { containerWith } from '../../src/container.js';
import { ExactlyOnceStore } from '../../src/core/commit/exactly-once-store.js';
import { folderOf } from '../../src/core/store/keys.js';
import type {
  Clock,
  Coordinator,
  Schedule,
  ScheduleOptions,
  Store,
  TickContext,
} from '../../src/index.js';
import {
  ArgumentError,
  ClosedError,
  ConflictError,
  connect,
  HoldLostError,
} from '../../src/index.js';
import { startTestEtcd, type TestEtcd, type VirtualClock } from '../../src/testing/index.js';
import { override } from '../support/override.js';
import { type Unreliable, unreliable } from '../support/unreliable-store.js';

const minute = 60_000;
const everyMinute = '* * * * *';
/** Renewals are what most of virtual time is spent on. */
const session = { ttl: 60 * minute };

let etcd: TestEtcd;
beforeEach(async () => {
  etcd = await startTestEtcd({ time: 'virtual' });
});
afterEach(() => etcd.stop());

/** A process of its own, whose wall clock is ahead by so many milliseconds. */
async function connectAhead(ahead: number): Promise<Coordinator> {
  const { clock, endpoints } = etcd.server;
  const skewed: Clock = {
    now: () => clock.now(),
    wall: () => clock.wall() + ahead,
    after: (ms, callback) => clock.after(ms, callback),
    sleep: (ms, signal) => clock.sleep(ms, signal),
  };
  const container = containerWith({ clock: skewed, store: etcd.server.store() });
  return connect({ endpoints, container, session });
}

/** Minutes of the ticks, from the beginning of time. */
function minutesOf(contexts: readonly Pick<TickContext, 'tick'>[]): number[] {
  return contexts.map(({ tick }) => tick.getTime() / minute);
}

/** Minutes from the one to the other. */
function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** A schedule that runs in a process of its own, and what it ran and told. */
async function runner(
  options: ScheduleOptions = {},
  {
    cron = everyMinute,
    job = (): unknown => undefined,
  }: { cron?: string; job?: (context: TickContext) => unknown } = {},
) {
  const coordinator = await etcd.connect({ session });
  const schedule = coordinator.schedule('s', cron, options);
  const ran: TickContext[] = [];
  const told: [event: string, ...unknown[]][] = [];
  schedule.on('missed', ({ tick, next }) =>
    told.push(['missed', tick.getTime() / minute, next && next.getTime() / minute]),
  );
  schedule.on('unfinished', ({ tick, attempt }) =>
    told.push(['unfinished', tick.getTime() / minute, attempt]),
  );
  schedule.on('failed', ({ error }) => told.push(['failed', error]));
  schedule.on('lost', ({ reason }) => told.push(['lost', reason]));
  const running = schedule.run((context) => {
    ran.push(context);
    return job(context);
  });
  running.catch(() => {});
  await etcd.advance(0);
  return { coordinator, schedule, ran, told, running };
}

describe('a schedule', () => {
  it('runs each of thousands of ticks once, in order, whoever is lost meanwhile', async () => {
    const processes = [];
    const ran: TickContext[] = [];
    const job = (context: TickContext): unknown => ran.push(context);
    for (let i = 0; i < 3; i += 1) processes.push(await runner({ catchUp: 'all' }, { job }));
    for (let i = 0; i < 30; i += 1) {
      await etcd.advance(97.3 * minute);
      const { runner: first } = (await processes[0]?.schedule.inspect()) ?? {};
      // Its lease is gone: as after a crash, or a pause that was too long.
      if (first) await etcd.store.revoke(first.lease);
    }
    await etcd.advance(minute);
    expect(minutesOf(ran)).toEqual(range(1, 2_920));
    const tokens = ran.map(({ token }) => token);
    expect(tokens).toEqual(tokens.toSorted((a, b) => Number(a - b)));
    expect(new Set(tokens).size).toBe(31);
    expect(processes.every((each) => each.ran.length > 0)).toBe(true);
  });

  it('runs no tick twice though clocks differ', async () => {
    const ran: TickContext[] = [];
    for (const ahead of [5 * minute, -3 * minute, 90_000]) {
      const schedule = (await connectAhead(ahead)).schedule('s', everyMinute);
      void schedule.run((context) => void ran.push(context));
      await etcd.advance(0);
    }
    const { schedule } = await runner();
    for (let i = 0; i < 20; i += 1) {
      await etcd.advance(2.5 * minute);
      const { runner: first } = await schedule.inspect();
      if (first) await etcd.store.revoke(first.lease);
    }
    const ticks = minutesOf(ran);
    expect(ticks.length).toBeGreaterThan(20);
    expect(ticks).toEqual([...new Set(ticks)].toSorted((a, b) => a - b));
  });

  it('is shown with its last tick, its next one, and who runs it', async () => {
    const { schedule } = await runner();
    await runner();
    expect(await schedule.inspect()).toMatchObject({ last: undefined, next: new Date(minute) });
    await etcd.advance(2.5 * minute);
    const state = await schedule.inspect();
    expect(state).toMatchObject({
      cron: everyMinute,
      last: { tick: new Date(2 * minute), state: 'done', attempt: 1, by: { pid: process.pid } },
      next: new Date(3 * minute),
      runner: { token: state.last?.token },
    });
    expect(state.waiters.length).toBe(1);
    const other = (await etcd.connect()).schedule('unused', everyMinute);
    expect(await other.inspect()).toMatchObject({ cron: undefined, next: undefined });
  });

  it('follows the clock of its time zone through summer time', async () => {
    const began = Date.parse('2026-03-27T12:00:00Z');
    const ran: string[] = [];
    const schedule = (await connectAhead(began)).schedule('s', '30 2 * * *', {
      timeZone: 'Europe/Berlin',
    });
    void schedule.run(({ tick }) => void ran.push(tick.toISOString()));
    await etcd.advance(3 * 24 * 60 * minute);
    // There is no half past two on the 29th.
    expect(ran).toEqual([
      '2026-03-28T01:30:00.000Z',
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ]);
  });

  it('with another expression begins with that now, and runs nothing twice', async () => {
    const old = await runner({ catchUp: 'all' }, { cron: '0 * * * *' });
    await etcd.advance(61 * minute);
    await old.schedule.close();
    await etcd.advance(59.5 * minute);
    const changed = await runner({ catchUp: 'all' }, { cron: '*/30 * * * *' });
    await etcd.advance(60 * minute);
    expect(minutesOf(old.ran)).toEqual([60]);
    expect(minutesOf(changed.ran)).toEqual([150, 180]);
    expect((await changed.schedule.inspect()).cron).toBe('*/30 * * * *');
  });

  it.each<[string, string, ScheduleOptions, string]>([
    ['three fields', '* * *', {}, 'cron'],
    ['nothing', '', {}, 'cron'],
    ['a date', '2026-01-01T00:00:00', {}, 'cron'],
    ['what differs from process to process', '? * * * *', {}, 'cron'],
    ['a day that never comes', '0 0 31 2 *', {}, 'cron'],
    ['a zone that nobody knows', everyMinute, { timeZone: 'Mars/Base' }, 'timeZone'],
    ['another policy', everyMinute, { catchUp: 'some' as never }, 'catchUp'],
    ['no limit', everyMinute, { catchUpLimit: 0 }, 'catchUpLimit'],
    ['a limit that would stop the process', everyMinute, { catchUpLimit: 1e9 }, 'catchUpLimit'],
    ['no attempt', everyMinute, { attempts: 0 }, 'attempts'],
  ])('is not made of %s', async (_, cron, options, option) => {
    const coordinator = await etcd.connect({ session });
    const make = (): Schedule => coordinator.schedule('s', cron, options);
    expect(make).toThrow(ArgumentError);
    expect(make).toThrow(new RegExp(`^${option} must be`));
  });

  it('takes nicknames, and fields of seconds', async () => {
    const daily = await runner({}, { cron: '@daily' });
    const coordinator = await etcd.connect({ session });
    let seconds = 0;
    const everyTen = coordinator.schedule('seconds', '*/10 * * * * *');
    void everyTen.run(() => (seconds += 1));
    await etcd.advance(60 * minute);
    expect(seconds).toBe(60 * 6);
    await everyTen.close();
    await etcd.advance(23 * 60 * minute);
    expect(minutesOf(daily.ran)).toEqual([24 * 60]);
  });

  it.each([
    'x',
    'null',
    '{"cron":"* * * * *","after":1}',
    '{"cron":"* * * * *","timeZone":"UTC","after":1e300}',
    '{"cron":"* * * * *","timeZone":"UTC","after":1,"last":{"tick":1,"attempt":1}}',
  ])('does not go on from a key that has %s', async (value) => {
    const key = `${folderOf('schedule', 's')}record`;
    await etcd.store.commit({ success: [{ put: { key, value } }] });
    const { running, schedule } = await runner();
    await expect(running).rejects.toThrow(ConflictError);
    await expect(schedule.inspect()).rejects.toThrow(ConflictError);
  });
});

describe('ticks that came while nobody was there', () => {
  it.each<[ScheduleOptions, number[], unknown[]]>([
    [{ catchUp: 'skip' }, [], [['missed', 3, undefined]]],
    [{}, [12], [['missed', 3, 12]]],
    [{ catchUp: 'all' }, range(3, 12), []],
    [{ catchUp: 'all', catchUpLimit: 3 }, [10, 11, 12], [['missed', 3, 10]]],
  ])('are seen to with %j', async (options, caughtUp, told) => {
    const before = await runner(options);
    await etcd.advance(2.5 * minute);
    await before.schedule.close();
    await etcd.advance(10 * minute);
    const after = await runner(options);
    await etcd.advance(0.2 * minute);
    expect(minutesOf(after.ran)).toEqual(caughtUp);
    await etcd.advance(minute);
    expect(minutesOf(after.ran)).toEqual([...caughtUp, 13]);
    expect(after.told).toEqual(told);
  });

  it.each<[ScheduleOptions['catchUp'], number[]]>([
    ['skip', [1, 4, 7, 10]],
    ['last', [1, 3, 6, 8]],
    ['all', [1, 2, 3, 4]],
  ])('because the job ran are too, with %s, and there is one at a time', async (catchUp, runs) => {
    let atOnce = 0;
    const job = async (): Promise<void> => {
      expect((atOnce += 1)).toBe(1);
      await etcd.server.clock.sleep(2.5 * minute);
      atOnce -= 1;
    };
    const { ran } = await runner({ ...(catchUp && { catchUp }) }, { job });
    await runner({ ...(catchUp && { catchUp }) }, { job });
    await etcd.advance(10.2 * minute);
    expect(minutesOf(ran)).toEqual(runs);
  });

  it('take no longer for each of thousands than for each of few', async () => {
    const before = await runner({ catchUp: 'all' });
    await etcd.advance(0.5 * minute);
    await before.schedule.close();
    await etcd.advance(3_000 * minute);
    const after = await runner({ catchUp: 'all', catchUpLimit: 10_000 });
    await etcd.advance(minute);
    await vi.waitFor(() => expect(minutesOf(after.ran)).toEqual(range(1, 3_001)));
  });

  it('are known from the first run on', async () => {
    const first = await runner();
    await etcd.advance(0.5 * minute);
    await first.schedule.close();
    await etcd.advance(minute);
    const second = await runner();
    await etcd.advance(0);
    expect(minutesOf(second.ran)).toEqual([1]);
  });
});

describe('a job', () => {
  it('that throws is told of, and is run at the next tick', async () => {
    const error = new Error('no disk');
    const job = ({ tick }: TickContext): void => {
      if (tick.getTime() === minute) throw error;
    };
    const { schedule, ran, told } = await runner({ attempts: 3 }, { job });
    await etcd.advance(minute);
    expect((await schedule.inspect()).last).toMatchObject({
      state: 'failed',
      error: 'Error: no disk',
    });
    await etcd.advance(minute);
    expect(minutesOf(ran)).toEqual([1, 2]);
    expect(told).toEqual([['failed', error]]);
  });

  it('that throws what is no text ends its tick as any other', async () => {
    const job = (): never => {
      throw Object.create(null);
    };
    const { schedule, ran } = await runner({}, { job });
    await etcd.advance(2 * minute);
    expect(minutesOf(ran)).toEqual([1, 2]);
    const { last } = await schedule.inspect();
    expect(last).toMatchObject({ state: 'failed', error: '[object Object]' });
  });

  it('is not begun where the schedule was lost while its tick was written down', async () => {
    const clock = etcd.server.clock as VirtualClock;
    let isStopped = false;
    const decorate = (store: Store): Store =>
      override(store, {
        commit: async (txn, options) => {
          const reply = await store.commit(txn, options);
          // The answer is there, and the process stands still for an hour before it looks at it.
          if (isStopped) clock.jump(120 * minute);
          isStopped = false;
          return reply;
        },
      });
    const coordinator = await etcd.connect({ session: { ttl: 60 * minute }, decorate });
    const ran: number[] = [];
    const job = ({ tick, signal }: TickContext): unknown =>
      ran.push(tick.getTime() / minute, Number(signal.aborted));
    const schedule = coordinator.schedule('s', everyMinute);
    void schedule.run(job);
    await etcd.advance(0.5 * minute);
    isStopped = true;
    await etcd.advance(minute);
    expect(ran).not.toContain(1);
  });

  it('whose process died is told of as unfinished, and not run again', async () => {
    const dead = await runner({}, { job: () => new Promise(() => {}) });
    await etcd.advance(minute);
    const next = await runner();
    await etcd.expire(dead.coordinator.session);
    await etcd.advance(0.5 * minute);
    expect(next.told).toEqual([['unfinished', 1, 1]]);
    expect(next.ran).toEqual([]);
    expect((await next.schedule.inspect()).last).toMatchObject({
      tick: new Date(minute),
      state: 'unfinished',
    });
    await etcd.advance(minute);
    expect(minutesOf(next.ran)).toEqual([2]);
  });

  it('whose process died is run again where that is asked for, so often', async () => {
    const ran: TickContext[] = [];
    const job = (context: TickContext): unknown => {
      ran.push(context);
      return new Promise(() => {});
    };
    const processes = [];
    for (let i = 0; i < 4; i += 1) processes.push(await runner({ attempts: 3 }, { job }));
    await etcd.advance(minute);
    for (const { coordinator } of processes.slice(0, 3)) {
      await etcd.expire(coordinator.session);
      await etcd.advance(0.1 * minute);
    }
    expect(ran.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(new Set(minutesOf(ran))).toEqual(new Set([1]));
    expect(processes.at(-1)?.told).toEqual([['unfinished', 1, 3]]);
    await etcd.advance(minute);
    expect(minutesOf(ran)).toEqual([1, 1, 1, 2]);
  });

  it('of a process that was stopped too long writes nothing, and is waited for', async () => {
    let goOn = (): void => {};
    const outcomes: unknown[] = [];
    const job = async ({ txn, signal, tick }: TickContext): Promise<void> => {
      await new Promise<void>((resolve) => (goOn = resolve));
      outcomes.push(signal.aborted);
      await txn()
        .put('written', String(tick.getTime()))
        .commit()
        .catch((error: unknown) => {
          outcomes.push(error);
          throw error;
        });
    };
    const paused = await runner({ attempts: 2 }, { job });
    const other = await runner({ attempts: 2 });
    await etcd.advance(minute);
    await etcd.expire(paused.coordinator.session);
    await etcd.advance(minute);
    await other.schedule.close();
    await etcd.advance(minute);
    // What its job was begun for is still at it.
    expect(minutesOf(paused.ran)).toEqual([1]);
    expect(minutesOf(other.ran)).toEqual([1, 2]);
    goOn();
    await etcd.advance(0);
    expect(outcomes).toEqual([true, expect.any(HoldLostError)]);
    expect((await etcd.store.read({ key: 'written' })).count).toBe(0);
    expect(paused.told).toEqual([['lost', 'revoked']]);
    expect(minutesOf(paused.ran)).toEqual([1, 3]);
    goOn();
    await etcd.advance(0);
    const [written] = (await etcd.store.read({ key: 'written' })).kvs;
    expect(written?.value.toString()).toBe(String(3 * minute));
  });

  it('is run once though what was written down of it comes again, late', async () => {
    let below: Unreliable | undefined;
    const decorate = (store: Store): Store => (below = unreliable(store)).store;
    const coordinator = await etcd.connect({ decorate });
    const ran: number[] = [];
    const job = ({ tick }: TickContext): unknown => ran.push(tick.getTime() / minute);
    void coordinator.schedule('s', everyMinute).run(job);
    await etcd.advance(0);
    below?.plan('comes late');
    await etcd.advance(2.1 * minute);
    expect(ran).toEqual([1, 2]);
    const next = await runner({ catchUp: 'all', attempts: 2 });
    await below?.arrive[0]?.();
    expect((await next.schedule.inspect()).last?.tick).toEqual(new Date(2 * minute));
    await etcd.expire(coordinator.session);
    await etcd.advance(minute);
    expect(minutesOf(next.ran)).toEqual([3]);
    expect(next.told).toEqual([]);
  });

  it('is run once though answers are lost', async () => {
    let below: Unreliable | undefined;
    const coordinator = await etcd.connect({
      decorate: (store) => {
        below = unreliable(store);
        return new ExactlyOnceStore(below.store, {}, etcd.server.clock);
      },
    });
    const ran: number[] = [];
    const schedule = coordinator.schedule('s', everyMinute);
    void schedule.run(({ tick }) => void ran.push(tick.getTime() / minute));
    await etcd.advance(0);
    for (let i = 1; i <= 20; i += 1) {
      const lost = i % 4 < 2 ? 'loses its reply' : 'is lost';
      below?.plan(...(i % 2 === 0 ? (['arrives', lost] as const) : ([lost, lost] as const)));
      await etcd.advance(minute);
    }
    expect(ran).toEqual(range(1, 20));
  });
});

describe('the end of a schedule', () => {
  it('comes with close, which lets the job end and no other begin; somebody else goes on', async () => {
    let finish = (): void => {};
    const job = ({ signal }: TickContext): Promise<void> => {
      expect(signal.aborted).toBe(false);
      return new Promise((resolve) => (finish = resolve));
    };
    const first = await runner({}, { job });
    const second = await runner();
    await etcd.advance(minute);
    const closed = vi.fn<() => void>();
    void first.schedule.close().then(closed);
    await etcd.advance(2 * minute);
    expect(closed).not.toHaveBeenCalled();
    expect(first.ran[0]?.signal.aborted).toBe(false);
    finish();
    await etcd.advance(0);
    expect(closed).toHaveBeenCalledOnce();
    await first.running;
    expect(minutesOf(first.ran)).toEqual([1]);
    expect(minutesOf(second.ran)).toEqual([3]);
    await expect(first.schedule.run(() => {})).rejects.toThrow(ClosedError);
  });

  it('comes with a signal, which aborts the job: its tick is unfinished', async () => {
    const schedule = (await etcd.connect()).schedule('s', everyMinute);
    const controller = new AbortController();
    const reason = new Error('enough');
    const failed = vi.fn<() => void>();
    schedule.on('failed', failed);
    const job = ({ signal }: TickContext): Promise<void> =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    const running = schedule.run(job, { signal: controller.signal });
    running.catch(() => {});
    await etcd.advance(minute);
    const next = await runner();
    controller.abort(reason);
    await etcd.advance(0);
    await expect(running).rejects.toBe(reason);
    expect(failed).not.toHaveBeenCalled();
    expect(next.told).toEqual([['unfinished', 1, 1]]);
  });

  it('comes with that of the session, which aborts the job, and waits for it', async () => {
    let finish = (): void => {};
    const job = (): Promise<void> => new Promise((resolve) => (finish = resolve));
    const { coordinator, ran, running } = await runner({}, { job });
    await etcd.advance(minute);
    const closed = vi.fn<() => void>();
    void coordinator.close().then(closed);
    await etcd.advance(1_000);
    expect(ran[0]?.signal.aborted).toBe(true);
    expect(closed).not.toHaveBeenCalled();
    finish();
    await etcd.advance(1_000);
    expect(closed).toHaveBeenCalledOnce();
    await running;
    const next = await runner();
    expect(next.told).toEqual([['unfinished', 1, 1]]);
  });

  it('comes before another attempt of what somebody has left', async () => {
    const key = `${folderOf('schedule', 's')}record`;
    const dead = await runner({ attempts: 2 }, { job: () => new Promise(() => {}) });
    const closeMeanwhile = (store: Store): Store =>
      override(store, {
        read: (keys, options) => {
          if (keys.key === key) void schedule.close();
          return store.read(keys, options);
        },
      });
    const coordinator = await etcd.connect({ session, decorate: closeMeanwhile });
    const schedule: Schedule = coordinator.schedule('s', everyMinute, { attempts: 2 });
    const job = vi.fn<() => void>();
    const running = schedule.run(job);
    await etcd.advance(minute);
    await etcd.expire(dead.coordinator.session);
    await etcd.advance(0.1 * minute);
    await running;
    expect(job).not.toHaveBeenCalled();
    expect((await dead.schedule.inspect()).last).toMatchObject({ attempt: 1 });
  });

  it('is that of a wait in line, too', async () => {
    await runner();
    const waiter = await runner();
    await waiter.schedule.close();
    await waiter.running;
    await etcd.advance(minute);
    expect((await waiter.schedule.inspect()).waiters).toEqual([]);
  });
});
