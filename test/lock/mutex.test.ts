import { describe, expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import { ArgumentError, HoldLostError, Mutex, Namespace } from '../../src/index.js';
import { holdSuite } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { runHoldFaults } from '../support/hold-faults.js';
import { runCases } from '../support/run-cases.js';

const etcd = useEtcd();
const folder = (name: string): string => folderOf('mutex', name);

describe('a mutex', () => {
  const cases = holdSuite({
    admin: etcd.admin,
    folder,
    connect: () => etcd.connect(),
    make: (coordinator, name) => coordinator.mutex(name),
  });
  runCases(cases);

  it('writes nothing and waits for nothing when a try loses', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const name = etcd.name();
    await using hold = await a.mutex(name).acquire();
    const before = await etcd.admin.read({ key: name });
    expect(await b.mutex(name).tryAcquire()).toBe(undefined);
    expect((await etcd.admin.read({ key: name })).revision).toBe(before.revision);
    expect(hold.lost).toBe(undefined);
  });

  it('does not meet a mutex whose name lies inside its own', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name();
    await using inner = await coordinator.mutex(`${name}/b`).acquire();
    await using outer = await coordinator.mutex(name).acquire({ timeout: 60_000 });
    expect(inner.lost ?? outer.lost).toBe(undefined);
  });

  it('shows its holder, its waiters in order, and who they are', async () => {
    const a = await etcd.connect({ session: { label: 'first' } });
    const b = await etcd.connect();
    const name = etcd.name();
    const hold = await a.mutex(name).acquire();
    const next = b.mutex(name).acquire();
    const mutex = b.mutex(name);
    await expect.poll(async () => (await mutex.inspect()).waiters.length).toBe(1);
    const { holder, waiters } = await mutex.inspect();
    expect(holder).toMatchObject({ token: hold.token, lease: a.session.id, key: hold.key });
    expect(holder?.owner).toEqual({ host: expect.any(String), pid: process.pid, label: 'first' });
    expect(holder?.age).toBeGreaterThanOrEqual(0);
    expect(waiters[0]?.owner).toEqual({ host: expect.any(String), pid: process.pid });
    await hold.release();
    await (await next).release();
    expect(await mutex.inspect()).toEqual({ holder: undefined, waiters: [] });
  });

  it('tells of waiting, of acquiring and of a loss', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const name = etcd.name();
    const told: string[] = [];
    const mutex = b
      .mutex(name)
      .on('waiting', (event) => told.push(`waiting for ${event.name}`))
      .on('acquired', ({ token }) => told.push(`acquired ${token}`))
      .on('lost', ({ reason }) => told.push(`lost: ${reason}`));
    const hold = await a.mutex(name).acquire();
    const next = mutex.acquire();
    await expect.poll(() => told).toEqual([`waiting for ${name}`]);
    await hold.release();
    const { key, token } = await next;
    await etcd.admin.commit({ success: [{ delete: { key } }] });
    await expect.poll(() => told.slice(1)).toEqual([`acquired ${token}`, 'lost: deleted']);
  });

  describe('run', () => {
    it('gives the work its hold, returns its result and releases', async () => {
      const mutex = (await etcd.connect()).mutex(etcd.name());
      const result = await mutex.run(async (hold) => {
        expect((await mutex.inspect()).holder?.key).toBe(hold.key);
        return 42;
      });
      expect(result).toBe(42);
      expect((await mutex.inspect()).holder).toBe(undefined);
    });

    it('throws what the work throws, and releases', async () => {
      const mutex = (await etcd.connect()).mutex(etcd.name());
      const error = new Error('the work failed');
      const failing = mutex.run(() => {
        throw error;
      });
      await expect(failing).rejects.toBe(error);
      expect((await mutex.inspect()).holder).toBe(undefined);
    });

    it('rejects when the lock was lost while the work ran', async () => {
      const mutex = (await etcd.connect()).mutex(etcd.name());
      const work = mutex.run(async ({ key }) => {
        await etcd.admin.commit({ success: [{ delete: { key } }] });
      });
      await expect(work).rejects.toThrow(HoldLostError);
    });

    it('is waited for when the coordinator closes, for as long as the grace allows', async () => {
      const coordinator = await etcd.connect();
      const mutex = coordinator.mutex(etcd.name());
      let ended = false;
      const entered = new Promise<void>((enter) => {
        const work = mutex.run(async ({ signal }) => {
          enter();
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          expect(await etcd.count(folder(mutex.name))).toBe(1);
          ended = true;
        });
        work.catch(() => {});
      });
      await entered;
      await coordinator.close();
      expect(ended).toBe(true);
      expect(await etcd.count(folder(mutex.name))).toBe(0);
    });
  });

  it.each([
    ['an empty name', '', {}, /name must be a non-empty string, got ''/],
    ['an unknown layout', 'x', { layout: 'java' }, /layout must be 'recipes' or 'go', got 'java'/],
  ])('refuses %s', async (_, name, options, message) => {
    const coordinator = await etcd.connect();
    const make = (): Mutex => coordinator.mutex(name, options as never);
    expect(make).toThrow(ArgumentError);
    expect(make).toThrow(message);
  });
});

describe('a mutex in a namespace', () => {
  const cases = holdSuite({
    admin: etcd.admin,
    folder,
    prefix: 'tenant/',
    connect: async () => (await etcd.connect()).namespace('tenant/'),
    make: (coordinator, name) => coordinator.mutex(name),
  });
  runCases(cases);
});

describe('a mutex in Go’s layout', () => {
  const cases = holdSuite({
    admin: etcd.admin,
    folder: (name) => `${name}/`,
    connect: () => etcd.connect(),
    make: (coordinator, name) => coordinator.mutex(name, { layout: 'go' }),
  });
  runCases(cases);
});

runHoldFaults('a mutex', etcd, { folder, make: (coordinator, name) => coordinator.mutex(name) });

it('works on a namespace of a namespace', async () => {
  const coordinator = await etcd.connect();
  const inner = coordinator.namespace('a/').namespace('b/');
  expect(inner.store).toBeInstanceOf(Namespace);
  await inner.mutex('m').run(async ({ key }) => {
    expect(await etcd.count(`a/b/${key}`)).toBe(1);
  });
});
