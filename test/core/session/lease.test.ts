import { describe, expect, it } from 'vitest';
import type { Fate } from '../../../src/core/session/fate.js';
import type { LeaseOptions } from '../../../src/core/session/lease.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';
import {
  ArgumentError,
  Session,
  SessionLostError,
  type Store,
  UnavailableError,
} from '../../../src/index.js';

/** What the scripted etcd says to the renewals, one after the other; then it keeps silent. */
type Answer = number | 'unavailable';

interface Script {
  readonly clock: VirtualClock;
  readonly session: Session;
  readonly events: string[];
  readonly renewals: number[];
  readonly revoked: bigint[];
}

const unavailable = (): UnavailableError =>
  new UnavailableError('unknown', [{ endpoint: 'test', status: 'UNAVAILABLE', message: 'cut' }]);

async function open(answers: Answer[], options: LeaseOptions, latency = 0): Promise<Script> {
  const clock = new VirtualClock();
  const renewals: number[] = [];
  const revoked: bigint[] = [];
  const store = {
    grant: async (_: bigint, ttl: number) => Math.ceil(ttl / 1_000) * 1_000,
    keepAlive: async (_: bigint, { timeout = 0 }: { timeout?: number }) => {
      renewals.push(clock.now());
      const answer = answers.shift();
      await clock.sleep(answer === undefined ? timeout : latency);
      if (answer === undefined || answer === 'unavailable') throw unavailable();
      return answer;
    },
    revoke: async (lease: bigint) => {
      revoked.push(lease);
    },
  } as unknown as Store;
  const session = await Session.open(store, options, clock);
  const events: string[] = [];
  session
    .on('suspended', () => events.push('suspended'))
    .on('resumed', () => events.push('resumed'))
    .on('lost', ({ reason }) => events.push(`lost: ${reason}`))
    .on('closed', () => events.push('closed'));
  return { clock, session, events, renewals, revoked };
}

const steady = (n: number, ttl: number): Answer[] => Array.from({ length: n }, () => ttl);

describe('a lease', () => {
  it('is renewed about three times per TTL', async () => {
    const { clock, session, renewals } = await open(steady(100, 15_000), {});
    await clock.advance(60_000);
    expect(session.state).toBe('open');
    expect(renewals.length).toBeGreaterThanOrEqual(10);
    expect(renewals.length).toBeLessThanOrEqual(14);
    expect(new Set(renewals.map((at, i) => at - (renewals[i - 1] ?? 0))).size).toBeGreaterThan(1);
  });

  it('counts its deadline from the time a renewal was sent, less the margin', async () => {
    const options = { ttl: 10_000, margin: 2_000 };
    const { clock, session, renewals } = await open([10_000], options, 500);
    expect(session.remaining()).toBe(8_000);
    while (renewals.length === 0) await clock.advance(10);
    await clock.advance(600);
    const [sent = 0] = renewals;
    expect(session.remaining()).toBe(sent + 8_000 - clock.now());
  });

  it('is suspended by a renewal without an answer, and open again with one', async () => {
    const { clock, session, events } = await open([9_000, 'unavailable', 9_000, 9_000], {
      ttl: 9_000,
    });
    await clock.advance(8_000);
    expect(events).toEqual(['suspended', 'resumed']);
    expect(session.signal.aborted).toBe(false);
  });

  it('is lost at its deadline without an answer, and given up at etcd', async () => {
    const { clock, session, events, revoked } = await open([], { ttl: 10_000, margin: 2_000 });
    await clock.advance(7_999);
    expect(session.signal.aborted).toBe(false);
    await clock.advance(2);
    expect(session.signal.reason).toEqual(new SessionLostError('no-contact'));
    expect(events).toEqual(['suspended', 'lost: no-contact']);
    expect(revoked).toEqual([session.id]);
  });

  it('is lost at once when etcd says that it is gone, revoked before its time', async () => {
    const { clock, session, events } = await open([9_000, 0], { ttl: 9_000 });
    await clock.advance(7_000);
    expect(events).toEqual(['lost: revoked']);
    expect(session.state).toBe('lost');
    expect(session.remaining()).toBe(0);
  });

  it('is lost by expiry when etcd says so after its time', async () => {
    const { clock, session, events, renewals } = await open([0], { ttl: 9_000 }, 50);
    while (renewals.length === 0) await clock.advance(10);
    clock.jump(20_000);
    await clock.advance(0);
    expect(session.state).toBe('lost');
    expect(events).toEqual(['lost: expired']);
  });

  it('is lost when the clock says so, before any timer of ours has run', async () => {
    const { clock, session, events } = await open(steady(10, 10_000), {
      ttl: 10_000,
      margin: 2_000,
    });
    clock.jump(8_000);
    expect(session.signal.aborted).toBe(true);
    expect(events).toEqual(['lost: no-contact']);
  });

  it('is not brought back by an answer that comes after its deadline', async () => {
    const options = { ttl: 10_000, margin: 2_000 };
    const { clock, session, renewals } = await open([10_000, 10_000], options, 50);
    while (renewals.length === 0) await clock.advance(10);
    // Late for the deadline that stood, but not for the one that the answer would give.
    clock.jump(5_500);
    await clock.advance(100);
    expect(session.state).toBe('lost');
    await clock.advance(20_000);
    expect(session.state).toBe('lost');
    expect(renewals.length).toBe(1);
  });

  it('tells what depends on it before its signal and its listeners, and late comers at once', async () => {
    const { clock, session } = await open([], { ttl: 10_000 });
    const order: string[] = [];
    const fate = session.freeLease?.fate as Fate;
    fate.onEnd((reason) => order.push(`dependent: ${reason}`));
    fate.onEnd(() => order.push('taken back'))();
    session.signal.addEventListener('abort', () => order.push('signal'));
    session.on('lost', () => order.push('listener'));
    await clock.advance(10_000);
    fate.onEnd(() => order.push('late'));
    expect(order).toEqual(['dependent: no-contact', 'signal', 'listener', 'late']);
  });

  it('is renewed no more when it was given back', async () => {
    const { clock, session, events, renewals, revoked } = await open(steady(9, 9_000), {
      ttl: 9_000,
    });
    await session.close();
    await clock.advance(60_000);
    expect(events).toEqual(['closed']);
    expect(renewals).toEqual([]);
    expect(revoked).toEqual([session.id]);
  });

  it.each([
    [{ ttl: 500 }, /session.ttl must be a number of milliseconds from 1000 to 2147483647, got 500/],
    [{ ttl: Number.NaN }, /session.ttl must be .* got NaN/],
    [{ ttl: 10_000, margin: 5_000 }, /session.margin must be less than half the ttl of 10000/],
    [{ margin: -1 }, /session.margin must be .* got -1/],
    [{ keysPerLease: 0 }, /session.keysPerLease must be a whole number from 1, got 0/],
    [{ keysPerLease: 1.5 }, /session.keysPerLease must be a whole number from 1, got 1.5/],
  ])('refuses %o', async (options, message) => {
    const opening = open([], options);
    await expect(opening).rejects.toThrow(ArgumentError);
    await expect(opening).rejects.toThrow(message);
  });

  it.each([
    [2_000, 1_500],
    [3_000, 2_250],
    [5_000, 4_000],
    [15_000, 12_000],
  ])('of %i ms gives up by default %i ms after a renewal', async (ttl, remaining) => {
    const { session } = await open([], { ttl });
    expect(session.remaining()).toBe(remaining);
  });
});
