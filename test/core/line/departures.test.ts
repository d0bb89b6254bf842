import { describe, expect, it } from 'vitest';
import { Departures } from '../../../src/core/line/departures.js';
import { View } from '../../../src/core/line/view.js';
import type { Store, Watch, WatchEvent } from '../../../src/index.js';

interface Fake {
  readonly departures: Departures;
  /** What etcd says when it confirms the watch. */
  readonly confirm: (since: bigint) => void;
  readonly closed: () => boolean;
}

/** Departures of the line `l/`, in which our own key is `l/own`. */
function fake(since?: bigint): Fake {
  let confirm: ((since: bigint) => void) | undefined;
  let isClosed = false;
  const watch: { since: bigint | undefined; ready: Promise<void>; close(): void } = {
    since,
    ready: new Promise<void>((resolve) => {
      confirm = (at) => {
        watch.since = at;
        resolve();
      };
      if (since !== undefined) resolve();
    }),
    close: () => {
      isClosed = true;
    },
  };
  const store = { watch: (): Watch => watch } as unknown as Store;
  const departures = new Departures(store, { folder: 'l/', rivals: { key: 'l/', end: 'l0' } }, [
    'l/own',
  ]);
  return { departures, confirm: (at) => confirm?.(at), closed: () => isClosed };
}

const left = (key: string, revision: bigint): WatchEvent => ({
  type: 'delete',
  kv: {
    key: Buffer.from(key),
    value: Buffer.alloc(0),
    createRevision: 0n,
    modRevision: revision,
    version: 0n,
    lease: 0n,
  },
});
const viewAt = (revision: bigint, ...ahead: string[]): View =>
  new View({
    revision,
    ahead: new Map(ahead.map((id) => [id, 1])),
    nearest: undefined,
    complete: true,
    capacity: 1,
  });
const never = new AbortController().signal;
/** Lets everything run that is due. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** What a promise has come to by now. */
const outcome = async <T>(promise: Promise<T>): Promise<T | 'pending'> => {
  await settle();
  return Promise.race([promise, Promise.resolve('pending' as const)]);
};

