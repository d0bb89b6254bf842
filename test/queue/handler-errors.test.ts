import { expect, it, vi } from 'vitest';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

it.each([
  ['an error whose message is no text', () => Object.assign(new Error(), { message: { code: 5 } })],
  ['an object without a prototype', () => Object.create(null) as object],
  ['an error whose message is cut within a character', () => new Error(`${'x'.repeat(999)}😀`)],
  ['an error whose message ends with half a character', () => new Error('cut: \ud83d')],
])('a consumer gives back a job whose handler throws %s', async (_, make) => {
  const jobs = (await etcd.connect()).queue<number>(etcd.name('queue'), {
    attempts: 2,
    backoff: { type: 'fixed', delay: 10 },
  });
  const told: unknown[] = [];
  const consumer = jobs.consume(() => {
    throw make();
  });
  consumer.on('failed', ({ job }) => told.push(['failed', job.attempt]));
  consumer.on('lost', ({ job }) => told.push(['lost', job.attempt]));
  await jobs.put(1);
  await vi.waitFor(async () => expect((await jobs.stats()).dead).toBe(1), { timeout: 20_000 });
  await consumer.close();
  expect(told).toEqual([
    ['failed', 1],
    ['failed', 2],
  ]);
});
