import { describe, expect, it } from 'vitest';
import { prefixRange } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  ClosedError,
  type Coordinator,
  LimitError,
  type Mirror,
  type MirrorOptions,
  type MirrorStep,
  RefusedError,
  type Store,
  UnavailableError,
  WaitTimeoutError,
} from '../../src/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { waitFor } from '../../src/testing/wait-for.js';
import { useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';

const etcd = useEtcd();

interface Instance {
  readonly zone: string;
}

/** Keys of one test, which go after it. */
function folder(): string {
  const prefix = `${etcd.name()}/`;
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(prefix) }] }));
  return prefix;
}

const write = async (key: string, value: string): Promise<bigint> =>
  (await etcd.admin.commit({ success: [{ put: { key, value } }] })).revision;
const put = (key: string, value: unknown): Promise<bigint> => write(key, JSON.stringify(value));
const remove = async (key: string): Promise<bigint> =>
  (await etcd.admin.commit({ success: [{ delete: { key } }] })).revision;

const textOf = (step: MirrorStep<unknown>): string =>
  step.changes
    .map(({ type, key, entry, previous }) =>
      [type, key.split('/').at(-1), previous?.value, entry?.value].filter(Boolean).join(' '),
    )
    .join(', ');

/** Writes down what is told. */
function told<T>(mirror: Mirror<T>): string[] {
  const lines: string[] = [];
  const last = (key = ''): string | undefined => key.split('/').at(-1);
  const text = (value: T): string => JSON.stringify(value);
  mirror.on('added', ({ key, value }) => lines.push(`added ${last(key)} ${text(value)}`));
  mirror.on('changed', ({ key, value }, previous) =>
    lines.push(`changed ${last(key)} ${text(previous.value)} ${text(value)}`),
  );
  mirror.on('removed', ({ key, value }) => lines.push(`removed ${last(key)} ${text(value)}`));
  mirror.on('synced', () => lines.push('synced'));
  mirror.on('error', (error, key) => lines.push(`error ${last(key)} ${(error as Error).name}`));
  return lines;
}

/** Counts watches and reads. */
function counted(): {
  readonly calls: { watches: number; pages: number };
  readonly wrap: (store: Store) => Store;
} {
  const calls = { watches: 0, pages: 0 };
  return {
    calls,
    wrap: (store) =>
      override(store, {
        watch: (...args) => {
          calls.watches += 1;
          return store.watch(...args);
        },
        read: (range, options) => {
          if (range.limit !== undefined && range.minModRevision === undefined) calls.pages += 1;
          return store.read(range, options);
        },
      }),
  };
}

