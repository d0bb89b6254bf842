import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { ensureEtcd } from '../../../scripts/get-etcd.js';
import { type EmbeddedEtcd, start } from '../../../src/embed/index.js';
import type { Init } from '../../../src/embed/server/wire/codec.js';
import type { KeyValue } from '../../../src/embed/server/wire/common.js';
import type { WatchRequest, WatchResponse } from '../../../src/embed/server/wire/watch.js';
import { RawClient } from '../../support/raw-client.js';

// Each was a difference between etcd and the in-process server once; the first must go on like this, too.

const COMPACTED = 'etcdserver: mvcc: required revision has been compacted';

interface Etcd {
  readonly name: string;
  start(): Promise<EmbeddedEtcd>;
}

const etcds: readonly Etcd[] = [
  {
    name: 'etcd',
    async start() {
      const { etcd } = await ensureEtcd('newest');
      return start({ engine: 'etcd', binary: etcd, unsafeNoFsync: true });
    },
  },
  { name: 'the in-process server', start: () => start() },
];

describe.each(etcds)('$name', (engine) => {
  let server: EmbeddedEtcd;
  let client: RawClient;

  beforeAll(async () => {
    server = await engine.start();
    client = new RawClient(server.endpoints[0] ?? '');
  });

  afterAll(async () => {
    client.close();
    await server.stop();
  });

  async function put(key: string, value = ''): Promise<number> {
    const { header } = await client.call('KV.Put', { key, value });
    return header?.revision ?? 0;
  }

  async function compactAll(): Promise<number> {
    const revision = await put('compacted');
    await client.call('KV.Compact', { revision, physical: true });
    return revision;
  }

  function watch(): {
    send(request: Init<WatchRequest>): void;
    /** Waits until so many messages came, and gives all. */
    messages(count: number): Promise<readonly WatchResponse[]>;
  } {
    const stream = client.open('Watch.Watch');
    const received: WatchResponse[] = [];
    stream.listen(
      (response) => received.push(response),
      () => {},
    );
    onTestFinished(() => stream.close());
    return {
      send: (request) => stream.send(request),
      messages: (count) =>
        vi.waitFor(() => {
          expect(received.length).toBeGreaterThanOrEqual(count);
          return received;
        }, 5000),
    };
  }

  describe('reads', () => {
    it('gives no lease with keys only, unless values are what they are ordered by', async () => {
      await client.call('Lease.LeaseGrant', { id: 11n, ttl: 1000 });
      await client.call('KV.Put', { key: 'leased', value: 'x', lease: 11n });
      const read = async (sortTarget: number): Promise<readonly KeyValue[]> =>
        (await client.call('KV.Range', { key: 'leased', keysOnly: true, sortTarget })).kvs;
      expect(await read(0)).toMatchObject([{ value: '', lease: 0n }]);
      expect(await read(2)).toMatchObject([{ value: '', lease: 0n }]);
      expect(await read(4)).toMatchObject([{ value: '', lease: 11n }]);
    });

    it('takes a revision below 0 for the present, but not within a transaction', async () => {
      await compactAll();
      const range = { key: 'compacted', revision: -5 };
      expect(await client.call('KV.Range', range)).toMatchObject({ count: 1 });
      await expect(client.call('KV.Txn', { success: [{ range }] })).rejects.toMatchObject({
        details: COMPACTED,
      });
    });
  });

  describe('reads as a stream', () => {
    it('are refused for what any read is before they are for what a stream cannot do', async () => {
      await expect(client.rangeStream({ sortOrder: 1, sortTarget: 1 })).rejects.toMatchObject({
        details: 'etcdserver: key is not provided',
      });
      await expect(client.rangeStream({ key: 'key', sortOrder: 3 })).rejects.toMatchObject({
        details: 'etcdserver: invalid sort option',
      });
      await expect(client.rangeStream({ key: 'key', sortOrder: 2 })).rejects.toMatchObject({
        details: 'RangeStream does not support custom sort orders',
      });
    });
  });

  describe('transactions', () => {
    it('takes a comparison of something that it does not know for equal', async () => {
      const compare = { key: 'compared', target: 9, version: 5 };
      const holds = async (result: number): Promise<boolean> =>
        (await client.call('KV.Txn', { compare: [{ ...compare, result }] })).succeeded;
      expect(await Promise.all([0, 1, 2, 3].map(holds))).toEqual([true, false, false, false]);
    });

    it('takes what came last of what excludes each other', async () => {
      await put('both', 'x');
      const compare = [{ key: 'both', target: 0, version: 1, value: 'x' }];
      expect(await client.call('KV.Txn', { compare })).toMatchObject({ succeeded: false });
      const success = [{ range: { key: 'both' }, put: { key: 'both', value: 'y' } }];
      const { responses } = await client.call('KV.Txn', { success });
      expect(responses).toMatchObject([{ range: undefined, put: {} }]);
    });
  });

  describe('requests that are too large', () => {
    const large = 'v'.repeat(1_600_000);

    it('are refused for what else is wrong with them first', async () => {
      const twice = { key: 'twice' };
      await expect(client.call('KV.Put', { value: large })).rejects.toMatchObject({
        details: 'etcdserver: key is not provided',
      });
      const compare = [{ key: 'twice', target: 3, value: large }];
      const success = [{ put: twice }, { put: twice }];
      await expect(client.call('KV.Txn', { compare, success })).rejects.toMatchObject({
        details: 'etcdserver: duplicate key given in txn request',
      });
    });

    it('are answered if they only read', async () => {
      const compare = [{ key: 'key', target: 3, value: large }];
      const failure = [{ range: { key: 'key' } }];
      expect(await client.call('KV.Txn', { compare, failure })).toMatchObject({
        responses: [{ range: {} }],
      });
    });
  });

  describe('watches', () => {
    it('are canceled by a compaction without a revision', async () => {
      await put('old');
      const compactRevision = await compactAll();
      const stream = watch();
      stream.send({ create: { key: 'old', startRevision: compactRevision - 1 } });
      const [, canceled] = await stream.messages(2);
      expect(canceled).toMatchObject({ canceled: true, compactRevision, header: { revision: 0 } });
    });

    it('keep their ID when a compaction canceled them, until the client cancels them too', async () => {
      await put('old');
      const revision = await compactAll();
      const stream = watch();
      stream.send({ create: { key: 'old', startRevision: revision - 1, watchId: 5n } });
      await stream.messages(2);
      stream.send({ create: { key: 'old', watchId: 5n } });
      const duplicate = { watchId: -1n, created: true, canceled: true };
      expect((await stream.messages(3))[2]).toMatchObject(duplicate);
      stream.send({ cancel: { watchId: 5n } });
      expect((await stream.messages(4))[3]).toMatchObject({ watchId: 5n, canceled: true });
      stream.send({ create: { key: 'old', watchId: 5n } });
      expect((await stream.messages(5))[4]).toMatchObject({ watchId: 5n, canceled: false });
    });

    it('tell no progress beside one that a compaction canceled', async () => {
      await put('old');
      const revision = await compactAll();
      const stream = watch();
      stream.send({ create: { key: 'new' } });
      stream.send({ create: { key: 'old', startRevision: revision - 1 } });
      await stream.messages(3);
      stream.send({ progress: {} });
      stream.send({ cancel: { watchId: 1n } });
      expect((await stream.messages(4))[3]).toMatchObject({ watchId: 1n, canceled: true });
      stream.send({ progress: {} });
      expect((await stream.messages(5))[4]).toMatchObject({ watchId: -1n, header: { revision } });
    });

    it('tell progress although nothing happened since they began', async () => {
      const revision = await put('quiet');
      const stream = watch();
      stream.send({ create: { key: 'quiet' } });
      await stream.messages(1);
      stream.send({ progress: {} });
      expect((await stream.messages(2))[1]).toMatchObject({ watchId: -1n, header: { revision } });
    });

    it('are refused for a negative revision before they are for an empty range', async () => {
      const stream = watch();
      stream.send({ create: { key: 'b', rangeEnd: 'a', startRevision: -1 } });
      stream.send({ create: { key: 'b', rangeEnd: 'a' } });
      expect(await stream.messages(2)).toMatchObject([
        { cancelReason: COMPACTED },
        { cancelReason: 'mvcc: watcher range is empty' },
      ]);
    });

    it('get as many events in a fragment as fit', async () => {
      const startRevision = await put('fragment/1', 'v'.repeat(900_000));
      await put('fragment/2', 'v'.repeat(900_000));
      await put('fragment/3', 'v'.repeat(900_000));
      const stream = watch();
      stream.send({
        create: { key: 'fragment/', rangeEnd: 'fragment0', startRevision, fragment: true },
      });
      const [, first, last] = await stream.messages(3);
      expect(first).toMatchObject({ fragment: true, events: [{}, {}] });
      expect(last).toMatchObject({ fragment: false, events: [{}] });
    });
  });
});

