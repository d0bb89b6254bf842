import { describe, expect, it } from 'vitest';
import { ArgumentError, type Coordinator, type Job, type Queue } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

async function queue<T = number>(options = {}, coordinator?: Coordinator): Promise<Queue<T>> {
  const process = coordinator ?? (await etcd.connect());
  return process.queue<T>(etcd.name('queue'), options);
}

describe('the stats of a queue', () => {
  it('count jobs by what they wait for', async () => {
    const jobs = await queue({ attempts: 1, keepResults: true });
    await jobs.putMany([1, 2, 3, 4, 5, 6]);
    await (await jobs.next()).ack();
    await (await jobs.next()).deadLetter('bad');
    await jobs.next();
    const later = await queue({ attempts: 2 });
    await later.put(1);
    await (await later.next()).nack({ delay: 60_000 });
    expect(await jobs.stats()).toMatchObject({
      depth: 4,
      ready: 3,
      claimed: 1,
      delayed: 0,
      dead: 1,
      done: 1,
      isPaused: false,
      isExact: true,
    });
    expect(await later.stats()).toMatchObject({ depth: 1, ready: 0, claimed: 0, delayed: 1 });
  });

  it('and the list tell of jobs that rest in their place, with what waits for them', async () => {
    const jobs = await queue({ attempts: 1, onExhausted: 'block' });
    const { id } = await jobs.put(1, { orderKey: 'a b' });
    await jobs.put(2, { orderKey: 'a b' });
    const resting = await jobs.put(3, { orderKey: 'c', attempts: 2 });
    const blocked = await jobs.next();
    await blocked.nack({ reason: 'no' });
    await (await jobs.next()).nack({ delay: 60_000 });
    const found = { depth: 3, ready: 1, claimed: 0, resting: 2, delayed: 0 };
    expect(await jobs.stats()).toMatchObject(found);
    const { jobs: listed } = await jobs.list('resting');
    expect(listed).toMatchObject([
      { id, blocks: 'a b' },
      { id: resting.id, state: 'resting' },
    ]);
    expect(listed[1]).not.toHaveProperty('blocks');
    expect((await jobs.list('ready')).jobs).toMatchObject([{ value: 2 }]);
    expect(await jobs.get(id)).toMatchObject({ state: 'resting' });
    expect(await jobs.cancel(resting.id)).toBe('resting');
  });

  it('tell how old the first is that waits, who takes jobs, and whether somebody may', async () => {
    const jobs = await queue();
    expect(await jobs.stats()).toMatchObject({ depth: 0, oldestAge: undefined, consumers: 0 });
    await jobs.putMany([1, 2]);
    await jobs.pause();
    const { oldestAge, isPaused } = await jobs.stats();
    expect(oldestAge).toBeGreaterThanOrEqual(0);
    expect(oldestAge).toBeLessThan(60_000);
    expect(isPaused).toBe(true);
    await jobs.resume();
    for await (const job of jobs) {
      await job.ack();
      if (job.value === 2) break;
    }
    const waiting = jobs.next({ timeout: 200 }).catch(() => {});
    await waiting;
    expect((await jobs.stats()).consumers).toBe(1);
  });

  it('are right where many jobs wait, though not all are looked at', async () => {
    const jobs = await queue();
    await jobs.putMany(Array.from({ length: 2_500 }, (_, i) => i));
    await Promise.all(Array.from({ length: 300 }, () => jobs.next()));
    const expected = { depth: 2_500, ready: 2_200, claimed: 300 };
    expect(await jobs.stats()).toMatchObject({ ...expected, isExact: false });
    expect(await jobs.stats({ exact: true })).toMatchObject({ ...expected, isExact: true });
  });

  it('tell by how much it grows', async () => {
    const jobs = await queue();
    await jobs.put(1);
    const looks = jobs.watchStats({ every: 20 });
    expect((await looks.next()).value).toMatchObject({ depth: 1, rates: undefined });
    await jobs.putMany([2, 3]);
    const { value } = await looks.next();
    expect(value?.depth).toBe(3);
    expect(value?.rates?.depth).toBeGreaterThan(0);
    await looks.return();
  });
});

