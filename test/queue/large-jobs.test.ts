import { expect, it, vi } from 'vitest';
import { LimitError, type Queue } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const patience = { timeout: 60_000 };
const large = 'x'.repeat(900_000);

async function queue(): Promise<Queue<string>> {
  return (await etcd.connect()).queue<string>(etcd.name('queue'));
}

it("large jobs are dropped after their time, and in nobody's way", {
  timeout: 180_000,
}, async () => {
  const jobs = await queue();
  const errors: unknown[] = [];
  jobs.on('error', ({ error }) => errors.push(error));
  for (let i = 0; i < 5; i += 1) await jobs.put(large, { ttl: 10 });
  await jobs.pause();
  const stop = new AbortController();
  const next = jobs.next({ signal: stop.signal });
  await vi.waitFor(async () => expect((await jobs.stats()).dead).toBe(5), patience);
  expect(errors).toEqual([]);
  stop.abort();
  await expect(next).rejects.toThrow();
});

it('large dead letters are put again by their names, however many', {
  timeout: 180_000,
}, async () => {
  const jobs = await queue();
  const puts = await jobs.putMany(Array.from({ length: 6 }, () => large));
  for (const { id } of puts) await jobs.cancel(id, { keep: true });
  expect(await jobs.deadLetters.redrive(puts.map(({ id }) => id))).toBe(6);
  await jobs.clear();
});

it('what is repeated is not too large to be put with the record of its tick', async () => {
  const jobs = await queue();
  await expect(jobs.repeat('a', '* * * * *', large)).rejects.toThrow(LimitError);
});

it('large jobs come after their delay, however small the replies are that are taken', {
  timeout: 180_000,
}, async () => {
  const producer = await queue();
  for (let i = 0; i < 8; i += 1) await producer.put(large, { delay: 10 });
  const coordinator = await etcd.connect({ maxReceiveBytes: 4 * 2 ** 20 });
  const jobs = coordinator.queue<string>(producer.name);
  const errors: unknown[] = [];
  jobs.on('error', ({ error }) => errors.push(error));
  expect(await jobs.next(patience)).toMatchObject({ attempt: 1 });
  expect(errors).toEqual([]);
});

it('jobs that have grown since they were put, by what is told of their failures, are dropped after their time', {
  timeout: 180_000,
}, async () => {
  const many = 40;
  const jobs = await queue();
  const errors: unknown[] = [];
  jobs.on('error', ({ error }) => errors.push(error));
  const value = 'x'.repeat(24_000);
  await jobs.putMany(Array<string>(many).fill(value), { ttl: 8_000 });
  for (let given = 0; given < many; ) {
    const some = await jobs.nextMany(many - given, patience);
    await Promise.all(some.map((job) => job.nack({ reason: 'y'.repeat(20_000), delay: 0 })));
    given += some.length;
  }
  await jobs.pause();
  const stop = new AbortController();
  const next = jobs.next({ signal: stop.signal });
  await vi.waitFor(async () => expect((await jobs.stats()).dead).toBe(many), patience);
  expect(errors).toEqual([]);
  stop.abort();
  await expect(next).rejects.toThrow();
});
