import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Queue, QueueOptions } from '../../src/index.js';
import { Admission } from '../../src/queue/admission.js';
import { QueueKeys } from '../../src/queue/queue-keys.js';
import { startTestEtcd, type TestEtcd } from '../../src/testing/index.js';
import { collected } from '../support/collected.js';

let etcd: TestEtcd;
beforeEach(async () => {
  etcd = await startTestEtcd({ time: 'virtual' });
});
afterEach(() => etcd.stop());

const keeping = (count: number): QueueOptions<number> => ({
  retention: { dead: { count } },
  attempts: 1,
});

it('keeps what a queue wants kept that takes no jobs now, and not what one did that nobody has any more', async () => {
  const process = await etcd.connect();
  const jobs = process.queue<number>('jobs', keeping(1));
  jobs.consume((job) => job.deadLetter('no'));
  const tried = async (count: number): Promise<Queue<number>> => {
    const other = process.queue<number>('jobs', keeping(count));
    await other.tryNext();
    return other;
  };
  const dead = async (): Promise<number> => (await jobs.list('dead')).jobs.length;
  const gone = new WeakRef(await tried(4));
  const there = await tried(2);
  expect(await collected(() => !gone.deref())).toBe(true);
  await jobs.putMany([1, 2, 3, 4, 5]);
  await etcd.advance(180_000);
  expect(await dead()).toBe(2);
  expect(await there.tryNext()).toBeUndefined();
});

it('leaves nothing of a limit that no queue has any more', async () => {
  const { session } = await etcd.connect();
  const limit = (): Admission => Admission.at(session, new QueueKeys('jobs'), 10);
  expect(limit()).toBe(limit());
  const gone = ((): WeakRef<Admission> => new WeakRef(limit()))();
  expect(await collected(() => !gone.deref())).toBe(true);
});
