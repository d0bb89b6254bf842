import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { deferred } from '../../src/core/time/deferred.js';
import { startTestEtcd, type TestEtcd, waitFor } from '../../src/testing/index.js';

let etcd: TestEtcd;
beforeEach(async () => {
  etcd = await startTestEtcd({ time: 'virtual' });
});
afterEach(() => etcd.stop());

it('jobs that have waited for long are claimed by who is nearest to them, like others', async () => {
  const name = etcd.name('queue');
  const claims = { won: 0, lost: 0 };
  const count = (note: unknown): void => {
    claims[(note as { readonly won: boolean }).won ? 'won' : 'lost'] += 1;
  };
  const coordinators = await Promise.all([1, 2, 3].map(() => etcd.connect()));
  const queues = coordinators.map((coordinator) => coordinator.queue<number>(name));
  const [queue] = queues as [(typeof queues)[0]];
  let turn = deferred<void>();
  const handler = (): Promise<void> => turn.promise;
  for (const each of queues) each.consume(handler, { concurrency: 4 });
  const consumers = async (): Promise<number> => (await queue.stats()).consumers;
  await waitFor(async () => (await consumers()) === queues.length);

  await queue.pause('to fill it');
  await queue.putMany(Array.from({ length: 200 }, (_, i) => i));
  await etcd.advance(5_000);
  subscribe('etcd-recipes:claim', count);
  await queue.resume();
  for (; claims.won < 200; turn = deferred()) {
    await etcd.advance(5);
    turn.resolve();
  }
  unsubscribe('etcd-recipes:claim', count);
  expect(claims.lost).toBeLessThan(20);
});
