import { getEventListeners } from 'node:events';
import { expect, it, vi } from 'vitest';
import type { Coordinator, JobEvent, Queue } from '../../src/index.js';
import { collected } from '../support/collected.js';
import { compact, useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const patience = { timeout: 60_000 };

it('a watch that is closed is kept by nobody: not by the signal that could have ended it', async () => {
  const jobs = (await etcd.connect()).queue<number>(etcd.name('queue'));
  const { signal } = new AbortController();
  const make = async (): Promise<WeakRef<object>> => {
    const watch = jobs.watch({ signal });
    await watch.ready;
    watch.close();
    return new WeakRef(watch);
  };
  const left = await make();
  expect(await collected(() => !left.deref())).toBe(true);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

interface Gap {
  readonly what: string;
  /** What the job has come to when the watch goes on. */
  readonly state: string;
  readonly told: string;
  /** Before the watch begins. */
  readonly before?: (jobs: Queue<number>) => Promise<unknown>;
  /** While it hears nothing. */
  readonly meanwhile: (jobs: Queue<number>, id: string, other: Coordinator) => Promise<unknown>;
}

const taken = new Map<string, Awaited<ReturnType<Queue<number>['next']>>>();
const take = async (jobs: Queue<number>): Promise<void> => {
  taken.set(jobs.name, await jobs.next());
};

it.each<Gap>([
  {
    what: 'waits at another place',
    state: 'ready',
    told: 'returned',
    meanwhile: async (jobs, id) => {
      await (await jobs.next()).deadLetter('bad');
      await jobs.deadLetters.redrive([id]);
    },
  },
  {
    what: 'is delayed',
    state: 'delayed',
    told: 'delayed',
    meanwhile: async (jobs, id) => {
      await (await jobs.next()).nack({ delay: 600_000 });
      const keeper = jobs.consume(() => {});
      await vi.waitFor(async () => expect((await jobs.get(id))?.due).toBeDefined(), patience);
      await keeper.close();
    },
  },
  {
    what: 'is worked on by somebody else',
    state: 'claimed',
    told: 'claimed',
    before: take,
    meanwhile: async (jobs, _, other) => {
      await taken.get(jobs.name)?.release();
      await other.queue<number>(jobs.name).next();
    },
  },
])('a watch tells that a job $what, where etcd has forgotten the rest', async (gap) => {
  const own = await etcd.startOwn();
  const proxy = await etcd.startProxy(own);
  const far = await etcd.connect({ endpoints: [proxy.endpoint] });
  const [near, other] = [
    await etcd.connect({ endpoints: [own] }),
    await etcd.connect({ endpoints: [own] }),
  ];
  const jobs = near.queue<number>(etcd.name());
  const { id } = await jobs.put(1);
  await gap.before?.(jobs);
  const told: JobEvent[] = [];
  const watch = far.queue<number>(jobs.name).watch();
  void (async () => {
    for await (const event of watch) told.push(event);
  })().catch(() => {});
  await watch.ready;
  // So that it has heard of something.
  await jobs.put(2, { delay: 600_000 });
  await vi.waitFor(() => expect(told).toHaveLength(1), patience);
  proxy.cut();
  await gap.meanwhile(jobs, id, other);
  const { id: last } = await jobs.put(3, { priority: 9 });
  expect((await jobs.get(id))?.state).toBe(gap.state);
  await compact(own, near.session.store);
  proxy.heal();
  await vi.waitFor(() => expect(told.map((event) => event.id)).toContain(last), patience);
  expect(told.filter((event) => event.id === id).map(({ type }) => type)).toEqual([gap.told]);
});
