import { container as root } from 'tsyringe';
import { describe, expect, it, vi } from 'vitest';
import { FaultProxy } from '../src/embed/index.js';
import {
  ArgumentError,
  CLOCK,
  ClosedError,
  type ConnectOptions,
  type Coordinator,
  connect,
  SESSION,
  SessionLostError,
  STORE,
  type Store,
  systemClock,
  UnavailableError,
} from '../src/index.js';
import { useEtcd } from './support/etcd.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 10 };

describe('connecting', () => {
  it('opens a session that lives as long as was asked for', async () => {
    await using coordinator = await connect({
      endpoints: [etcd.endpoint],
      session: { ttl: 7_500, label: 'worker 7' },
    });
    expect(coordinator.session.ttl).toBe(8_000);
    expect(coordinator.session.state).toBe('open');
    expect(coordinator.session.owner.label).toBe('worker 7');
  });

  it('rejects when nobody answers, with what each endpoint said', async () => {
    const connecting = connect({ endpoints: ['127.0.0.1:1', '127.0.0.1:2'], timeout: 300 });
    await expect(connecting).rejects.toThrow(UnavailableError);
    await expect(connecting).rejects.toThrow(
      /127.0.0.1:1: connect: UNAVAILABLE .*127.0.0.1:2: connect: UNAVAILABLE/,
    );
  });

  it.each([
    [{ endpoints: [] }, /endpoints/],
    [{ endpoints: ['a:1'], session: { ttl: -1 } }, /session.ttl/],
  ])('rejects %o before anything is sent', async (options: ConnectOptions, message) => {
    const connecting = connect(options);
    await expect(connecting).rejects.toThrow(ArgumentError);
    await expect(connecting).rejects.toThrow(message);
  });
});

describe('a name or ID of which half a character is missing', () => {
  const half = 'x\ud83d';

  it.each<[string, (coordinator: Coordinator) => unknown]>([
    ['a recipe', (coordinator) => coordinator.mutex(half)],
    ['a recipe in the layout of Go', (coordinator) => coordinator.mutex(half, { layout: 'go' })],
    ['a namespace', (coordinator) => coordinator.namespace(half)],
    ['a queue', (coordinator) => coordinator.queue(half)],
    ['a tenant', (coordinator) => coordinator.tenant(half)],
    ['a service', (coordinator) => coordinator.service(half).directory()],
    ['an instance', (coordinator) => coordinator.service('x').register({ address: 'a', id: half })],
    ['a member', (coordinator) => coordinator.group('x').join('', { id: half })],
    ['a party', (coordinator) => coordinator.latch('x', 1).countDown(half)],
  ])('is refused of %s, as its bytes are those of others', async (_, use) => {
    const coordinator = await etcd.connect();
    await expect(async () => use(coordinator)).rejects.toThrow(ArgumentError);
  });
});

describe('the parts', () => {
  it('can be replaced, and injected elsewhere', async () => {
    const container = root.createChildContainer();
    const calls: string[] = [];
    const counted = new Proxy<Store>(etcd.admin, {
      get: (store, method: Exclude<keyof Store, 'access'>) => {
        calls.push(method);
        return store[method].bind(store);
      },
    });
    container.registerInstance(STORE, counted);
    const clock = { ...systemClock, now: vi.fn<() => number>(() => systemClock.now()) };
    container.registerInstance(CLOCK, clock);
    const coordinator = await connect({ endpoints: [etcd.endpoint], container });
    await coordinator.mutex(etcd.name()).run(() => {});
    expect(container.resolve(SESSION)).toBe(coordinator.session);
    expect(calls).toContain('grant');
    expect(calls).toContain('commit');
    expect(clock.now).toHaveBeenCalled();
    await coordinator.close();
    // The store was not made by the coordinator, and is left open.
    expect(calls).not.toContain('close');
    await etcd.admin.read({ key: 'x' });
  });
});

