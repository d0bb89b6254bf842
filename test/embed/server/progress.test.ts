import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type InProcessEtcd, start, VirtualClock } from '../../../src/embed/index.js';
import type { WatchResponse } from '../../../src/embed/server/wire/watch.js';
import { RawClient } from '../../support/raw-client.js';

const patience = { timeout: 60_000, interval: 5 };

let etcd: InProcessEtcd;
let client: RawClient;
beforeEach(async () => {
  etcd = await start({ clock: new VirtualClock(), watchProgressInterval: 1_000 });
  client = new RawClient(etcd.endpoints[0] ?? '');
});
afterEach(async () => {
  client.close();
  await etcd.stop();
});

it('tells idle watches that asked for it how far they are, and no others', async () => {
  const replies: WatchResponse[] = [];
  const stream = client.open('Watch.Watch');
  stream.listen(
    (reply) => replies.push(reply),
    () => {},
  );
  stream.send({ create: { key: 'idle', watchId: 1n, progressNotify: true } });
  stream.send({ create: { key: 'busy', watchId: 2n, progressNotify: true } });
  stream.send({ create: { key: 'silent', watchId: 3n } });
  stream.send({ create: { key: 'later', watchId: 4n, progressNotify: true, startRevision: 100 } });
  const come = (n: number): Promise<void> =>
    vi.waitFor(() => expect(replies.length).toBe(n), patience);
  await come(4);
  const told = (): unknown[] =>
    replies.splice(0).map(({ watchId, events, header }) => {
      return [watchId, events.length, header?.revision];
    });
  told();

  await client.call('KV.Put', { key: 'busy' });
  await come(1);
  await etcd.advance(1_000);
  await come(2);
  expect(told()).toEqual([
    [2n, 1, 2],
    [1n, 0, 2],
  ]);

  await etcd.advance(999);
  await etcd.advance(1);
  await come(2);
  expect(told()).toEqual([
    [1n, 0, 2],
    [2n, 0, 2],
  ]);

  stream.send({ cancel: { watchId: 1n } });
  await come(1);
  told();
  await etcd.advance(1_000);
  await come(1);
  expect(told()).toEqual([[2n, 0, 2]]);
  stream.close();
});
