import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import {
  ConflictError,
  type Coordinator,
  type Directory,
  type Operation,
  type Registration,
  type Service,
} from '../../src/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { waitFor } from '../../src/testing/wait-for.js';
import { compact, useEtcd } from '../support/etcd.js';
import { FaultyStore, faults } from '../support/faulty-store.js';
import { randomFrom } from '../support/random.js';

const etcd = useEtcd();

/** What etcd has of those that are up, as texts. */
async function truth({ name }: Service): Promise<string[]> {
  const folder = folderOf('service', name);
  const { kvs } = await etcd.admin.read(prefixRange(folder));
  return kvs
    .map(({ key, value }) => [key.toString().slice(folder.length), JSON.parse(String(value))])
    .filter(([, { state }]) => state === undefined)
    .map(([id, { address }]) => `${id} ${address}`);
}

const shown = (directory: Directory): string[] =>
  directory.instances().map(({ id, address }) => `${id} ${address}`);

/** Opening a session is one call; its first try fails, and a user would try again. */
const insist = <T>(call: () => Promise<T>): Promise<T> => call().catch(call);

it.each(faults)(
  'every call first meets: %s, and what is registered is what was said last',
  async (fault) => {
    let struck = 0;
    let faulty: FaultyStore | undefined;
    const coordinator = await insist(() =>
      etcd.connect({}, (store) => (faulty ??= new FaultyStore(store, fault, () => (struck += 1)))),
    );
    const service = coordinator.service(etcd.name('service'));
    const registration = await service.register({ id: 'a', address: 'first' });
    await registration.update({ address: 'second' });
    expect(await truth(service)).toEqual(['a second']);
    await etcd.admin.revoke(coordinator.session.id);
    await waitFor(async () => (await truth(service)).length === 0 || registration.isRegistered);
    await registration.update({ address: 'third' });
    expect(await truth(service)).toEqual(['a third']);
    await registration.drain();
    expect(await truth(service)).toEqual([]);
    await registration.resume();
    expect(await truth(service)).toEqual(['a third']);
    await registration.close();
    expect((await etcd.admin.read(prefixRange(folderOf('service', service.name)))).count).toBe(0);
    expect(struck).toBeGreaterThan(3);
  },
);

it('equals the truth after 1,000 instances flapped while connections were cut and history was compacted', async () => {
  const proxy = await etcd.startProxy();
  const coordinator = await etcd.connect({ endpoints: [proxy.endpoint], attemptTimeout: 300 });
  const service = coordinator.service(etcd.name('service'));
  const directory = service.directory();
  const replayed = new Map<string, string>();
  directory
    .on('added', ({ id, address }) => replayed.set(id, address))
    .on('changed', ({ id, address }) => replayed.set(id, address))
    .on('removed', ({ id }) => replayed.delete(id));
  const random = randomFrom(5);
  let count = 0;
  const flap = (): Promise<{ readonly revision: bigint }> => {
    const ids = new Set(Array.from({ length: 100 }, () => Math.floor(random() * 1_000)));
    const success = [...ids].map((id): Operation => {
      const key = `${folderOf('service', service.name)}${id}`;
      if (random() < 0.3) return { delete: { key } };
      const state = random() < 0.2 ? { state: 'draining' } : {};
      return { put: { key, value: JSON.stringify({ address: `a${(count += 1)}`, ...state }) } };
    });
    return etcd.admin.commit({ success });
  };
  await flap();
  await directory.ready();
  for (let round = 0; round < 4; round += 1) {
    await Promise.all([flap(), flap(), flap()]);
    if (round % 2 === 1) proxy.blackhole();
    proxy.cut();
    for (let i = 0; i < 5; i += 1) await flap();
    await compact(etcd.endpoint, etcd.admin);
    proxy.heal();
    const { revision } = await flap();
    await directory.waitForRevision(revision, { timeout: 20_000 });
    expect(shown(directory)).toEqual(await truth(service));
  }
  await waitFor(() => replayed.size === directory.instances().length);
  expect([...replayed].map(([id, address]) => `${id} ${address}`).toSorted()).toEqual(
    shown(directory).toSorted(),
  );
});