describe('a session', () => {
  it('tells of a suspension, and of its end when the cut lasts', { timeout: 180_000 }, async () => {
    const proxy = await FaultProxy.start(etcd.endpoint);
    etcd.defer(() => proxy.close());
    const { session } = await etcd.connect({
      endpoints: [proxy.endpoint],
      session: { ttl: 5_000 },
    });
    const told: string[] = [];
    session
      .on('suspended', () => told.push('suspended'))
      .on('resumed', () => told.push('resumed'))
      .on('lost', ({ reason }) => told.push(reason));
    proxy.cut();
    await vi.waitFor(() => expect(session.state).toBe('suspended'), patience);
    proxy.heal();
    await vi.waitFor(() => expect(told).toEqual(['suspended', 'resumed']), patience);
    proxy.cut();
    await vi.waitFor(() => expect(session.state).toBe('lost'), patience);
    expect(told).toEqual(['suspended', 'resumed', 'suspended', 'no-contact']);
    expect(session.signal.reason).toBeInstanceOf(SessionLostError);
    expect(session.remaining()).toBe(0);
    proxy.heal();
  });

  it('learns that its lease was revoked, and so does what is held through it', async () => {
    const coordinator = await etcd.connect({ session: { ttl: 2_000 } });
    const hold = await coordinator.mutex(etcd.name()).acquire();
    await etcd.admin.revoke(coordinator.session.id);
    await vi.waitFor(() => expect(coordinator.session.state).toBe('lost'), patience);
    expect(hold.lost).toBe('revoked');
    expect(hold.signal.aborted).toBe(true);
  });

  it('says that it is lost when etcd knows its lease no more', async () => {
    const coordinator = await etcd.connect();
    await etcd.admin.revoke(coordinator.session.id);
    await expect(coordinator.mutex(etcd.name()).acquire()).rejects.toThrow(SessionLostError);
    expect(coordinator.session.state).toBe('lost');
  });

  it('takes back a listener', async () => {
    const { session } = await etcd.connect();
    const listener = vi.fn<() => void>();
    session.on('closed', listener).off('closed', listener);
    await session.close();
    expect(listener).not.toHaveBeenCalled();
  });
});

describe('closing', () => {
  it('frees every key at once, and refuses new work', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name();
    const holds = [];
    for (let i = 0; i < 5; i += 1) holds.push(await coordinator.mutex(`${name}-${i}`).acquire());
    expect(await etcd.count(`mutex/${name}`)).toBe(5);
    await Promise.all([coordinator.close(), coordinator.close()]);
    expect(await etcd.count(`mutex/${name}`)).toBe(0);
    expect(holds.map(({ lost }) => lost)).toEqual(Array.from({ length: 5 }, () => 'closed'));
    expect(() => coordinator.mutex('x')).toThrow(ClosedError);
    expect(() => coordinator.namespace('x/')).toThrow(ClosedError);
    await expect(coordinator.session.close()).resolves.toBe(undefined);
  });

  it('of a namespace leaves the session to whoever connected', async () => {
    const coordinator = await etcd.connect();
    const tenant = coordinator.namespace('tenant/');
    await tenant.close();
    expect(coordinator.session.state).toBe('open');
    expect(() => coordinator.namespace('')).toThrow(/prefix must be a non-empty string, got ''/);
    for (const prefix of ['semaphore/', 'audit/x/', 'held', 'm', '.']) {
      expect(() => coordinator.namespace(prefix)).toThrow(ArgumentError);
    }
  });

  it('does not wait for etcd longer than a lease would live', async () => {
    const proxy = await FaultProxy.start(etcd.endpoint);
    etcd.defer(() => proxy.close());
    const coordinator = await etcd.connect({
      endpoints: [proxy.endpoint],
      session: { ttl: 2_000 },
    });
    proxy.blackhole();
    await coordinator.close();
    expect(coordinator.session.state).toBe('closed');
  });
});
