import { expect, it, vi } from 'vitest';
import { type Coordinator, isCoordinationError } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { connectLossy } from '../support/lossy.js';
import { randomFrom } from '../support/random.js';

const etcd = useEtcd();
const keys = ['a', 'b', 'c'];
const each = 30;

it('jobs with order keys are done in order by many takers, of whom some die, and whose replies are lost', async () => {
  const name = etcd.name('queue');
  const random = randomFrom(5);
  const losses = { replies: 0.03, requests: 0.03 };
  const processes: Coordinator[] = [];
  for (let i = 0; i < 3; i += 1) processes.push(await connectLossy(etcd, random, losses));
  /** What was acknowledged, by key: a handler may run again whose acknowledgement found that it was too late. */
  const done = new Map(keys.map((key) => [key, [] as number[]]));
  const producer = (await etcd.connect()).queue<number>(name);
  const consumers = processes.map((process) => {
    const consumer = process.queue<number>(name, { attempts: 1_000 }).consume(
      async (job) => {
        if (random() < 0.1) await job.nack({ delay: random() < 0.5 ? 0 : 30 });
      },
      { concurrency: 4 },
    );
    consumer.on('error', () => {});
    return consumer;
  });
  const told = new Set<string>();
  const stop = new AbortController();
  const watching = (async () => {
    for await (const { type, id } of producer.watch({ signal: stop.signal })) {
      if (type !== 'done' || told.has(id)) continue;
      told.add(id);
      const [, number = '', key = ''] = /-([0-9a-f]{8})-[0-9a-f]+@(\w)$/.exec(id) ?? [];
      done.get(key)?.push(Number.parseInt(number, 16));
    }
  })().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  for (let i = 0; i < each; i += 1) {
    for (const key of keys) await producer.put(i, { orderKey: key });
    if (i % 10 === 5) {
      const lost = processes[i % 3] as Coordinator;
      await etcd.admin.revoke(lost.session.id).catch((error: unknown) => {
        if (!isCoordinationError(error)) throw error;
      });
    }
  }
  await vi.waitFor(() => expect(told.size).toBe(keys.length * each), { timeout: 25_000 });
  stop.abort();
  await watching;
  await Promise.all(consumers.map((consumer) => consumer.close()));
  for (const numbers of done.values()) {
    expect(numbers.length).toBe(each);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  }
}, 40_000);
