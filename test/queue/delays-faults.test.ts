import { expect, it, vi } from 'vitest';
import { ExactlyOnceStore } from '../../src/core/commit/exactly-once-store.js';
import { keyId, prefixRange } from '../../src/core/store/keys.js';
import type { Coordinator, Operation, Queue, Store, Txn } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { FaultyStore, faults } from '../support/faulty-store.js';
import { connectLossy } from '../support/lossy.js';
import { noAnswer, override } from '../support/override.js';
import { randomFrom } from '../support/random.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 20 };

/** Works on the jobs of a queue; failures to end them are the business of other tests. */
function work(jobs: Queue<number>, done: number[]): void {
  jobs.consume((job) => done.push(job.value), { concurrency: 4 });
}

/** Waits for all of them to be done, and for nothing to be left. */
async function allDone(name: string, done: number[], count: number): Promise<void> {
  await vi.waitFor(() => expect(new Set(done).size).toBe(count), patience);
  for (const folder of ['ready/', 'delayed/', 'aliases/', 'delayed!expires/', 'dead/']) {
    await vi.waitFor(
      async () =>
        expect([folder, await etcd.count(`queue/${name}/${folder}`)]).toEqual([folder, 0]),
      patience,
    );
  }
  expect(done.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
}

/** Whether something is brought back: it is deleted where it waits. */
function brings(name: string, { success = [] }: Txn): boolean {
  const isDeleted = (step: Operation): boolean =>
    'txn' in step
      ? brings(name, step.txn)
      : 'delete' in step && keyId(step.delete.key).startsWith(`queue/${name}/delayed/`);
  return success.some(isDeleted);
}

/** Connects so that what brings jobs back goes another way. */
function connectWith(
  name: string,
  bring: (commit: () => ReturnType<Store['commit']>) => ReturnType<Store['commit']>,
): Promise<Coordinator> {
  return etcd.connect({ session: { ttl: 2_000 } }, (store) => {
    const commit: Store['commit'] = (txn, options) =>
      brings(name, txn) ? bring(() => store.commit(txn)) : store.commit(txn, options);
    return new ExactlyOnceStore(override(store, { commit }));
  });
}

it('jobs that were put for later come once each, though commits and their replies are lost', async () => {
  const name = etcd.name('queue');
  const random = randomFrom(7);
  const done: number[] = [];
  for (const losses of [{ replies: 0.3 }, { requests: 0.3 }, { replies: 0.1, requests: 0.1 }]) {
    work((await connectLossy(etcd, random, losses)).queue<number>(name), done);
  }
  const producer = (await etcd.connect()).queue<number>(name);
  for (let i = 0; i < 200; i += 1) {
    void producer.put(i, { delay: i % 2 === 0 ? 20 * random() : 2_500, ttl: 600_000 });
  }
  await allDone(name, done, 200);
});

it.each(faults)(
  'jobs that were put for later come once each, though each call has: %s',
  async (fault) => {
    const name = etcd.name('queue');
    let strikes = 0;
    const done: number[] = [];
    // Who stands still for longer loses what it works on, which is then done again.
    const session = { ttl: 60_000 };
    const coordinator = await etcd.connect({ session }, (store) => {
      const bad = new FaultyStore(store, fault, () => (strikes += 1));
      // A session that cannot be opened is the business of other tests.
      const { read, commit } = { read: bad.read.bind(bad), commit: bad.commit.bind(bad) };
      return new ExactlyOnceStore(override(store, { read, commit }));
    });
    work(coordinator.queue<number>(name), done);
    const producer = (await etcd.connect()).queue<number>(name);
    for (let i = 0; i < 20; i += 1) await producer.put(i, { delay: 100, ttl: 600_000 });
    await allDone(name, done, 20);
    expect(strikes).toBeGreaterThan(0);
  },
);

it('a keeper that is lost between what is due and bringing it back brings nothing back later', async () => {
  const name = etcd.name('queue');
  const late: (() => ReturnType<Store['commit']>)[] = [];
  let isStuck = true;
  const bring: Parameters<typeof connectWith>[1] = (commit) => {
    if (!isStuck) return commit();
    late.push(commit);
    return Promise.reject(noAnswer());
  };
  const keepers = (count: number): Promise<void> =>
    vi.waitFor(
      async () => expect(await etcd.count(`queue/${name}/keepers/`)).toBe(count),
      patience,
    );
  const first = await connectWith(name, bring);
  first
    .queue<number>(name)
    .consume(() => {})
    .pause();
  await keepers(1);
  const second = (await connectWith(name, bring)).queue<number>(name);
  second.consume(() => {}).pause();
  await keepers(2);
  for (let i = 0; i < 10; i += 1) await second.put(i, { delay: 10 });
  await vi.waitFor(() => expect(late.length).toBeGreaterThan(0), patience);
  const ofFirst = [...late];
  await first.close(0);
  for (const commit of ofFirst) await commit();
  expect(await etcd.count(`queue/${name}/delayed/`)).toBe(10);
  isStuck = false;
  await vi.waitFor(async () => expect(await etcd.count(`queue/${name}/ready/`)).toBe(10), patience);
  // What was sent before may arrive still, where jobs of these names wait again.
  for (let i = 0; i < 10; i += 1) await (await second.next()).nack({ delay: 60_000 });
  for (const commit of late) await commit();
  expect(await etcd.count(`queue/${name}/ready/`)).toBe(0);
  expect(await etcd.count(`queue/${name}/delayed/`)).toBe(10);
});

it('a job that is deleted while it is brought back does not come back', async () => {
  const name = etcd.name('queue');
  let brought = 0;
  const coordinator = await connectWith(name, async (commit) => {
    await etcd.admin.commit({ success: [{ delete: prefixRange(`queue/${name}/delayed/`) }] });
    brought += 1;
    return commit();
  });
  const jobs = coordinator.queue<number>(name);
  jobs.consume(() => {}).pause();
  await jobs.put(1, { delay: 10 });
  await vi.waitFor(() => expect(brought).toBe(1), patience);
  await jobs.put(2);
  expect((await jobs.next()).value).toBe(2);
  expect(await etcd.count(`queue/${name}/aliases/`)).toBe(0);
});

it('a keeper that is cut off is followed by another, and nothing comes twice (redisson#1754, #4088, #5575, #6371)', async () => {
  const name = etcd.name('queue');
  const proxy = await etcd.startProxy();
  const session = { ttl: 2_000 };
  const done: number[] = [];
  const cut = await etcd.connect({ endpoints: [proxy.endpoint], session });
  work(cut.queue<number>(name), done);
  await vi.waitFor(
    async () => expect(await etcd.count(`queue/${name}/keepers/`)).toBe(1),
    patience,
  );
  const others = (await etcd.connect()).queue<number>(name);
  work(others, done);
  await others.putMany(
    Array.from({ length: 20 }, (_, i) => i),
    { delay: 500 },
  );
  proxy.blackhole();
  await vi.waitFor(() => expect(done.length).toBe(20), patience);
  proxy.heal();
  await allDone(name, done, 20);
});

it('each tick has its job once, though replies are lost', async () => {
  const name = etcd.name('queue');
  const random = randomFrom(11);
  const ticks: number[] = [];
  for (const losses of [{ replies: 0.4 }, { replies: 0.2, requests: 0.2 }]) {
    const jobs = (await connectLossy(etcd, random, losses)).queue<string>(name);
    jobs.consume((job) => void ticks.push((job.repeat?.tick.getTime() ?? 0) / 1_000));
    await jobs.repeat('every second', '* * * * * *', 'tick', { catchUp: 'all' });
  }
  await vi.waitFor(() => expect(ticks.length).toBeGreaterThan(4), patience);
  const first = ticks[0] as number;
  expect(ticks.toSorted((a, b) => a - b)).toEqual(ticks.map((_, i) => first + i));
});