describe('the list of a queue', () => {
  it('has jobs in each state', async () => {
    const jobs = await queue({ keepResults: true });
    await jobs.putMany([1, 2, 3, 4, 5]);
    const [a, b, c, d] = [
      await jobs.next(),
      await jobs.next(),
      await jobs.next(),
      await jobs.next(),
    ];
    await a.ack({ result: { fine: true } });
    await b.deadLetter('bad');
    await c.nack({ delay: 60_000, reason: 'busy' });
    await d.progress('half');
    const of = async (state: Parameters<typeof jobs.list>[0]) => (await jobs.list(state)).jobs;
    expect(await of('ready')).toMatchObject([
      { value: 5, state: 'ready', attempts: 0, priority: 5 },
    ]);
    expect(await of('claimed')).toMatchObject([
      { id: d.id, value: 4, attempts: 1, progress: 'half', claim: { token: d.token } },
    ]);
    expect((await of('claimed'))[0]?.claim?.owner?.pid).toBe(process.pid);
    expect(await of('delayed')).toMatchObject([
      { id: c.id, value: 3, history: [{ attempt: 1, reason: 'busy' }] },
    ]);
    expect(await of('dead')).toMatchObject([{ id: b.id, value: 2, reason: 'bad' }]);
    expect(await of('done')).toMatchObject([{ id: a.id, result: { fine: true } }]);
    for (const job of [a, b, c, d]) expect(await jobs.get(job.id)).toMatchObject({ id: job.id });
    expect(await jobs.get('5-none')).toBeUndefined();
  });

  it('comes in pages, each job once', async () => {
    const jobs = await queue();
    await jobs.putMany(Array.from({ length: 25 }, (_, i) => i));
    const taken: Job<number>[] = [];
    for (let i = 0; i < 5; i += 1) taken.push(await jobs.next());
    const found: (number | undefined)[] = [];
    const sizes: number[] = [];
    for (let after: string | undefined; ; ) {
      const page = await jobs.list('ready', { limit: 8, ...(after && { after }) });
      found.push(...page.jobs.map(({ value }) => value));
      sizes.push(page.jobs.length);
      after = page.next;
      if (!after) break;
    }
    expect(found).toEqual(Array.from({ length: 20 }, (_, i) => i + 5));
    expect(sizes).toEqual([8, 8, 4]);
    expect((await jobs.list('claimed', { limit: 5 })).next).toBeUndefined();
  });

  it('finds the few that are claimed among many', async () => {
    const jobs = await queue();
    await jobs.putMany(Array.from({ length: 5_000 }, (_, i) => i));
    const job = await jobs.next();
    const { jobs: claimed, next } = await jobs.list('claimed');
    expect(claimed.map(({ id }) => id)).toEqual([job.id]);
    expect(next).toBeUndefined();
    expect((await jobs.list('ready', { limit: 4_999 })).jobs.length).toBe(4_999);
  });

  it('shows what cannot be decoded', async () => {
    const process = await etcd.connect();
    const name = etcd.name('queue');
    const text = { encode: String, decode: (bytes: Uint8Array) => Buffer.from(bytes).toString() };
    await process.queue<string>(name, { codec: text }).put('no JSON');
    await etcd.admin.commit({
      success: [
        { put: { key: `queue/${name}/ready/5-0000000000000000-00000001-x`, value: 'none' } },
      ],
    });
    const { jobs } = await process.queue<number>(name).list('ready');
    expect(jobs).toMatchObject([
      { value: undefined, error: expect.objectContaining({ code: 'ERR_CONFLICT' }) },
      { value: undefined, error: expect.any(SyntaxError) },
    ]);
  });

  it('refuses what is no state, and no limit', async () => {
    const jobs = await queue();
    await expect(jobs.list('gone' as 'dead')).rejects.toThrow(ArgumentError);
    await expect(jobs.list('dead', { limit: 0 })).rejects.toThrow('limit');
    await expect(jobs.get('')).rejects.toThrow('id');
  });
});
