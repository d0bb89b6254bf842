import { expect, it } from 'vitest';
import { WaitTimeoutError } from '../../../src/core/store/errors.js';
import { deferred } from '../../../src/core/time/deferred.js';
import { Balancer } from '../../../src/discovery/balancing/balancer.js';
import type { BalancerOptions } from '../../../src/discovery/balancing/balancer-options.js';
import type { CallFailedError } from '../../../src/discovery/balancing/call-failed-error.js';
import { NoInstanceError } from '../../../src/discovery/balancing/no-instance-error.js';
import type { RetryOptions } from '../../../src/discovery/balancing/retry-options.js';
import type { Instance } from '../../../src/discovery/instance.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';
import { rejection } from '../../../src/testing/rejection.js';
import { FakeSource } from '../support/instances.js';

const now = { backoff: { base: 0, cap: 0 } };
/** Never answers. */
const silent = (): Promise<never> => new Promise(() => {});

class Bench {
  readonly clock = new VirtualClock();
  readonly source: FakeSource;
  readonly balancer: Balancer;
  /** Who was called. */
  readonly called: string[] = [];

  constructor(ids: readonly string[], options: BalancerOptions = {}) {
    this.source = new FakeSource(...ids);
    this.balancer = new Balancer(this.source, { clock: this.clock, ...options });
  }

  /** Calls with what each instance does; lets `ms` pass. */
  async call<T>(
    work: (instance: Instance, signal: AbortSignal) => T | Promise<T>,
    options: RetryOptions = now,
    ms = 0,
  ): Promise<T> {
    const result = this.balancer.call((instance, signal) => {
      this.called.push(instance.id);
      return work(instance, signal);
    }, options);
    result.catch(() => {});
    await this.clock.advance(ms);
    return result;
  }
}

const fails = ({ id }: Instance): never => {
  throw new Error(`${id} is out of order`);
};

it('does not go to an instance that failed again as long as there is another, as go-kit does', async () => {
  const bench = new Bench(['a', 'b', 'c', 'd'], { policy: 'random' });
  await rejection(bench.call(fails, { attempts: 4, ...now }));
  expect(bench.called.toSorted()).toEqual(['a', 'b', 'c', 'd']);
});

it('tries all of them again where none is left', async () => {
  const bench = new Bench(['a', 'b']);
  const error = await rejection(bench.call(fails, { attempts: 4, ...now }));
  expect(bench.called.slice(0, 2).toSorted()).toEqual(['a', 'b']);
  expect((error as CallFailedError).failures.map(({ instance }) => instance.id)).toEqual(
    bench.called,
  );
});

it('waits for an instance instead of using attempts up on there being none, as go-kit does', async () => {
  const bench = new Bench([]);
  const result = bench.call(({ id }) => `${id} answers`, { attempts: 1, timeout: 100 }, 50);
  await bench.clock.advance(1);
  bench.source.set();
  bench.source.set('a');
  expect(await result).toBe('a answers');
  expect(bench.source.watchers).toBe(0);
});

it('has all that went wrong in its error when the time is over, not only that, as go-kit does', async () => {
  const bench = new Bench(['a', 'b']);
  let calls = 0;
  const work = (instance: Instance): Promise<never> => {
    calls += 1;
    return calls === 1 ? fails(instance) : silent();
  };
  const error = await rejection(bench.call(work, { timeout: 500, ...now }, 500));
  const [first, second] = bench.called;
  expect(error).toMatchObject({
    code: 'ERR_CALL_FAILED',
    failures: [
      { instance: { id: first }, error: { message: `${first} is out of order` } },
      { instance: { id: second }, error: { code: 'ERR_WAIT_TIMEOUT' } },
    ],
    cause: { message: 'an answer: not granted within 500 ms' },
  });
});

it('can be used by any number of callers at once, as the random balancer of go-kit cannot', async () => {
  const bench = new Bench(['a', 'b', 'c'], { policy: 'random' });
  const answers = Array.from({ length: 300 }, () => bench.balancer.call(async ({ id }) => id));
  expect(new Set(await Promise.all(answers))).toEqual(new Set(['a', 'b', 'c']));
  expect([...bench.balancer.inFlight.values()]).toEqual([0, 0, 0]);
});

it('learns of failures by itself, of which the user has to tell Curator', async () => {
  const bench = new Bench(['a', 'b'], { policy: 'round-robin', ejection: { failuresInRow: 2 } });
  const work = (instance: Instance): string => (instance.id === 'a' ? fails(instance) : 'fine');
  for (let i = 0; i < 20; i += 1) expect(await bench.call(work)).toBe('fine');
  expect(bench.called.filter((id) => id === 'a')).toEqual(['a', 'a']);
});