describe('a mirror', () => {
  it('shows what there is and what it becomes, with all that etcd knows of it', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    const created = await put(`${prefix}a`, 1);
    const mirror = coordinator.mirror<number>(prefixRange(prefix));
    await mirror.ready();
    expect(mirror.state).toBe('current');
    expect(mirror.get(`${prefix}a`)).toBe(1);
    expect(mirror.has(`${prefix}b`)).toBe(false);
    const changed = await put(`${prefix}a`, 2);
    expect(await mirror.waitForRevision(changed)).toBeGreaterThanOrEqual(changed);
    expect(mirror.entry(`${prefix}a`)).toEqual({
      key: `${prefix}a`,
      value: 2,
      createRevision: created,
      modRevision: changed,
      version: 2n,
      lease: 0n,
      bytes: prefix.length + 2,
    });
    expect(mirror.bytes).toBe(prefix.length + 2);
    await mirror.waitForRevision(await remove(`${prefix}a`));
    expect(mirror.size).toBe(0);
    expect(mirror.bytes).toBe(0);
  });

  it('shows one key alone', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    await put(`${prefix}a`, 1);
    await put(`${prefix}ab`, 2);
    const mirror = coordinator.mirror<number>(`${prefix}a`);
    await mirror.ready();
    expect(mirror.keys()).toEqual([`${prefix}a`]);
    expect(mirror.get(Buffer.from(`${prefix}a`))).toBe(1);
  });

  it('has keys in the order of their bytes, also part of them, and lists that stay as they are', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    const mirror = coordinator.mirror<string>(prefixRange(prefix));
    await mirror.ready();
    const names = ['z', 'b/2', 'ü', 'a', 'b/10', '\u{1f600}', '\uffee', 'c'];
    let revision = 0n;
    for (const name of names) revision = await put(prefix + name, name);
    await mirror.waitForRevision(revision);
    const inOrder = ['a', 'b/10', 'b/2', 'c', 'z', 'ü', '\uffee', '\u{1f600}'];
    const before = mirror.entries();
    expect(before.map(({ value }) => value)).toEqual(inOrder);
    expect(mirror.keys()).toEqual(inOrder.map((name) => prefix + name));
    expect(mirror.values(`${prefix}b/`)).toEqual(['b/10', 'b/2']);
    expect(mirror.values(`${prefix}x`)).toEqual([]);
    expect([...mirror].map(({ value }) => value)).toEqual(inOrder);
    await mirror.waitForRevision(await remove(`${prefix}a`));
    await mirror.waitForRevision(await put(`${prefix}c`, 'new'));
    expect(before.map(({ value }) => value)).toEqual(inOrder);
    expect(mirror.values().slice(0, 3)).toEqual(['b/10', 'b/2', 'new']);
    expect(mirror.get(`${prefix}ü`)).toBe('ü');
  });

  it('works in a namespace, with keys as they are there', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    const inside = coordinator.namespace(prefix);
    const all = inside.mirror<number>(prefixRange(''));
    const some = inside.mirror<number>(prefixRange('x/'));
    await Promise.all([all.ready(), some.ready()]);
    const { revision } = await inside.client.put('x/a', '1');
    await Promise.all([all.waitForRevision(revision), some.waitForRevision(revision)]);
    expect([all.keys(), some.keys()]).toEqual([['x/a'], ['x/a']]);
    await put(`${prefix}y`, 2);
    await waitFor(() => all.get('y') === 2);
    expect(some.size).toBe(1);
  });

  it('refuses to be read before there is anything, and when it is over', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    const mirror = coordinator.mirror(prefixRange(prefix));
    expect(mirror.state).toBe('syncing');
    expect(mirror.staleness).toBe(Number.POSITIVE_INFINITY);
    expect(() => mirror.get('a')).toThrow(UnavailableError);
    expect(() => mirror.size).toThrow('wait for ready()');
    await mirror.ready();
    const waiting = mirror.waitForRevision(2n ** 62n);
    mirror.close();
    await expect(waiting).rejects.toThrow(ClosedError);
    expect(mirror.state).toBe('closed');
    expect(() => mirror.entries()).toThrow(ClosedError);
    await expect(mirror.ready()).rejects.toThrow(ClosedError);
  });

  it('ends with the session', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    const mirror = coordinator.mirror(prefixRange(prefix));
    const loop = async (): Promise<void> => {
      for await (const _ of mirror.watch()) void coordinator.close();
    };
    await expect(loop()).rejects.toThrow(ClosedError);
    expect(mirror.state).toBe('closed');
    expect(() => coordinator.mirror(prefixRange(prefix))).toThrow(ClosedError);
  });

  it('fails where its watch is ended for good, and another begins anew', async () => {
    const prefix = folder();
    let end: (error: Error) => void = () => {};
    const ending = (store: Store): Store =>
      override(store, {
        watch: (range, listener, options) => {
          end = (error) => listener.closed(error);
          return store.watch(range, listener, options);
        },
      });
    const coordinator = await etcd.connect({}, ending);
    const mirror = coordinator.mirror(prefixRange(prefix));
    const errors: unknown[] = [];
    mirror.on('error', (error) => errors.push(error));
    await mirror.ready();
    const refused = new RefusedError('PERMISSION_DENIED', 'no');
    end(refused);
    expect([mirror.state, mirror.error, errors]).toEqual(['failed', refused, [refused]]);
    await expect(mirror.watch().next()).rejects.toBe(refused);
    const another = coordinator.mirror(prefixRange(prefix));
    await another.ready();
    expect(another.state).toBe('current');
    end(new ClosedError('store'));
    expect(another.state).toBe('closed');
  });

  it('refuses what it cannot use', async () => {
    const coordinator = await etcd.connect();
    const bad: readonly [string, MirrorOptions<unknown>, string][] = [
      ['', {}, 'key'],
      ['a', { staleAfter: 0 }, 'staleAfter'],
      ['a', { limit: { keys: 0 } }, 'limit.keys'],
      ['a', { limit: { bytes: 1.5 } }, 'limit.bytes'],
      ['a', { codec: {} as never }, 'codec'],
      ['a', { indexes: { x: 1 as never } }, 'indexes.x'],
      ['a', { undecodable: 'drop' as never }, 'undecodable'],
      ['a', { onFailure: 'wait' as never }, 'onFailure'],
    ];
    for (const [key, options, named] of bad) {
      const make = (): unknown => coordinator.mirror(key, options);
      expect(make).toThrow(ArgumentError);
      expect(make).toThrow(`${named} must be`);
    }
    const mirror = coordinator.mirror('a');
    await mirror.ready();
    expect(() => mirror.by('x', 'y')).toThrow(ArgumentError);
    await expect(mirror.waitForRevision(-1n)).rejects.toThrow(ArgumentError);
    await expect(mirror.waitForRevision(2n ** 62n, { timeout: 20 })).rejects.toThrow(
      WaitTimeoutError,
    );
    expect(mirror.state).toBe('current');
  });
});

