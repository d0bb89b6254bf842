import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { prefixRange } from '../../src/core/store/keys.js';
import { onTold } from '../../src/core/trace.js';
import { type Mirror, type MirrorOptions, RefusedError, type Store } from '../../src/index.js';
import { startTestEtcd, type TestEtcd } from '../../src/testing/index.js';
import { override } from '../support/override.js';

let etcd: TestEtcd;
beforeEach(async () => {
  etcd = await startTestEtcd({ time: 'virtual' });
});
afterEach(() => etcd.stop());

/** Lets everything run that is due. */
const settle = (): Promise<void> => etcd.advance(0);
const put = async (key: string): Promise<bigint> =>
  (await etcd.store.commit({ success: [{ put: { key, value: '1' } }] })).revision;

/** A mirror of `a/`, with what it tells of itself. */
async function mirrored(
  decorate: (store: Store) => Store = (store) => store,
  options?: MirrorOptions<number>,
): Promise<[Mirror<number>, string[]]> {
  const mirror = (await etcd.connect({ decorate })).mirror(prefixRange('a/'), options);
  const lines: string[] = [];
  mirror.on('stale', () => lines.push(`stale ${mirror.state}`));
  mirror.on('current', () => lines.push(`current ${mirror.state}`));
  mirror.on('error', (error) => lines.push((error as Error).name));
  await settle();
  return [mirror, lines];
}

/** Holds events up until it is told to let them go: all, or the first only. */
function holding(): Record<'hold' | 'letGo' | 'letOneGo', () => void> & {
  readonly wrap: (store: Store) => Store;
} {
  let held: (() => void)[] | undefined;
  return {
    wrap: (store) =>
      override(store, {
        watch: (range, listener, options) => {
          const events: typeof listener.events = (some) =>
            held ? held.push(() => listener.events(some)) : listener.events(some);
          const gap = (revision: bigint): void => listener.gap(revision);
          const closed = (error: Error): void => listener.closed(error);
          return store.watch(range, { events, gap, closed }, options);
        },
      }),
    hold: () => {
      held = [];
    },
    letGo: () => {
      for (const pass of held ?? []) pass();
      held = undefined;
    },
    letOneGo: () => held?.shift()?.(),
  };
}