it('lets registrations and directories share a session, and end without one another (go-kit)', async () => {
  const service = (await etcd.connect()).service(etcd.name('service'));
  const directory = service.directory();
  const second = service.directory();
  await directory.ready();
  const a = await service.register({ id: 'a', address: 'a' });
  const b = await service.register({ id: 'b', address: 'b' });
  await waitFor(() => shown(directory).length === 2);
  await a.close();
  second.close();
  await waitFor(() => shown(directory).join() === 'b b');
  const again = await service.register({ id: 'a', address: 'again' });
  await waitFor(() => shown(directory).join() === 'a again,b b');
  expect([again.isRegistered, b.isRegistered]).toEqual([true, true]);
});

it('refuses a second registration under one ID, and goes on after that (go-kit: deadlock)', async () => {
  const service = (await etcd.connect()).service(etcd.name('service'));
  const first = await service.register({ id: 'a', address: 'a' });
  expect(await rejection(service.register({ id: 'a', address: 'b' }))).toBeInstanceOf(
    ConflictError,
  );
  await first.update({ address: 'c' });
  expect(await truth(service)).toEqual(['a c']);
  await first.close();
  await (await service.register({ id: 'a', address: 'd' })).close();
  expect(await truth(service)).toEqual([]);
});

it('is not held up by a loop that is slow, which gets one step for all it missed (go-kit: slow subscriber)', async () => {
  const service = (await etcd.connect()).service(etcd.name('service'));
  using directory = service.directory();
  await directory.ready();
  const loop = directory.watch();
  await loop.next();
  const registration = await service.register({ id: 'a', address: '0' });
  for (let i = 1; i <= 20; i += 1) await registration.update({ address: String(i) });
  await waitFor(() => shown(directory).join() === 'a 20');
  const step = await loop.next();
  expect(step.value?.changes.map(({ type, instance }) => [type, instance?.address])).toEqual([
    ['added', '20'],
  ]);
  await loop.return();
});

/** What somebody does with one of three registrations. */
const act = fc.record({
  what: fc.constantFrom('register', 'update', 'drain', 'resume', 'close', 'lose', 'delete'),
  id: fc.constantFrom('a', 'b', 'c'),
});

interface Member {
  registration: Registration;
  address: string;
  draining: boolean;
}

/** Does it, and what it comes to. */
async function perform(
  { what, id }: { readonly what: string; readonly id: string },
  nth: number,
  service: Service,
  coordinator: Coordinator,
  members: Map<string, Member>,
): Promise<void> {
  const member = members.get(id);
  if (what === 'lose') return etcd.admin.revoke(coordinator.session.id);
  if (!member) {
    if (what !== 'register') return undefined;
    const address = String(nth);
    const registration = await service.register({ id, address });
    members.set(id, { registration, address, draining: false });
  } else if (what === 'update') {
    await member.registration.update({ address: String(nth) });
    member.address = String(nth);
  } else if (what === 'drain' || what === 'resume') {
    await member.registration[what]();
    member.draining = what === 'drain';
  } else if (what === 'close') {
    await member.registration.close();
    members.delete(id);
  } else if (what === 'delete') {
    await etcd.admin.commit({ success: [{ delete: { key: member.registration.key } }] });
  } else {
    const error = await rejection(service.register({ id, address: 'no' }));
    if (!(error instanceof ConflictError)) throw error;
  }
  return undefined;
}

it('shows what was registered, updated, drained and closed, in whatever order, whatever was lost', async () => {
  const [coordinator, other] = (await etcd.connectAll(2)) as [Coordinator, Coordinator];
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 4, maxLength: 14 }), async (acts) => {
      const service = coordinator.service(etcd.name('service'));
      using directory = other.service(service.name).directory();
      await directory.ready();
      const members = new Map<string, Member>();
      for (const [i, each] of acts.entries()) {
        await perform(each, i, service, coordinator, members);
      }
      const expected = [...members]
        .filter(([, { draining }]) => !draining)
        .map(([id, { address }]) => `${id} ${address}`)
        .toSorted();
      await waitFor(async () => String(await truth(service)) === String(expected));
      await waitFor(() => String(shown(directory)) === String(expected));
      for (const { registration } of members.values()) await registration.close();
      await delay(0);
      expect(await truth(service)).toEqual([]);
    }),
    { numRuns: 15 },
  );
});