describe('waiting for a revision', () => {
  it('ends though nothing in the mirror was written at it', async () => {
    const [coordinator, prefix, other] = [await etcd.connect(), folder(), folder()];
    await put(`${prefix}a`, 1);
    const mirror = coordinator.mirror(prefixRange(prefix));
    await mirror.ready();
    const revision = await put(`${other}a`, 1);
    expect(await mirror.waitForRevision(revision)).toBeGreaterThanOrEqual(revision);
    await mirror.waitForRevision(await remove(`${prefix}a`));
    expect(mirror.size).toBe(0);
    const later = await put(`${other}a`, 2);
    expect(await mirror.waitForRevision(later)).toBeGreaterThanOrEqual(later);
  });

  it('does not end before what was written at it is there, however late that comes', async () => {
    const prefix = folder();
    let release = (): void => {};
    const late = (store: Store): Store =>
      override(store, {
        watch: (range, listener, options) =>
          store.watch(
            range,
            {
              ...listener,
              gap: (revision) => listener.gap(revision),
              closed: (error) => listener.closed(error),
              events: (events) => {
                release = () => listener.events(events);
              },
            },
            options,
          ),
      });
    await put(`${prefix}a`, 1);
    const mirror = (await etcd.connect({}, late)).mirror<number>(prefixRange(prefix));
    await mirror.ready();
    for (const change of [() => put(`${prefix}a`, 2), () => remove(`${prefix}a`)]) {
      const waiting = mirror.waitForRevision(await change());
      // As long as the store is asked a few times whether it is complete.
      await expect(
        Promise.race([waiting, rejection(mirror.waitForRevision(2n ** 62n, { timeout: 300 }))]),
      ).resolves.toBeInstanceOf(WaitTimeoutError);
      release();
      await waiting;
    }
    expect(mirror.size).toBe(0);
  });
});