describe('departures', () => {
  it('end the wait when few enough are left, and keep the view up to date', async () => {
    const { departures, closed } = fake(5n);
    const view = viewAt(7n, 'l/a', 'l/b');
    const wait = departures.until(view, 1, never);
    departures.events([left('l/a', 8n)]);
    expect(await outcome(wait)).toBe('pending');
    expect([view.revision, [...view.ahead.keys()]]).toEqual([8n, ['l/b']]);
    departures.events([left('l/c', 9n), left('l/b', 10n)]);
    expect(await wait).toBe(true);
    expect([view.revision, [...view.ahead.keys()]]).toEqual([10n, []]);
    departures.close();
    expect(closed()).toBe(true);
  });

  it('are ignored when they came before the view was made, or with it', async () => {
    const { departures } = fake(5n);
    const view = viewAt(7n, 'l/a');
    const wait = departures.until(view, 1, never);
    departures.events([left('l/a', 6n)]);
    departures.events([left('l/a', 7n), left('l/own', 7n)]);
    expect(await outcome(wait)).toBe('pending');
    expect([view.revision, [...view.ahead.keys()]]).toEqual([7n, ['l/a']]);
    departures.events([left('l/a', 8n)]);
    expect(await wait).toBe(true);
  });

  it('are ignored when they came before the view was made and nobody waited', async () => {
    const { departures } = fake(5n);
    departures.events([left('l/a', 6n), left('l/b', 8n)]);
    const view = viewAt(7n, 'l/a', 'l/b');
    const wait = departures.until(view, 1, never);
    expect(await outcome(wait)).toBe('pending');
    expect([view.revision, [...view.ahead.keys()]]).toEqual([8n, ['l/a']]);
    departures.events([left('l/a', 9n)]);
    expect(await wait).toBe(true);
  });

  it('count when they came while nobody waited, of names that came again too', async () => {
    const { departures } = fake(5n);
    departures.events([left('l/a', 6n), left('l/a', 9n)]);
    const view = viewAt(7n, 'l/a');
    expect(await departures.until(view, 1, never)).toBe(true);
    expect([view.revision, [...view.ahead.keys()]]).toEqual([9n, []]);
  });

  it('of our own key make the view uncertain, whether it is our turn or not', async () => {
    const { departures } = fake(5n);
    const first = departures.until(viewAt(7n, 'l/a'), 1, never);
    departures.events([left('l/own', 8n)]);
    expect(await first).toBe(false);
    const second = departures.until(viewAt(9n, 'l/a'), 1, never);
    departures.events([left('l/a', 10n), left('l/own', 10n)]);
    expect(await second).toBe(false);
  });

  it('of our own key just behind the one that lets us in are not passed by', async () => {
    const { departures } = fake(5n);
    const view = viewAt(7n, 'l/a');
    const wait = departures.until(view, 1, never);
    await settle();
    // Two messages are read before the waiter runs again.
    departures.events([left('l/a', 8n)]);
    departures.events([left('l/own', 9n)]);
    const certain = await wait;
    // Either it is told, or whoever watches from behind the view is.
    expect(!certain || view.revision < 9n).toBe(true);
  });

  it('are uncertain after a gap, once', async () => {
    const { departures } = fake(5n);
    const view = viewAt(7n, 'l/a');
    const wait = departures.until(view, 1, never);
    await settle();
    departures.gap();
    expect(await wait).toBe(false);
    const again = departures.until(viewAt(12n, 'l/a'), 1, never);
    expect(await outcome(again)).toBe('pending');
    departures.events([left('l/a', 13n)]);
    expect(await again).toBe(true);
  });

  it('are uncertain after a gap while nobody waited, and do not make the view newer', async () => {
    const { departures } = fake(5n);
    departures.gap();
    departures.events([left('l/b', 9n)]);
    const view = viewAt(7n, 'l/a', 'l/b');
    expect(await departures.until(view, 1, never)).toBe(false);
    expect(view.revision).toBe(7n);
  });

  it('reject when the watch is refused, now or while nobody waits', async () => {
    const { departures } = fake(5n);
    const wait = departures.until(viewAt(7n, 'l/a'), 1, never);
    await settle();
    const refusal = new Error('refused');
    departures.closed(refusal);
    await expect(wait).rejects.toBe(refusal);
    await expect(departures.until(viewAt(8n, 'l/a'), 1, never)).rejects.toBe(refusal);
  });

  it('are uncertain where the watch does not reach back to the view', async () => {
    const { departures } = fake(9n);
    const view = viewAt(7n, 'l/a');
    departures.events([left('l/b', 10n)]);
    expect(await departures.until(view, 1, never)).toBe(false);
    expect(view.revision).toBe(7n);
    const seamless = fake(8n);
    const wait = seamless.departures.until(viewAt(7n, 'l/a'), 1, never);
    expect(await outcome(wait)).toBe('pending');
    seamless.departures.events([left('l/a', 8n)]);
    expect(await wait).toBe(true);
  });

  it('wait for the watch to be confirmed, and are uncertain then', async () => {
    const { departures, confirm } = fake();
    const wait = departures.until(viewAt(7n, 'l/a'), 1, never);
    expect(await outcome(wait)).toBe('pending');
    confirm(8n);
    expect(await wait).toBe(false);
  });

  it('make a view that was read meanwhile of no use where our own key is among them', async () => {
    const { departures } = fake(5n);
    departures.events([left('l/own', 8n), left('l/a', 9n)]);
    expect(departures.update(viewAt(7n, 'l/a'))).toBe(false);
    departures.events([left('l/a', 11n)]);
    const view = viewAt(10n, 'l/a');
    expect(departures.update(view)).toBe(true);
    expect([view.revision, view.lets(1)]).toEqual([11n, true]);
    departures.gap();
    expect(departures.update(viewAt(12n))).toBe(false);
  });

  it('stop being waited for when the signal aborts', async () => {
    const reason = new Error('enough');
    for (const { departures } of [fake(5n), fake()]) {
      const controller = new AbortController();
      const wait = departures.until(viewAt(7n, 'l/a'), 1, controller.signal);
      await Promise.resolve();
      controller.abort(reason);
      await expect(wait).rejects.toBe(reason);
    }
  });
});
