import { expect, it } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  ClosedError,
  ConflictError,
  CoordinationError,
  type Coordinator,
  type InstancePatch,
  RefusedError,
  type Registration,
  type Service,
  WaitTimeoutError,
} from '../../src/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { waitFor } from '../../src/testing/wait-for.js';
import { useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { override } from '../support/override.js';

const etcd = useEtcd();

/** What there is of a service, by ID. */
async function records(service: Service): Promise<Record<string, unknown>> {
  const folder = folderOf('service', service.name);
  const { kvs } = await etcd.admin.read(prefixRange(folder));
  return Object.fromEntries(
    kvs.map(({ key, value }) => [key.toString().slice(folder.length), JSON.parse(String(value))]),
  );
}

const serviceOf = (coordinator: Coordinator, name = etcd.name('service')): Service =>
  coordinator.service(name);

/** Writes down what is told. */
function told(registration: Registration): string[] {
  const lines: string[] = [];
  registration
    .on('registered', () => lines.push('registered'))
    .on('lost', ({ reason }) => lines.push(`lost ${reason}`))
    .on('conflict', () => lines.push('conflict'))
    .on('state', ({ state }) => lines.push(state))
    .on('error', (error) => lines.push(String(error)));
  return lines;
}

const write = (key: string, value: string): Promise<unknown> =>
  etcd.admin.commit({ success: [{ put: { key, value } }] });
const remove = (key: string): Promise<unknown> =>
  etcd.admin.commit({ success: [{ delete: { key } }] });

it('registers, updates, drains, resumes and takes out', async () => {
  const service = serviceOf(await etcd.connect());
  const registration = await service.register({
    id: 'a',
    address: '10.0.0.7:80',
    tags: ['x'],
    zone: 'eu',
    version: '2.1',
    weight: 2,
    metadata: { n: 1 },
  });
  const fields = { tags: ['x'], version: '2.1', weight: 2, metadata: { n: 1 } };
  expect(await records(service)).toEqual({ a: { address: '10.0.0.7:80', zone: 'eu', ...fields } });
  await registration.update({ address: '10.0.0.8:80', zone: undefined });
  expect(await records(service)).toEqual({ a: { address: '10.0.0.8:80', ...fields } });
  await registration.drain();
  expect(await records(service)).toMatchObject({ a: { state: 'draining' } });
  expect(registration.instance.state).toBe('draining');
  // What is known by other ways is no change.
  await registration.update(registration.instance);
  expect(await records(service)).toMatchObject({ a: { state: 'draining' } });
  for (const lost of [{ id: 'b' }, { port: 80 }]) {
    const error = await rejection(registration.update(lost as InstancePatch));
    expect(error).toBeInstanceOf(ArgumentError);
  }
  await registration.resume();
  expect(await records(service)).toEqual({ a: { address: '10.0.0.8:80', ...fields } });
  await registration.close();
  expect(await records(service)).toEqual({});
  expect(await rejection(registration.update({ weight: 1 }))).toBeInstanceOf(ClosedError);
});

it('has an ID of its own unless one is given, and goes with its scope or the session', async () => {
  const coordinator = await etcd.connect();
  const service = serviceOf(coordinator);
  {
    await using first = await service.register({ address: 'a' });
    await using second = await service.register({ address: 'b' });
    expect(Object.keys(await records(service)).toSorted()).toEqual(
      [first.instance.id, second.instance.id].toSorted(),
    );
  }
  expect(await records(service)).toEqual({});
  const registration = await service.register({ address: 'a' });
  await coordinator.close();
  expect(await records(service)).toEqual({});
  expect(registration.isRegistered).toBe(false);
  await registration.close();
});

it('refuses what is not usable before anything is sent', async () => {
  const coordinator = await etcd.connect();
  const service = serviceOf(coordinator);
  const bad: readonly object[] = [
    { address: '' },
    { address: 'a', id: '' },
    { address: 'a', id: null },
    [],
    { address: 'a', tags: 'x' },
    { address: 'a', zone: 1 },
    { address: 'a', version: 2 },
    { address: 'a', weight: -1 },
    { address: 'a', weight: Number.NaN },
    { address: 'a', metadata: [1] },
    { address: 'a', metadata: { n: 1n } },
    { address: 'a', port: 80 },
  ];
  for (const instance of bad) {
    expect(await rejection(service.register(instance as never))).toBeInstanceOf(ArgumentError);
  }
  const health = { check: () => true };
  for (const wrong of [{ check: 1 }, { ...health, interval: 0 }, { ...health, failures: 0 }]) {
    const error = await rejection(service.register({ address: 'a' }, { health: wrong as never }));
    expect(error).toBeInstanceOf(ArgumentError);
  }
  const go = coordinator.service(service.name, { layout: 'go' });
  expect(await rejection(go.register({ address: 'a', zone: 'eu' }))).toBeInstanceOf(ArgumentError);
  expect(() => coordinator.service('')).toThrow(ArgumentError);
  expect(() => coordinator.service('a', { layout: 'java' as never })).toThrow(ArgumentError);
  expect(() => service.directory({ tags: 'x' as never })).toThrow(ArgumentError);
  expect(() => service.directory({ staleAfter: Number.NaN })).toThrow('staleAfter must be');
  expect(() => service.directory({ staleAfter: 100, invalidateAfter: 50 })).toThrow(ArgumentError);
  expect(await records(service)).toEqual({});
});

it('is in conflict with whoever has its key, in this process and elsewhere', async () => {
  const [one, other] = await etcd.connectAll(2);
  const service = serviceOf(one as Coordinator);
  const registration = await service.register({ id: 'a', address: 'mine' });
  for (const coordinator of [one, other]) {
    const again = (coordinator as Coordinator).service(service.name);
    const error = await rejection(again.register({ id: 'a', address: 'theirs' }));
    expect(error).toBeInstanceOf(ConflictError);
  }
  expect(await records(service)).toEqual({ a: { address: 'mine' } });
  await registration.close();
  const after = await service.register({ id: 'a', address: 'again' });
  expect(await records(service)).toEqual({ a: { address: 'again' } });
  await after.close();
});

it('is put back when its key is deleted by hand, as it was updated last', async () => {
  const service = serviceOf(await etcd.connect());
  const registration = await service.register({ id: 'a', address: 'first' });
  const lines = told(registration);
  await registration.update({ address: 'second' });
  await remove(registration.key);
  await waitFor(() => lines.includes('registered'));
  expect(lines).toEqual(['lost deleted', 'registered']);
  expect(await records(service)).toEqual({ a: { address: 'second' } });
});

it('tells when somebody overwrites its key, leaves that alone, and is put back when it is gone', async () => {
  const service = serviceOf(await etcd.connect());
  const registration = await service.register({ id: 'a', address: 'mine' });
  const lines = told(registration);
  await write(registration.key, '{"address":"theirs"}');
  await waitFor(() => lines.includes('conflict'));
  expect(await rejection(registration.update({ weight: 2 }))).toBeInstanceOf(ConflictError);
  expect(await records(service)).toEqual({ a: { address: 'theirs' } });
  expect(registration.isRegistered).toBe(false);
  await remove(registration.key);
  await waitFor(() => lines.includes('registered'));
  expect(lines).toEqual(['conflict', 'registered']);
  expect(await records(service)).toEqual({ a: { address: 'mine', weight: 2 } });
  await write(registration.key, '{"address":"theirs"}');
  await registration.close();
  expect(await records(service)).toEqual({ a: { address: 'theirs' } });
});

it('registers again when its lease is lost (kit#1043), as it was updated last (CURATOR-181), once (CURATOR-320)', async () => {
  const coordinator = await etcd.connect();
  const service = serviceOf(coordinator);
  const registration = await service.register({ id: 'a', address: 'first' });
  await registration.update({ address: 'second' });
  const lines = told(registration);
  for (const times of [1, 2, 3]) {
    await etcd.admin.revoke(coordinator.session.id);
    await waitFor(() => lines.length === 2 * times && registration.isRegistered);
    expect(await records(service)).toEqual({ a: { address: 'second' } });
  }
  expect(lines.filter((line) => line === 'registered').length).toBe(3);
  expect(lines.filter((line) => line !== 'registered')).toEqual(Array(3).fill('lost revoked'));
});

it('never comes back after close, whatever became of what it sent', async () => {
  const { coordinator, below } = await connectFailing(etcd);
  const service = serviceOf(coordinator);
  below.plan('comes late');
  const registration = await service.register({ id: 'a', address: 'first' });
  below.plan('comes late');
  const update = registration.update({ address: 'late' });
  await waitFor(() => below.arrive.length === 2);
  await Promise.all([registration.close(), rejection(update)]);
  expect(await records(service)).toEqual({});
  for (const arrive of below.arrive) await arrive();
  expect(await records(service)).toEqual({});
});

it('has no update overtake a later one', async () => {
  const { coordinator, below } = await connectFailing(etcd);
  const service = serviceOf(coordinator);
  const registration = await service.register({ id: 'a', address: 'first' });
  below.plan('comes late', 'loses its reply');
  const updates = [registration.update({ address: 'second' }), registration.update({ weight: 3 })];
  await Promise.all(updates);
  await below.arrive[0]?.();
  expect(await records(service)).toEqual({ a: { address: 'second', weight: 3 } });
});

it('takes its room on a lease, and more leases where there is none', async () => {
  const coordinator = await etcd.connect({ session: { keysPerLease: 1 } });
  const service = serviceOf(coordinator);
  const all: Registration[] = [];
  for (const id of ['a', 'b', 'c']) all.push(await service.register({ id, address: id }));
  const { kvs } = await etcd.admin.read(prefixRange(folderOf('service', service.name)));
  expect(new Set(kvs.map(({ lease }) => lease)).size).toBe(3);
  await all[1]?.close();
  await all[0]?.close();
  expect(await records(service)).toEqual({ c: { address: 'c' } });
});

it('falls back to what etcd has taken, also where several updates wait that it refuses', async () => {
  const service = serviceOf(await etcd.connect());
  const registration = await service.register({ id: 'a', address: 'first' });
  const tooLarge = { metadata: { text: 'x'.repeat(3_000_000) } };
  const errors = await Promise.all(
    [tooLarge, { weight: 2 }].map((patch) => rejection(registration.update(patch))),
  );
  expect(errors.map((error) => error instanceof CoordinationError)).toEqual([true, true]);
  expect(Object.keys(registration.instance)).toEqual(['id', 'address', 'state']);
  await remove(registration.key);
  await waitFor(() => registration.isRegistered);
  await waitFor(async () => String((await records(service))['a']) !== 'undefined');
  expect(await records(service)).toEqual({ a: { address: 'first' } });
});

it('waits for one of its ID that is being closed', async () => {
  const proxy = await etcd.startProxy();
  const coordinator = await etcd.connect({ endpoints: [proxy.endpoint], attemptTimeout: 300 });
  const service = serviceOf(coordinator);
  const first = await service.register({ id: 'a', address: 'first' });
  proxy.blackhole();
  const given = service.register({ id: 'b', address: 'b' }, { timeout: 100 });
  expect(await rejection(given)).toBeInstanceOf(WaitTimeoutError);
  const closing = first.close();
  const second = service.register({ id: 'a', address: 'second' });
  const again = service.register({ id: 'b', address: 'again' });
  const twice = rejection(service.register({ id: 'b', address: 'twice' }));
  proxy.cut();
  proxy.heal();
  await Promise.all([closing, second, again]);
  expect(await twice).toBeInstanceOf(ConflictError);
  expect(await records(service)).toEqual({ a: { address: 'second' }, b: { address: 'again' } });
});

it('puts no more keys on a lease than may be, also where many come at once', async () => {
  const coordinator = await etcd.connect({ session: { keysPerLease: 2 } });
  const service = serviceOf(coordinator);
  const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  await Promise.all(ids.map((id) => service.register({ id, address: id })));
  const { kvs } = await etcd.admin.read(prefixRange(folderOf('service', service.name)));
  expect(new Set(kvs.map(({ lease }) => lease)).size).toBe(4);
});

it('notices that it was deleted also after etcd had refused to be watched', async () => {
  const ends = new Set<() => void>();
  const coordinator = await etcd.connect({}, (store) =>
    override(store, {
      watch: (range, listener, options) => {
        const watch = store.watch(range, listener, options);
        ends.add(() => {
          watch.close();
          listener.closed(new RefusedError('PERMISSION_DENIED', 'no'));
        });
        return watch;
      },
    }),
  );
  const registration = await serviceOf(coordinator).register({ id: 'a', address: 'a' });
  const lines = told(registration);
  for (const end of ends) end();
  await remove(registration.key);
  await waitFor(() => lines.includes('registered'));
  expect(lines).toEqual([
    'RefusedError: etcd refused: no (PERMISSION_DENIED)',
    'lost deleted',
    'registered',
  ]);
});

it('has an update that etcd would take succeed where it came after one that etcd refuses', async () => {
  const service = serviceOf(await etcd.connect());
  const registration = await service.register({ id: 'a', address: 'first' });
  const text = 'x'.repeat(3_000_000);
  await Promise.all([
    registration.update({ metadata: { text } }),
    registration.update({ metadata: undefined, weight: 2 }),
  ]);
  expect(await records(service)).toEqual({ a: { address: 'first', weight: 2 } });
});