describe('what a mirror tells', () => {
  it('comes as events, of all that there is first', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    await put(`${prefix}a`, 1);
    const mirror = coordinator.mirror<number>(prefixRange(prefix));
    const lines = told(mirror);
    await mirror.ready();
    await put(`${prefix}a`, 2);
    await put(`${prefix}b`, 3);
    await mirror.waitForRevision(await remove(`${prefix}a`));
    const expected = ['added a 1', 'synced', 'changed a 1 2', 'added b 3', 'removed a 2'];
    expect(lines).toEqual(expected);
    const late = told(coordinator.mirror<number>(prefixRange(prefix)));
    await waitFor(() => late.length === 2);
    expect(late).toEqual(['added b 3', 'synced']);
    expect(lines).toEqual(expected);
  });

  it('is told in full to one that is made while another tells', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    await put(`${prefix}a`, 1);
    const mirror = coordinator.mirror<number>(prefixRange(prefix));
    await mirror.ready();
    const lines: string[][] = [];
    mirror.once('added', () => lines.push(told(coordinator.mirror<number>(prefixRange(prefix)))));
    mirror.on('added', ({ key }) => expect(mirror.has(key)).toBe(true));
    await mirror.waitForRevision(await put(`${prefix}b`, 2));
    await mirror.waitForRevision(await put(`${prefix}b`, 3));
    await waitFor(() => lines.flat().includes('changed b 2 3'));
    const all = ['added a 1', 'added b 2', 'synced', 'changed b 2 3'];
    expect(lines.filter((some) => some.length > 0)).toEqual([all]);
  });

  it('comes in a loop as a snapshot and differences, merged where the loop is slow', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    await put(`${prefix}a`, 1);
    await put(`${prefix}b`, 1);
    const mirror = coordinator.mirror<number>(prefixRange(prefix));
    const steps = mirror.watch();
    const next = async (): Promise<MirrorStep<number>> =>
      (await steps.next()).value as MirrorStep<number>;
    const first = await next();
    expect(textOf(first)).toBe('added a 1, added b 1');
    expect(first.origin).toBe('initial');
    const revision = await put(`${prefix}c`, 1);
    expect(await next()).toMatchObject({ revision });
    await remove(`${prefix}a`);
    await put(`${prefix}a`, 2);
    await put(`${prefix}b`, 2);
    await put(`${prefix}b`, 3);
    await remove(`${prefix}c`);
    await put(`${prefix}d`, 1);
    const last = await remove(`${prefix}d`);
    await mirror.waitForRevision(last);
    const step = await next();
    expect(textOf(step)).toBe('changed a 1 2, changed b 1 3, removed c 1');
    expect(step.revision).toBe(last);
    await steps.return();
    mirror.close();
  });

  it('ends by the signal it is given', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    const mirror = coordinator.mirror(prefixRange(prefix));
    const controller = new AbortController();
    const loop = async (): Promise<void> => {
      for await (const _ of mirror.watch({ signal: controller.signal })) {
        controller.abort(new Error('enough'));
      }
    };
    await expect(loop()).rejects.toThrow('enough');
    expect(mirror.state).toBe('current');
  });

  it('ends at once when a listener closes it', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    await put(`${prefix}a`, 1);
    await put(`${prefix}b`, 1);
    const mirror = coordinator.mirror<number>(prefixRange(prefix));
    const lines = told(mirror);
    mirror.on('added', () => mirror.close());
    await waitFor(() => mirror.state === 'closed');
    expect(lines).toEqual(['added a 1']);
  });

  it('is of a state that can be read already', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    const mirror = coordinator.mirror<number>(prefixRange(prefix));
    await mirror.ready();
    const seen: number[] = [];
    mirror.on('added', () => seen.push(mirror.size));
    const puts = ['a', 'b', 'c'].map((key) => ({ put: { key: prefix + key, value: '1' } }));
    const { revision } = await etcd.admin.commit({ success: puts });
    await mirror.waitForRevision(revision);
    expect(seen).toEqual([3, 3, 3]);
  });
});