it('is not without instances when the last one fails often, as Curator is', async () => {
  const bench = new Bench(['a']);
  for (let i = 0; i < 20; i += 1) await rejection(bench.call(fails, { attempts: 1 }));
  expect(await bench.call(() => 'fine')).toBe('fine');
});

it('gives what is not retryable back as it is, and does not blame the instance', async () => {
  const bench = new Bench(['a', 'b'], { ejection: { failuresInRow: 1 } });
  const answer = new Error('no such user');
  const work = (instance: Instance): never => {
    if (bench.called.length === 1) return fails(instance);
    throw answer;
  };
  const retryable = (error: unknown): boolean => error !== answer;
  const ejected: string[] = [];
  bench.balancer.on('ejected', ({ id }) => ejected.push(id));
  expect(await rejection(bench.call(work, { retryable, ...now }))).toBe(answer);
  expect(ejected).toEqual(bench.called.slice(0, 1));
});

it('goes on when an instance does not answer in time, and tells it to stop', async () => {
  const bench = new Bench(['a', 'b'], { ejection: { failuresInRow: 1 } });
  let stopped: AbortSignal | undefined;
  const work = (_: Instance, signal: AbortSignal): string | Promise<never> => {
    if (stopped) return 'fine';
    stopped = signal;
    return silent();
  };
  const ejected: unknown[] = [];
  bench.balancer.on('ejected', (instance, _, error) => ejected.push(instance.id, error));
  expect(await bench.call(work, { attemptTimeout: 100, ...now }, 100)).toBe('fine');
  const [first] = bench.called;
  expect(stopped?.reason).toMatchObject({
    message: `an answer of ${first}:80: not granted within 100 ms`,
  });
  expect(ejected).toEqual([first, stopped?.reason]);
});

it('asks whether an answer that did not come in time may be asked for again', async () => {
  const bench = new Bench(['a', 'b']);
  const options = { attemptTimeout: 100, retryable: () => false };
  expect(await rejection(bench.call(silent, options, 100))).toMatchObject({
    code: 'ERR_WAIT_TIMEOUT',
  });
  expect(bench.called.length).toBe(1);
});

it('is ended by its caller, whose reason is given back, and blames nobody', async () => {
  const bench = new Bench(['a', 'b'], { ejection: { failuresInRow: 1 } });
  const controller = new AbortController();
  const { signal } = controller;
  const ejected: string[] = [];
  bench.balancer.on('ejected', ({ id }) => ejected.push(id));
  let told: AbortSignal | undefined;
  const work = (_: Instance, own: AbortSignal): Promise<never> => {
    told = own;
    return silent();
  };
  const result = rejection(bench.call(work, { signal, timeout: 1_000 }));
  await bench.clock.advance(1);
  controller.abort('enough');
  expect(await result).toBe('enough');
  expect(told?.reason).toBe('enough');
  expect(ejected).toEqual([]);
  expect([...bench.balancer.inFlight.values()]).toEqual([0, 0]);
  expect(await rejection(bench.call(work, { signal }))).toBe('enough');
});

it('can be ended while it waits for an instance', async () => {
  const bench = new Bench([]);
  const controller = new AbortController();
  const result = rejection(bench.call(() => 1, { signal: controller.signal }));
  await bench.clock.advance(1);
  controller.abort('enough');
  expect(await result).toBe('enough');
  expect(bench.source.watchers).toBe(0);
});

it('begins no call after it was ended', async () => {
  const bench = new Bench(['a']);
  bench.source.isReady = new Promise(() => {});
  const controller = new AbortController();
  const ended = rejection(bench.call(() => 1, { signal: controller.signal }));
  const late = rejection(bench.call(() => 1, { timeout: 100 }));
  await bench.clock.advance(100);
  controller.abort('enough');
  expect(await ended).toBe('enough');
  expect(await late).toBeInstanceOf(WaitTimeoutError);
  expect(bench.called).toEqual([]);
});

it('waits for an instance no longer than it is told to', async () => {
  const bench = new Bench([]);
  const isNone = (error: unknown): boolean => error instanceof NoInstanceError;
  expect(isNone(await rejection(bench.call(() => 1, { wait: 100 }, 100)))).toBe(true);
  expect(isNone(await rejection(bench.call(() => 1, { timeout: 100 }, 100)))).toBe(true);
  expect(isNone(await rejection(bench.call(() => 1, { wait: 0 }, 0)))).toBe(true);
});

