import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { start } from '../../src/embed/index.js';
import { Etcd3Store, UnavailableError } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 10 };

describe('with a member of three that stands still', () => {
  it('loses at most the calls on their way to it', { timeout: 180_000 }, async () => {
    await using cluster = await start({ engine: 'etcd', members: 3, unsafeNoFsync: true });
    const leader = await cluster.leader();
    const follower = cluster.members.find((member) => member !== leader);
    if (!follower) throw new Error('no follower');
    const others = cluster.members.filter((member) => member !== follower);
    const endpoints = [follower, ...others].map((member) => member.endpoint);
    const store = new Etcd3Store({ endpoints });
    await store.read({ key: 'x' });
    follower.pause();
    const failures: unknown[] = [];
    for (let i = 0; i < 30; i += 1) {
      await store
        .read({ key: 'x' }, { timeout: 700 })
        .catch((error: unknown) => failures.push(error));
    }
    expect(failures.filter((error) => !(error instanceof UnavailableError))).toEqual([]);
    expect(failures.length).toBeLessThanOrEqual(1);
    follower.resume();
    store.close();
  });

  it('keeps its hold and its place in line', { timeout: 180_000 }, async () => {
    const cluster = await start({ engine: 'etcd', members: 3, unsafeNoFsync: true });
    const leader = await cluster.leader();
    const follower = cluster.members.find((member) => member !== leader);
    if (!follower) throw new Error('no follower');
    const others = cluster.members.filter((member) => member !== follower);
    etcd.defer(() => cluster.stop());
    const endpoints = [follower, ...others].map((member) => member.endpoint);
    const name = etcd.name();
    const session = { ttl: 5_000 };
    const holder = await etcd.connect({ endpoints, session });
    const waiter = await etcd.connect({ endpoints, session });
    const hold = await holder.mutex(name).acquire();
    const wait = waiter.mutex(name).acquire();
    await vi.waitFor(async () => {
      expect((await holder.mutex(name).inspect()).waiters.length).toBe(1);
    }, patience);
    follower.pause();
    await delay(6_000);
    expect(hold.lost).toBe(undefined);
    expect(await hold.release()).toBe(true);
    expect(await (await wait).release()).toBe(true);
    follower.resume();
    expect((await waiter.store.read(prefixRange(folderOf('mutex', name)))).count).toBe(0);
  });
});