describe('an index', () => {
  it('finds values by what it says of them, and follows them', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    await put(`${prefix}b`, { zone: 'eu' });
    await put(`${prefix}a`, { zone: 'eu' });
    const byZone = ({ zone }: Instance): string => zone;
    const byLetter = ({ zone }: Instance, key: string): string[] => [
      ...zone.split(''),
      key.slice(-1),
    ];
    const mirror = coordinator.mirror<Instance>(prefixRange(prefix), {
      indexes: { byZone, byLetter },
    });
    await mirror.ready();
    const names = (index: string, place: string): (string | undefined)[] =>
      mirror.by(index, place).map(({ key }) => key.split('/').at(-1));
    expect(names('byZone', 'eu')).toEqual(['a', 'b']);
    expect(names('byLetter', 'u')).toEqual(['a', 'b']);
    expect(names('byLetter', 'b')).toEqual(['b']);
    await put(`${prefix}a`, { zone: 'us' });
    await mirror.waitForRevision(await put(`${prefix}c`, { zone: 'eu' }));
    expect([names('byZone', 'eu'), names('byZone', 'us')]).toEqual([['b', 'c'], ['a']]);
    await mirror.waitForRevision(await remove(`${prefix}a`));
    expect(names('byZone', 'us')).toEqual([]);
    // One that comes later finds what is there.
    const late = coordinator.mirror<Instance>(prefixRange(prefix), {
      indexes: { same: byZone, size: () => 'all' },
    });
    expect(late.by('same', 'eu')).toBe(mirror.by('byZone', 'eu'));
    expect(late.by('size', 'all')).toHaveLength(2);
  });

  it('that throws is told of, and the value is there all the same', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    const indexOf = (value: { readonly x: { readonly y: string } }): string => value.x.y;
    const mirror = coordinator.mirror(prefixRange(prefix), { indexes: { indexOf } });
    const lines = told(mirror);
    await put(`${prefix}a`, {});
    await mirror.waitForRevision(await put(`${prefix}b`, { x: { y: 'z' } }));
    expect(mirror.size).toBe(2);
    expect(mirror.by('indexOf', 'z')).toHaveLength(1);
    expect(lines).toContain('error a TypeError');
    // One without that index is not concerned, one that comes later is.
    const [other, late] = [{}, { indexes: { indexOf } }].map((options) =>
      told(
        coordinator.mirror<{ readonly x: { readonly y: string } }>(prefixRange(prefix), options),
      ),
    ) as [string[], string[]];
    await waitFor(() => late.includes('synced'));
    expect(late).toContain('error a TypeError');
    expect(other.filter((line) => line.startsWith('error'))).toEqual([]);
  });
});