describe('the staleness of a mirror', () => {
  it('stays small as long as etcd answers, whether or not anything is written', async () => {
    const [mirror, lines] = await mirrored();
    for (let seconds = 0; seconds < 60; seconds += 1) {
      await etcd.advance(1_000);
      if (seconds % 7 === 0) await put('a/1');
      if (seconds % 11 === 0) await put('b/1');
      expect(mirror.staleness).toBeLessThan(4_500);
    }
    expect(mirror.state).toBe('current');
    expect(lines).toEqual([]);
  });

  it('costs two reads each third of the time at most', async () => {
    let reads = 0;
    const counting = (store: Store): Store =>
      override(store, {
        read: (...args) => {
          reads += 1;
          return store.read(...args);
        },
      });
    const [mirror] = await mirrored(counting);
    reads = 0;
    for (let i = 0; i < 30; i += 1) {
      await put('b/1');
      await etcd.advance(2_000);
    }
    expect(mirror.state).toBe('current');
    expect(reads).toBeLessThanOrEqual(2 * 18);
  });

  it('grows while etcd does not answer, is told of, and what there is can be read', async () => {
    await put('a/1');
    const [mirror, lines] = await mirrored();
    const stop = onTold('view', ({ view, keys, isStale }) => {
      lines.push(`${view} ${keys} ${isStale ? 'stale' : 'current'}`);
    });
    const fault = etcd.faults.add({ rpc: 'KV.Range', kind: 'hang' });
    await etcd.advance(6_500);
    expect(mirror.state).toBe('current');
    await etcd.advance(10_000);
    expect(lines).toEqual(['a/ 1 stale', 'stale stale']);
    expect(mirror.staleness).toBeGreaterThan(10_000);
    expect(mirror.get('a/1')).toBe(1);
    await etcd.advance(60_000);
    expect(mirror.staleness).toBeGreaterThan(70_000);
    const known = mirror.waitForStaleness(5_000).then(() => lines.push('known'));
    await settle();
    lines.length = 0;
    fault.remove();
    await etcd.advance(2_000);
    await known;
    expect(lines).toEqual(['a/ 1 current', 'current current', 'known']);
    stop();
    expect(mirror.staleness).toBeLessThan(3_000);
  });

  it.each(['put', 'delete'] as const)(
    'grows where a watch does not tell of a %s, until all is read',
    async (type) => {
      await put('a/1');
      const { wrap, hold, letGo } = holding();
      const [mirror, lines] = await mirrored(wrap);
      mirror.on('synced', () => lines.push('synced'));
      hold();
      const key = type === 'put' ? 'a/2' : 'a/1';
      const change = type === 'put' ? { put: { key, value: '1' } } : { delete: { key } };
      const { revision } = await etcd.store.commit({ success: [change] });
      const waiting = mirror.waitForRevision(revision);
      await etcd.advance(10_010);
      expect(lines).toEqual(['stale stale']);
      expect(mirror.keys()).toEqual(['a/1']);
      await etcd.advance(4_000);
      await waiting;
      const there = type === 'put' ? ['a/1', 'a/2'] : [];
      expect(mirror.keys()).toEqual(there);
      expect(lines).toEqual(['stale stale', 'synced', 'current current']);
      // What comes after all is known already.
      letGo();
      await put('a/3');
      await settle();
      expect(mirror.keys()).toEqual([...there, 'a/3']);
    },
  );

  it('ends for what came and went: what is told of it later is not shown', async () => {
    await put('a/1');
    const { wrap, hold, letGo, letOneGo } = holding();
    const [mirror] = await mirrored(wrap);
    hold();
    await put('a/2');
    const { revision } = await etcd.store.commit({ success: [{ delete: { key: 'a/2' } }] });
    const waiting = mirror.waitForRevision(revision);
    await etcd.advance(1_000);
    expect(await waiting).toBeGreaterThanOrEqual(revision);
    letOneGo();
    expect(mirror.keys()).toEqual(['a/1']);
    letGo();
    await put('a/3');
    await settle();
    expect(mirror.keys()).toEqual(['a/1', 'a/3']);
  });

  it('ends with a slow look at all, which leaves out nothing that is told meanwhile', async () => {
    const { wrap, hold, letGo } = holding();
    let isSlow = false;
    const slow = (store: Store): Store =>
      override(wrap(store), {
        read: async (request, options) => {
          if (!isSlow || request.countOnly || request.minModRevision) {
            return store.read(request, options);
          }
          // So long that it is found to be behind once more, and for too long.
          await etcd.server.clock.sleep(4_000);
          const reply = await store.read(request, options);
          await put('a/3');
          await etcd.server.clock.sleep(14_000);
          return reply;
        },
      });
    const [mirror, lines] = await mirrored(slow);
    mirror.on('synced', () => lines.push(`synced ${mirror.keys().join(' ')}`));
    isSlow = true;
    hold();
    void mirror.waitForRevision(await put('a/2'));
    await etcd.advance(12_000);
    letGo();
    await etcd.advance(20_000);
    expect(lines).toContain('synced a/2');
    expect(mirror.keys()).toEqual(['a/2', 'a/3']);
  });

  it('is seen by who looks before any timer of ours has run', async () => {
    const [mirror, lines] = await mirrored();
    const clock = etcd.server.clock as unknown as { jump(ms: number): void };
    clock.jump(20_000);
    expect(mirror.state).toBe('stale');
    expect(lines).toEqual([]);
    await etcd.advance(1_000);
    expect(mirror.state).toBe('current');
  });

  it('is told when it is so, by timers that are early, too', async () => {
    const { clock } = etcd.server;
    const after = clock.after.bind(clock);
    vi.spyOn(clock, 'after').mockImplementation((ms, callback) =>
      after(Math.max(1, Math.trunc(ms)), callback),
    );
    await put('a/1');
    const [, lines] = await mirrored(undefined, { staleAfter: 1_000.5 });
    etcd.faults.add({ rpc: 'KV.Range', kind: 'hang' });
    await etcd.advance(2_000);
    expect(lines).toEqual(['stale stale']);
  });

  it('is measured from before the first read, whose answer may be old when it comes', async () => {
    const slow = (store: Store): Store =>
      override(store, {
        read: async (...args) => {
          const reply = await store.read(...args);
          await etcd.server.clock.sleep(6_000);
          return reply;
        },
      });
    const [mirror] = await mirrored(slow);
    await etcd.advance(6_000);
    expect(mirror.state).toBe('current');
    expect(mirror.staleness).toBeGreaterThanOrEqual(6_000);
    await etcd.advance(4_500);
    expect(mirror.state).toBe('stale');
    await etcd.advance(3_000);
    expect(mirror.state).toBe('current');
  });

  it('is small after a first read that came late', async () => {
    const fault = etcd.faults.add({ rpc: 'KV.Range', kind: 'hang' });
    const [mirror, lines] = await mirrored();
    await etcd.advance(30_000);
    expect(mirror.state).toBe('syncing');
    fault.remove();
    await etcd.advance(2_000);
    expect(mirror.state).toBe('current');
    expect(lines).toEqual([]);
  });

  it('ends with the mirror, which asks nothing any more', async () => {
    let reads = 0;
    const [mirror, lines] = await mirrored((store) =>
      override(store, {
        read: (...args) => {
          reads += 1;
          return store.read(...args);
        },
      }),
    );
    mirror.close();
    reads = 0;
    await etcd.advance(60_000);
    expect(reads).toBe(0);
    expect(mirror.staleness).toBeGreaterThan(60_000 - 1);
    expect(lines).toEqual([]);
  });

  it('ends where etcd refuses to be asked', async () => {
    const [mirror, lines] = await mirrored();
    etcd.faults.add({ rpc: 'KV.Range', kind: 'error', code: 'PERMISSION_DENIED' });
    await etcd.advance(4_000);
    expect(mirror.state).toBe('failed');
    expect(mirror.error).toBeInstanceOf(RefusedError);
    expect(lines).toEqual(['RefusedError']);
  });
});
