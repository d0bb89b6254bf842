import { expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import {
  Balancer,
  ClosedError,
  type Directory,
  type DirectoryStep,
  type Instance,
  type Operation,
  RefusedError,
  type Service,
  type Store,
  UnavailableError,
} from '../../src/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { waitFor } from '../../src/testing/wait-for.js';
import { compact, useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';

const etcd = useEtcd();

const put = (service: Service, id: string, value: unknown): Operation => ({
  put: {
    key: `${folderOf('service', service.name)}${id}`,
    value: typeof value === 'string' ? value : JSON.stringify(value),
  },
});
const remove = (service: Service, id: string): Operation => ({
  delete: { key: `${folderOf('service', service.name)}${id}` },
});
const write = async (...success: readonly Operation[]): Promise<bigint> =>
  (await etcd.admin.commit({ success })).revision;
const ids = (directory: Directory): readonly string[] => directory.instances().map(({ id }) => id);

/** Counts the watches that are set. */
function counting(): {
  readonly decorate: (store: Store) => Store;
  readonly count: () => number;
} {
  let count = 0;
  const decorate = (store: Store): Store =>
    override(store, {
      watch: (...args) => {
        count += 1;
        return store.watch(...args);
      },
    });
  return { decorate, count: () => count };
}

it('shows who is up, by tags, zone, version and state, and the same array until something changes', async () => {
  const service = (await etcd.connect()).service(etcd.name('service'));
  await write(
    put(service, 'a', { address: 'a', tags: ['x', 'y'], zone: 'eu', version: '2.1.7' }),
    put(service, 'b', { address: 'b', tags: ['x'], zone: 'us', version: '2.10' }),
    put(service, 'c', { address: 'c', zone: 'eu', state: 'draining' }),
    put(service, 'd', { address: 'd', tags: ['x'], state: 'unhealthy' }),
  );
  const views = [
    [{}, 'ab'],
    [{ tags: ['x'] }, 'ab'],
    [{ tags: ['y', 'x'] }, 'a'],
    [{ zone: 'eu' }, 'a'],
    [{ version: '2' }, 'ab'],
    [{ version: '2.1' }, 'a'],
    [{ states: ['up', 'draining'] }, 'abc'],
    [{ states: ['unhealthy'] }, 'd'],
  ] as const;
  for (const [options, expected] of views) {
    using directory = service.directory(options);
    expect(() => directory.instances()).toThrow(UnavailableError);
    await directory.ready();
    expect([options, ids(directory).join('')]).toEqual([options, expected]);
  }
  using directory = service.directory();
  await directory.ready();
  const before = directory.instances();
  await directory.waitForRevision(
    await write(put(service, 'c', { address: 'c', state: 'unhealthy' })),
  );
  expect(directory.instances()).toBe(before);
  await directory.waitForRevision(await write(put(service, 'c', { address: 'c' })));
  expect(ids(directory)).toEqual(['a', 'b', 'c']);
  expect(directory.instances()[0]).toBe(before[0]);
  expect(before.length).toBe(2);
  directory.close();
  expect(() => directory.instances()).toThrow(ClosedError);
  expect(await rejection(directory.ready())).toBeInstanceOf(ClosedError);
});

it('tells who comes and goes as it shows them, by events and in loops', async () => {
  const service = (await etcd.connect()).service(etcd.name('service'));
  await write(put(service, 'a', { address: 'a' }), put(service, 'b', { address: 'b', zone: 'us' }));
  using directory = service.directory({ zone: 'eu' });
  const lines: string[] = [];
  directory
    .on('added', ({ id }) => lines.push(`added ${id}`))
    .on('changed', ({ id, address }, { address: before }) =>
      lines.push(`changed ${id} ${before} ${address}`),
    )
    .on('removed', ({ id }) => lines.push(`removed ${id}`));
  const steps: DirectoryStep[] = [];
  const loop = (async () => {
    for await (const step of directory.watch()) steps.push(step);
  })();
  await waitFor(() => steps.length === 1);
  const states: Operation[][] = [
    [put(service, 'a', { address: 'a', zone: 'eu' })],
    [put(service, 'a', { address: 'a2', zone: 'eu' })],
    [put(service, 'b', { address: 'b2', zone: 'us' })],
    [put(service, 'a', { address: 'a2', zone: 'eu', state: 'draining' })],
    [put(service, 'a', { address: 'a3', zone: 'eu' })],
    [remove(service, 'a')],
  ];
  for (const state of states) {
    await directory.waitForRevision(await write(...state));
    await new Promise(setImmediate);
  }
  const expected = ['added a', 'changed a a a2', 'removed a', 'added a', 'removed a'];
  expect(lines).toEqual(expected);
  await waitFor(() => steps.length === 6);
  expect(steps.map(({ changes }) => changes.map(({ type }) => type).join())).toEqual([
    '',
    ...expected.map((line) => line.split(' ')[0]),
  ]);
  directory.close();
  expect(await rejection(loop)).toBeInstanceOf(ClosedError);
});

it('leaves out an instance that cannot be read, and tells of it', async () => {
  const service = (await etcd.connect()).service(etcd.name('service'));
  const bad = ['no json', '5', '{}', '{"address":5}', '{"address":"a","state":"odd"}'];
  await write(
    put(service, 'a', { address: 'a' }),
    ...bad.map((value, i) => put(service, `bad-${i}`, value)),
  );
  using directory = service.directory();
  const errors: (string | undefined)[] = [];
  directory.on('error', (_, id) => errors.push(id));
  await directory.ready();
  await waitFor(() => errors.length === bad.length);
  expect(ids(directory)).toEqual(['a']);
  expect(new Set(directory.undecodable)).toEqual(new Set(errors));
  await directory.waitForRevision(await write(put(service, 'bad-0', { address: 'good' })));
  expect(ids(directory)).toEqual(['a', 'bad-0']);
});

it('takes one watch for any number of directories of one process', async () => {
  const { decorate, count } = counting();
  const coordinator = await etcd.connect({}, decorate);
  const name = etcd.name('service');
  const directories = Array.from({ length: 20 }, (_, i) =>
    coordinator.service(name).directory(i % 2 === 0 ? {} : { zone: 'eu' }),
  );
  await Promise.all(directories.map((directory) => directory.ready()));
  expect(count()).toBe(1);
  await write(put(coordinator.service(name), 'a', { address: 'a' }));
  await waitFor(() => directories.filter((directory) => ids(directory).length > 0).length === 10);
  const [first, , third] = directories;
  expect(first?.instances()).toBe(third?.instances());
});

it('keeps the last it saw, says how old that is, and shows nothing after invalidateAfter', async () => {
  const proxy = await etcd.startProxy();
  const coordinator = await etcd.connect({ endpoints: [proxy.endpoint], attemptTimeout: 300 });
  const service = coordinator.service(etcd.name('service'));
  await write(put(service, 'a', { address: 'a' }));
  using lasting = service.directory({ staleAfter: 300 });
  using limited = service.directory({ staleAfter: 300, invalidateAfter: 600 });
  const turns: string[] = [];
  lasting.on('stale', () => turns.push('stale')).on('current', () => turns.push('current'));
  await Promise.all([lasting.ready(), limited.ready()]);
  expect(ids(limited)).toEqual(['a']);
  const balancer = new Balancer(limited);
  const calls = ({ address }: Instance): string => address;
  expect(await balancer.call(calls)).toBe('a');
  proxy.blackhole();
  const error = await waitFor(() => {
    try {
      limited.instances();
      return undefined;
    } catch (thrown) {
      return thrown as Error;
    }
  });
  expect(error).toBeInstanceOf(UnavailableError);
  expect(ids(lasting)).toEqual(['a']);
  expect(lasting.staleness).toBeGreaterThanOrEqual(600);
  expect(lasting.state).toBe('stale');
  const told: string[] = [];
  expect(await rejection(balancer.call(calls, { wait: 0 }))).toBeInstanceOf(UnavailableError);
  const waiting = [
    balancer.call(calls, { wait: 60_000 }).then(() => told.push('called')),
    limited.ready().then(() => told.push('ready')),
    limited
      .watch()
      .next()
      .then(({ value }) => told.push(`${value?.changes.length} at first`)),
  ];
  const impatient = limited.ready({ timeout: 1 });
  expect(await rejection(impatient)).toMatchObject({ code: 'ERR_WAIT_TIMEOUT' });
  await write(put(service, 'b', { address: 'b' }));
  expect(told).toEqual([]);
  proxy.heal();
  proxy.cut();
  proxy.heal();
  await waitFor(() => turns.at(-1) === 'current' && lasting.state === 'current');
  await Promise.all(waiting);
  expect(told.toSorted()).toEqual(['1 at first', 'called', 'ready']);
  await waitFor(() => ids(limited).length === 2);
  expect(ids(lasting)).toEqual(['a', 'b']);
});

it('keeps the last it saw while etcd refuses it, says so, and goes on when it does not any more', async () => {
  let isRefused = false;
  const refused = new RefusedError('PERMISSION_DENIED', 'no');
  const ends = new Set<() => void>();
  const coordinator = await etcd.connect({}, (store) =>
    override(store, {
      read: (...args) => (isRefused ? Promise.reject(refused) : store.read(...args)),
      watch: (range, listener, options) => {
        const watch = store.watch(range, listener, options);
        ends.add(() => {
          watch.close();
          listener.closed(refused);
        });
        return watch;
      },
    }),
  );
  const service = coordinator.service(etcd.name('service'));
  await write(put(service, 'a', { address: 'a' }), put(service, 'b', { address: 'b' }));
  using directory = service.directory({ staleAfter: 200 });
  const lines: string[] = [];
  directory
    .on('added', ({ id }) => lines.push(`added ${id}`))
    .on('removed', ({ id }) => lines.push(`removed ${id}`))
    .on('stale', () => lines.push('stale'))
    .on('current', () => lines.push('current'));
  const errors: unknown[] = [];
  directory.on('error', (error) => errors.push(error));
  await directory.ready();
  const loop = directory.watch();
  await loop.next();
  const before = directory.instances();
  isRefused = true;
  for (const end of ends) end();
  expect([directory.state, directory.error, errors]).toEqual(['failed', refused, [refused]]);
  await waitFor(() => lines.includes('stale'));
  expect(directory.instances()).toBe(before);
  await waitFor(() => directory.staleness > 200);
  await directory.ready();
  expect(await rejection(directory.waitForRevision(2n ** 62n))).toBe(refused);
  using late = service.directory({ staleAfter: 300 });
  expect(await rejection(late.ready())).toBe(refused);
  expect(() => late.instances()).toThrow(refused);
  await write(remove(service, 'a'), put(service, 'c', { address: 'c' }));
  isRefused = false;
  await waitFor(() => ids(directory).join('') === 'bc' && directory.state === 'current');
  expect(lines.filter((line) => line.includes(' ')).slice(2)).toEqual(['added c', 'removed a']);
  expect(lines).toContain('current');
  expect(errors).toEqual([refused]);
  expect(directory.error).toBe(undefined);
  expect(directory.instances()[0]).toBe(before[1]);
  const { value } = await loop.next();
  expect(value?.changes.map(({ type }) => type)).toEqual(['added', 'removed']);
  await waitFor(() => late.state === 'current');
  await late.ready();
  expect(ids(late)).toEqual(['b', 'c']);
  await directory.waitForRevision(await write(put(service, 'd', { address: 'd' })));
  expect(ids(directory)).toEqual(['b', 'c', 'd']);
});

it('is not frozen when what it missed was compacted, nor by a watch that ends (go-kit)', async () => {
  const proxy = await etcd.startProxy();
  const coordinator = await etcd.connect({ endpoints: [proxy.endpoint], attemptTimeout: 300 });
  const service = coordinator.service(etcd.name('service'));
  await write(put(service, 'a', { address: 'a' }), put(service, 'b', { address: 'b' }));
  using directory = service.directory();
  await directory.ready();
  const lines: string[] = [];
  directory
    .on('added', ({ id }) => lines.push(`added ${id}`))
    .on('removed', ({ id }) => lines.push(`removed ${id}`));
  proxy.blackhole();
  proxy.cut();
  await write(remove(service, 'a'), put(service, 'c', { address: 'c' }));
  await compact(etcd.endpoint, etcd.admin);
  await write(put(service, 'd', { address: 'd' }));
  await compact(etcd.endpoint, etcd.admin);
  proxy.heal();
  await waitFor(() => ids(directory).join('') === 'bcd', { timeout: 20_000 });
  expect(lines.toSorted()).toEqual(['added c', 'added d', 'removed a']);
});

it.each([
  ['go', '{"Op":0,"Addr":"a","Metadata":"text"}', { metadata: { value: 'text' } }],
  ['go', '{"Op":0,"Addr":"a","Metadata":null}', {}],
  ['go-kit', 'a', {}],
] as const)(
  'reads with the layout %s what programs in Go write: %s',
  async (layout, value, more) => {
    const name = etcd.name();
    const key = `${name}/some/where`;
    etcd.defer(() => etcd.admin.commit({ success: [{ delete: { key } }] }));
    await write({ put: { key, value } });
    using directory = (await etcd.connect()).service(name, { layout }).directory();
    await directory.ready();
    expect(directory.instances()).toEqual([
      { id: 'some/where', address: 'a', state: 'up', ...more },
    ]);
  },
);