describe('a value that cannot be read', () => {
  it('is told of and left out, until it can be read', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    await write(`${prefix}a`, '{');
    const mirror = coordinator.mirror<number>(prefixRange(prefix));
    const lines = told(mirror);
    await mirror.ready();
    expect(mirror.undecodable).toEqual([`${prefix}a`]);
    const late = told(coordinator.mirror<number>(prefixRange(prefix)));
    await waitFor(() => late.length === 2);
    expect(late).toEqual(['error a SyntaxError', 'synced']);
    await put(`${prefix}b`, 1);
    // It counts as there: otherwise nobody could tell whether the mirror has everything.
    await mirror.waitForRevision(await put(etcd.name(), 1));
    await put(`${prefix}a`, 2);
    await mirror.waitForRevision(await write(`${prefix}b`, '}'));
    expect(mirror.keys()).toEqual([`${prefix}a`]);
    expect(lines).toEqual([
      'error a SyntaxError',
      'synced',
      'added b 1',
      'added a 2',
      'error b SyntaxError',
      'removed b 1',
    ]);
    await mirror.waitForRevision(await remove(`${prefix}b`));
    expect(mirror.undecodable).toEqual([]);
    expect(mirror.bytes).toBe(prefix.length + 2);
  });

  it('is also one whose key is no text', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    const keys = [0xff, 0xfe].map((byte) => Buffer.concat([Buffer.from(prefix), Buffer.of(byte)]));
    await etcd.admin.commit({ success: keys.map((key) => ({ put: { key, value: '1' } })) });
    const mirror = coordinator.mirror<number>(prefixRange(prefix));
    await mirror.waitForRevision(await put(`${prefix}\ufeffa`, 1));
    expect(mirror.keys()).toEqual([`${prefix}\ufeffa`]);
    expect(mirror.undecodable).toHaveLength(2);
    await mirror.waitForRevision(await put(etcd.name(), 1));
  });

  it('leaves the last one that could be read, where that is asked for', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    await put(`${prefix}a`, 1);
    const mirror = coordinator.mirror<number>(prefixRange(prefix), { undecodable: 'keep' });
    const lines = told(mirror);
    await mirror.ready();
    await write(`${prefix}b`, '{');
    await mirror.waitForRevision(await write(`${prefix}a`, '{'));
    expect(mirror.get(`${prefix}a`)).toBe(1);
    expect(mirror.keys()).toEqual([`${prefix}a`]);
    await mirror.waitForRevision(await remove(`${prefix}a`));
    expect(mirror.size).toBe(0);
    expect(lines.slice(2)).toEqual(['error b SyntaxError', 'error a SyntaxError', 'removed a 1']);
  });
});

describe('the limit of a mirror', () => {
  it('ends it with an error that says so, when it begins or later', async () => {
    const [coordinator, prefix] = [await etcd.connect(), folder()];
    const limits = [{ keys: 2 }, { bytes: 2 * prefix.length + 4 }];
    await put(`${prefix}a`, 1);
    await put(`${prefix}b`, 1);
    const mirrors = limits.map((limit) => coordinator.mirror(prefixRange(prefix), { limit }));
    const errors: unknown[] = [];
    for (const mirror of mirrors) {
      mirror.on('error', (error) => errors.push(error));
      await mirror.ready();
    }
    const waiting = rejection(mirrors[0]?.waitForRevision(2n ** 62n) as Promise<unknown>);
    await put(`${prefix}c`, 1);
    await waitFor(() => mirrors.every(({ state }) => state === 'failed'));
    expect(errors).toMatchObject([
      { option: 'limit.keys', size: 3, limit: 2 },
      { option: 'limit.bytes', limit: 2 * prefix.length + 4 },
    ]);
    expect(await waiting).toBeInstanceOf(LimitError);
    expect(mirrors[0]?.error).toBe(errors[0]);
    expect(() => mirrors[0]?.get('a')).toThrow(LimitError);
    for (const limit of limits) {
      const late = coordinator.mirror(prefixRange(prefix), { limit });
      await expect(late.ready()).rejects.toThrow(LimitError);
      expect(late.state).toBe('failed');
    }
    await remove(`${prefix}c`);
    const [limit] = limits;
    await coordinator.mirror(prefixRange(prefix), { limit: limit ?? {} }).ready();
  });
});

it('is tried again when it has failed, where that is wanted, and keeps what it has until then', async () => {
  const [coordinator, prefix] = [await etcd.connect(), folder()];
  const options = { limit: { keys: 1 }, onFailure: 'retry' } as const;
  const mirror = coordinator.mirror(prefixRange(prefix), options);
  const lines: string[] = [];
  mirror
    .on('added', ({ key }) => lines.push(`added ${key.slice(prefix.length)}`))
    .on('removed', ({ key }) => lines.push(`removed ${key.slice(prefix.length)}`));
  await put(`${prefix}a`, 1);
  await mirror.ready();
  await put(`${prefix}b`, 2);
  await waitFor(() => mirror.state === 'failed');
  expect(mirror.error).toBeInstanceOf(LimitError);
  expect(mirror.keys()).toEqual([`${prefix}a`, `${prefix}b`]);
  await remove(`${prefix}a`);
  await waitFor(() => mirror.state === 'current');
  expect(mirror.error).toBe(undefined);
  expect(mirror.keys()).toEqual([`${prefix}b`]);
  expect(lines).toEqual(['added a', 'added b', 'removed a']);
  await put(`${prefix}c`, 3);
  await waitFor(() => mirror.state === 'failed');
  mirror.close();
  expect(mirror.state).toBe('closed');
});