// The real etcd does not survive these: what it is asked for is in its log, so that it dies again at every start.
describe('the in-process server, unlike etcd', () => {
  it('refuses to keep the value of a key that the same transaction deletes', async () => {
    await using server = await start();
    const client = new RawClient(server.endpoints[0] ?? '');
    onTestFinished(() => client.close());
    await client.call('KV.Put', { key: 'key', value: 'x' });
    const success = [
      { deleteRange: { key: 'key', rangeEnd: '\0' } },
      { put: { key: 'key', ignoreValue: true } },
    ];
    await expect(client.call('KV.Txn', { success })).rejects.toMatchObject({
      details: 'etcdserver: key not found',
    });
    expect(await client.call('KV.Range', { key: 'key' })).toMatchObject({
      count: 1,
      header: { revision: 2 },
    });
  });

  it('reads a key after compaction to the transaction that deleted and put it', async () => {
    await using server = await start();
    const client = new RawClient(server.endpoints[0] ?? '');
    onTestFinished(() => client.close());
    await client.call('KV.Put', { key: 'key', value: 'x' });
    const success = [
      { deleteRange: { key: 'key', rangeEnd: '\0' } },
      { put: { key: 'key', value: 'y' } },
    ];
    await client.call('KV.Txn', { success });
    await client.call('KV.Compact', { revision: 3, physical: true });
    expect(await client.call('KV.Range', { key: 'key' })).toMatchObject({
      kvs: [{ value: 'y', createRevision: 3, modRevision: 3, version: 1 }],
    });
  });
});
