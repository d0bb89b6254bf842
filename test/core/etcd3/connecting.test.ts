import { container as root } from 'tsyringe';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';
import {
  ArgumentError,
  connect,
  Session,
  STORE,
  type Store,
  UnavailableError,
} from '../../../src/index.js';
import { useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();

describe('connecting with one container', () => {
  it('works after an attempt that failed', async () => {
    const container = root.createChildContainer();
    const failing = connect({ endpoints: ['127.0.0.1:1'], timeout: 200, container });
    await expect(failing).rejects.toThrow(UnavailableError);
    await using coordinator = await connect({ endpoints: [etcd.endpoint], container });
    expect(container.resolve(STORE)).toBe(coordinator.store);
    expect(await (await coordinator.mutex(etcd.name()).acquire()).release()).toBe(true);
  });

  it('works again after the first coordinator was closed', async () => {
    const container = root.createChildContainer();
    const first = await connect({ endpoints: [etcd.endpoint], container });
    await first.close();
    await using second = await connect({ endpoints: [etcd.endpoint], container });
    expect(await (await second.mutex(etcd.name()).acquire()).release()).toBe(true);
  });

  it('gives each coordinator a store of its own', async () => {
    const container = root.createChildContainer();
    const first = await connect({ endpoints: [etcd.endpoint], container });
    await using second = await connect({ endpoints: [etcd.endpoint], container });
    expect(second.store).not.toBe(first.store);
    expect(second.session).not.toBe(first.session);
    await first.close();
    expect(await (await second.mutex(etcd.name()).acquire()).release()).toBe(true);
  });

  it('goes on with the store that a user put there', async () => {
    const container = root.createChildContainer();
    container.registerInstance(STORE, etcd.admin);
    const first = await connect({ endpoints: [etcd.endpoint], container });
    await first.close();
    await using second = await connect({ endpoints: [etcd.endpoint], container });
    expect(second.store).toBe(etcd.admin);
  });
});

describe('a namespace', () => {
  it.each(['mutex/', 'mutex/foo/', '.etcd-recipes/', '.etcd-recipes/session/'])(
    'is refused where recipes outside keep their keys: %s',
    async (prefix) => {
      const coordinator = await etcd.connect();
      expect(() => coordinator.namespace(prefix)).toThrow(ArgumentError);
      expect(() => coordinator.namespace(prefix)).toThrow(
        /prefix must be apart from (mutex|\.etcd-recipes)\//,
      );
      const tenant = coordinator.namespace(`${etcd.name()}/`);
      expect(() => tenant.namespace(prefix)).toThrow(ArgumentError);
    },
  );

  it('may have a name that only looks like one of them', async () => {
    const coordinator = await etcd.connect();
    const tenant = coordinator.namespace(`mutexes/${etcd.name()}/`);
    expect(await (await tenant.mutex('x').acquire()).release()).toBe(true);
  });
});

describe('a lease that is granted late', () => {
  /** How long the grant took, what a renewal then gives, and how long that takes. */
  const open = (took: number, renewed = 10_000, renewing = 0): Promise<Session> => {
    const clock = new VirtualClock();
    let renewals = 0;
    const store = {
      grant: async (_: bigint, ttl: number) => {
        clock.jump(took);
        return ttl;
      },
      keepAlive: async () => {
        renewals += 1;
        if (renewals > 1) return new Promise(() => {});
        clock.jump(renewing);
        return renewed;
      },
      revoke: async () => {},
    } as unknown as Store;
    return Session.open(store, { ttl: 10_000, margin: 2_000 }, clock);
  };

  it('is taken while something is left of it', async () => {
    const session = await open(7_999);
    expect(session.state).toBe('open');
    expect(session.remaining()).toBe(1);
  });

  it('counts from a renewal when nothing is left of it', async () => {
    expect((await open(8_000)).remaining()).toBe(8_000);
    expect((await open(60_000, 10_000, 3_000)).remaining()).toBe(5_000);
  });

  it('is refused when it is gone, or the renewal is late too', async () => {
    await expect(open(60_000, 0)).rejects.toThrow(UnavailableError);
    await expect(open(8_000, 10_000, 8_000)).rejects.toThrow(UnavailableError);
  });
});