it('reads no more of a range than its limit allows', async () => {
  const { calls, wrap } = counted();
  const [coordinator, prefix] = [await etcd.connect({}, wrap), folder()];
  for (let i = 0; i < 500; i += 100) {
    const some = Array.from({ length: 100 }, (_, j) => `${prefix}${i + j}`);
    await etcd.admin.commit({ success: some.map((key) => ({ put: { key, value: '1' } })) });
  }
  const limited = coordinator.mirror(prefixRange(prefix), { limit: { keys: 499 } });
  await expect(limited.ready()).rejects.toThrow('limit.keys allows 499');
  expect(calls.pages).toBe(1);
  await coordinator.mirror(prefixRange(prefix), { limit: { keys: 500 } }).ready();
});

describe('mirrors of the same', () => {
  async function many(
    count: number,
    calls: (store: Store) => Store,
  ): Promise<[Coordinator, string, Mirror<Instance>[]]> {
    const [coordinator, prefix] = [await etcd.connect({}, calls), folder()];
    await put(`${prefix}a`, { zone: 'eu' });
    const make = (): Mirror<Instance> => coordinator.mirror<Instance>(prefixRange(prefix));
    return [coordinator, prefix, Array.from({ length: count }, make)];
  }

  it('share one watch, one read and one copy', async () => {
    const { calls, wrap } = counted();
    const [coordinator, prefix, mirrors] = await many(50, wrap);
    await Promise.all(mirrors.map((mirror) => mirror.ready()));
    expect(calls).toEqual({ watches: 1, pages: 1 });
    const revision = await put(`${prefix}b`, { zone: 'us' });
    await Promise.all(mirrors.map((mirror) => mirror.waitForRevision(revision)));
    expect(new Set(mirrors.map((mirror) => mirror.get(`${prefix}b`))).size).toBe(1);
    // Those of namespaces are the same if their prefix is.
    const spaces = [coordinator.namespace(prefix), coordinator.namespace(prefix)];
    const inside = spaces.map((space) => space.mirror(prefixRange('')));
    await Promise.all(inside.map((mirror) => mirror.ready()));
    expect(calls.watches).toBe(2);
  });

  it('go on when others are closed, and end when all are', async () => {
    const { calls, wrap } = counted();
    const [coordinator, prefix, [a, b]] = await many(2, wrap);
    if (!a || !b) throw new Error('there are two');
    await Promise.all([a.ready(), b.ready()]);
    a.close();
    await b.waitForRevision(await put(`${prefix}b`, { zone: 'us' }));
    expect(b.size).toBe(2);
    b.close();
    const again = coordinator.mirror<Instance>(prefixRange(prefix));
    await again.ready();
    expect(again.size).toBe(2);
    expect(calls).toEqual({ watches: 2, pages: 2 });
  });

  it('have copies of their own where they read values in another way', async () => {
    const { calls, wrap } = counted();
    const [coordinator, prefix, [a]] = await many(1, wrap);
    const codec = {
      encode: (text: string) => text,
      decode: (bytes: Uint8Array) => `${bytes.length}`,
    };
    const b = coordinator.mirror<string>(prefixRange(prefix), { codec });
    await Promise.all([a?.ready(), b.ready()]);
    expect(b.get(`${prefix}a`)).toBe('13');
    expect(a?.get(`${prefix}a`)).toEqual({ zone: 'eu' });
    expect(calls.watches).toBe(2);
  });
});