it('does not wait where nothing ever changes', async () => {
  const balancer = new Balancer({ instances: () => [] });
  expect(await rejection(balancer.call(() => 1))).toBeInstanceOf(NoInstanceError);
});

it('says what had failed when no instance is left', async () => {
  const bench = new Bench(['a']);
  const work = (instance: Instance): never => {
    bench.source.set();
    return fails(instance);
  };
  expect(await rejection(bench.call(work, { wait: 100, ...now }, 100))).toMatchObject({
    failures: [{ instance: { id: 'a' } }],
    cause: { code: 'ERR_NO_INSTANCE' },
  });
});

it('says what had failed when its source fails', async () => {
  const bench = new Bench(['a']);
  const closed = new Error('closed');
  const work = (instance: Instance): never => {
    bench.source.instances = () => {
      throw closed;
    };
    return fails(instance);
  };
  expect(await rejection(bench.call(work))).toMatchObject({
    failures: [{ instance: { id: 'a' } }],
    cause: closed,
  });
  expect(await rejection(bench.call(work))).toBe(closed);
});

it('waits until its source is ready', async () => {
  const bench = new Bench(['a']);
  const ready = deferred<void>();
  bench.source.isReady = ready.promise;
  const result = bench.call(({ id }) => id);
  await bench.clock.advance(10);
  expect(bench.called).toEqual([]);
  ready.resolve();
  expect(await result).toBe('a');
});

it('makes longer pauses between attempts', async () => {
  const bench = new Bench(['a', 'b']);
  const options = { attempts: 3, backoff: { base: 100, cap: 1_000 } };
  const result = rejection(bench.call(fails, options));
  await bench.clock.advance(300);
  expect(bench.called.length).toBe(3);
  expect(await result).toMatchObject({ code: 'ERR_CALL_FAILED' });
});

it('tries nothing again where most calls fail, until some succeed', async () => {
  const bench = new Bench(['a', 'b'], { retryBudget: { tokens: 6, ratio: 1 } });
  await rejection(bench.call(fails));
  expect(bench.called.length).toBe(3);
  await rejection(bench.call(fails));
  expect(bench.called.length).toBe(4);
  for (let i = 0; i < 4; i += 1) await bench.call(() => 'fine');
  bench.called.length = 0;
  await rejection(bench.call(fails));
  expect(bench.called.length).toBe(3);
});

it('goes to the same instance for the same key, and to the same other one when that fails', async () => {
  const bench = new Bench(['a', 'b', 'c'], { policy: 'sticky' });
  const first = await bench.call(({ id }) => id, { key: 'x' });
  const work = (instance: Instance): string =>
    instance.id === first ? fails(instance) : instance.id;
  const second = await bench.call(work, { key: 'x', ...now });
  expect(await bench.call(work, { key: 'x', ...now })).toBe(second);
});

it('refuses options that cannot be meant', async () => {
  const { balancer } = new Bench(['a']);
  const refused = (options: object): Promise<unknown> => rejection(balancer.call(() => 1, options));
  expect(await rejection(balancer.call(undefined as never))).toMatchObject({
    message: 'work must be a function, got undefined',
  });
  expect(await refused({ attempts: 0 })).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  expect(await refused({ attemptTimeout: 0 })).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  expect(await refused({ timeout: -1 })).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  expect(await refused({ retryable: true })).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
});

it('counts nothing as under way of a call that is given up, whenever that is', async () => {
  for (const at of ['coming', 'answering', 'failing'] as const) {
    for (let turns = 0; turns <= 12; turns += 1) {
      const bench = new Bench(at === 'coming' ? [] : ['a', 'b']);
      const given = new AbortController();
      const giveUp = async (): Promise<void> => {
        for (let i = 0; i < turns; i += 1) await Promise.resolve();
        given.abort();
      };
      const work = async (instance: Instance): Promise<string> => {
        if (at !== 'coming') void giveUp();
        await Promise.resolve();
        return at === 'failing' ? fails(instance) : 'answered';
      };
      const options = { signal: given.signal, ...now };
      const result = bench.call(work, options).catch((error: unknown) => error);
      if (at === 'coming') {
        await bench.clock.advance(0);
        bench.source.set('a');
        void giveUp();
      }
      for (let i = 0; i < 5; i += 1) await bench.clock.advance(10);
      const end = await result;
      expect(['answered', given.signal.reason], `${at} ${turns}`).toContain(end);
      expect([...bench.balancer.inFlight.values()].every((count) => count === 0)).toBe(true);
    }
  }
});
