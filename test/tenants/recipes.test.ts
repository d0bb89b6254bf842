import { expect, it } from 'vitest';
import { BatchingStore } from '../../src/core/commit/batching-store.js';
import { ExactlyOnceStore } from '../../src/core/commit/exactly-once-store.js';
import { writes } from '../../src/core/commit/footprint.js';
import { prefixRange } from '../../src/core/store/keys.js';
import type { Coordinator, Store } from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { noAnswer, override } from '../support/override.js';
import { useSecured } from './support/secured.js';

const etcd = useEtcd();
const secured = useSecured(etcd);

/** As users have it, on a network that loses the reply of every second write. */
function losing(store: Store): Store {
  let count = 0;
  const commit: Store['commit'] = async (txn, options) => {
    const reply = await store.commit(txn, options);
    if (writes(txn) && (count += 1) % 2 === 0) throw noAnswer();
    return reply;
  };
  return new BatchingStore(new ExactlyOnceStore(override(store, { commit })));
}

async function useAll(one: Coordinator): Promise<void> {
  await (await one.mutex('m').acquire()).release();
  await (await one.multiLock(['m', 'n']).acquire()).release();
  await (await one.readWriteLock('rw').read.acquire()).release();
  await (await one.readWriteLock('rw').write.acquire()).release();
  await (await one.semaphore('s', { limit: 2 }).acquire()).release();
  await (await one.election('e').campaign('one')).resign();
  await one.gate('g').raise();
  await one.gate('g').lift();
  await one.gate('g').wait();
  await one.latch('l', 1).countDown();
  await one.latch('l', 1).wait();
  await one.cyclicBarrier('c', 1).wait();
  const double = one.doubleBarrier('d', 1);
  await double.enter();
  await double.leave();
  expect(await one.sequence('q').next()).toBe(1n);
  await one.value<number>('v').update(() => 1);
  expect((await one.value<number>('v').get()).value).toBe(1);
}

async function useRest(one: Coordinator): Promise<void> {
  const queue = one.queue<string>('jobs');
  await queue.put('a');
  const job = await queue.next();
  expect(job.value).toBe('a');
  await job.ack();
  const mirror = one.mirror<string>(prefixRange('x/'));
  await one.client.put('x/1', '1');
  await waitFor(() => mirror.size === 1);
  mirror.close();
  const service = one.service('web');
  const registration = await service.register({ address: 'localhost:1' });
  const directory = service.directory();
  await waitFor(() => directory.instances().length === 1);
  directory.close();
  await registration.close();
  const member = await one.group<string>('g').join('here');
  await member.leave();
  const shards = one.partitioner('p', { shards: 1, settle: 10 });
  const ran = new Promise<void>((resolve) => {
    shards.run(async () => resolve()).catch(() => {});
  });
  await ran;
  await shards.close();
}

it.each([{}, { quota: { keys: 1_000 } }])(
  'every recipe works with the credentials of a tenant (%o), and what it writes is applied once',
  async (options) => {
    const admin = await secured.connect();
    const name = etcd.name();
    const { isolation } = secured;
    const { auth } = await admin.tenants.create(name, { isolation, ...options });
    etcd.defer(() => admin.tenants.delete(name));
    const ours = await etcd.connect(
      { endpoints: [secured.endpoint], ...(auth && { auth }) },
      losing,
    );
    const acme = await ours.tenant(name);
    for (let i = 1n; i <= 6n; i += 1n) expect(await acme.counter('c').add(1n)).toBe(i);
    await useAll(acme);
    await useRest(acme);
    const inner = acme.namespace('inner/');
    expect(await inner.counter('c').add(1n)).toBe(1n);
    const marks = await admin.store.read(prefixRange(`tenants/${name}/.etcd-recipes/once/`));
    expect(marks.count).toBeGreaterThan(0);
    expect(
      (await admin.store.read(prefixRange(`tenants/${name}/inner/.etcd-recipes/`))).count,
    ).toBe(0);
  },
);
