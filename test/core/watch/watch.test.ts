import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { prefixRange } from '../../../src/core/store/keys.js';
import { FaultProxy } from '../../../src/embed/index.js';
import {
  Etcd3Store,
  type KeyRange,
  type Store,
  type TxnReply,
  type Watch,
  type WatchOptions,
} from '../../../src/index.js';
import { waitFor } from '../../../src/testing/wait-for.js';
import { compact, useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();
/** gRPC may take 20 s to give up a connection that was cut off while it was being made. */
const patience = { timeout: 60_000, interval: 10 };

interface Recording {
  readonly watch: Watch;
  readonly seen: string[];
  readonly gaps: bigint[];
  readonly closed: Error[];
}

function record(store: Store, range: KeyRange, options?: WatchOptions): Recording {
  const seen: string[] = [];
  const gaps: bigint[] = [];
  const closed: Error[] = [];
  const watch = store.watch(
    range,
    {
      events: (events) => {
        for (const { type, kv } of events) seen.push(`${type} ${kv.value.toString().slice(0, 8)}`);
      },
      gap: (revision) => gaps.push(revision),
      closed: (error) => closed.push(error),
    },
    options,
  );
  return { watch, seen, gaps, closed };
}

const put = async (key: string, value: string): Promise<bigint> =>
  (await etcd.admin.commit({ success: [{ put: { key, value } }] })).revision;
const remove = (key: string): Promise<TxnReply> =>
  etcd.admin.commit({ success: [{ delete: { key } }] });
const connectThroughProxy = async (): Promise<[FaultProxy, Etcd3Store]> => {
  const proxy = await FaultProxy.start(etcd.endpoint);
  const store = new Etcd3Store({ endpoints: [proxy.endpoint] });
  etcd.defer(() => proxy.close());
  etcd.defer(() => store.close());
  return [proxy, store];
};
const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `put ${from + i}`);

describe('a watch', () => {
  it('is shared by all who watch the same, each from where it came in', async () => {
    const key = etcd.name();
    const first = record(etcd.admin, { key });
    await first.watch.ready;
    await put(key, 'early');
    await vi.waitFor(() => expect(first.seen).toEqual(['put early']), patience);
    const second = record(etcd.admin, { key });
    expect(second.watch.since).toBeDefined();
    const from = await put(key, 'late');
    await vi.waitFor(() => expect(second.seen).toEqual(['put late']), patience);
    expect(first.seen).toEqual(['put early', 'put late']);
    expect(second.watch.since).toBeLessThanOrEqual(from);
    first.watch.close();
    await put(key, 'last');
    await vi.waitFor(() => expect(second.seen).toEqual(['put late', 'put last']), patience);
    expect(first.seen.length).toBe(2);
    second.watch.close();
  });

  it('loses and repeats nothing when its connection is cut again and again', {
    timeout: 180_000,
  }, async () => {
    const key = etcd.name();
    const [proxy, store] = await connectThroughProxy();
    const { watch, seen, gaps } = record(store, { key });
    await watch.ready;
    let written = 0;
    for (let cut = 0; cut < 5; cut += 1) {
      for (let i = 0; i < 25; i += 1) await put(key, `${written++}`);
      proxy.cut();
      for (let i = 0; i < 25; i += 1) await put(key, `${written++}`);
      proxy.heal();
      await vi.waitFor(() => expect(seen.length).toBeGreaterThan(cut * 50 + 10), patience);
    }
    await vi.waitFor(() => expect(seen.length).toBe(250), patience);
    expect(seen).toEqual(numbers(0, 250));
    expect(gaps).toEqual([]);
  });

  it('tells of a gap when what it missed is compacted, and goes on behind it', async () => {
    const key = etcd.name();
    const [proxy, store] = await connectThroughProxy();
    const { watch, seen, gaps } = record(store, { key });
    await watch.ready;
    proxy.cut();
    await put(key, 'missed');
    const last = await put(key, 'missed too');
    await compact(etcd.endpoint, etcd.admin);
    proxy.heal();
    await vi.waitFor(() => expect(gaps.length).toBe(1), patience);
    expect(gaps[0]).toBeGreaterThanOrEqual(last);
    await put(key, 'after');
    await vi.waitFor(() => expect(seen).toEqual(['put after']), patience);
  });

  describe('tells of a deletion, or of a gap, where history was compacted up to just that', () => {
    const deleteAndCompact = async (key: string, from: bigint): Promise<void> => {
      expect(await remove(key)).toMatchObject({ revision: from });
      await compact(etcd.endpoint, etcd.admin);
    };
    const isTold = ({ seen, gaps }: Recording): Promise<void> =>
      vi.waitFor(() => expect([...seen, ...gaps].length).toBe(1), patience);

    it.each([false, true])('when it is set (by who knows of it: %s)', async (isKnown) => {
      const key = etcd.name();
      const store = etcd.open({});
      const from = (await put(key, 'there')) + 1n;
      await deleteAndCompact(key, from);
      if (isKnown) await store.read({ key });
      await isTold(record(store, { key }, { from }));
    });

    it.each([false, true])('when it is resumed (after it stood: %s)', async (stood) => {
      const key = etcd.name();
      const [proxy, store] = await connectThroughProxy();
      const from = (await put(key, 'there')) + 1n;
      if (!stood) proxy.cut();
      const recording = record(store, { key }, { from });
      if (stood) await recording.watch.ready;
      proxy.cut();
      await deleteAndCompact(key, from);
      proxy.heal();
      await isTold(recording);
    });
  });

  it('tells of no gap who asked for what was yet to come, and shares a watch with others', async () => {
    const key = etcd.name();
    const [proxy, store] = await connectThroughProxy();
    const early = record(store, { key });
    await early.watch.ready;
    const late = record(store, { key }, { from: (await put(key, 'first')) + 50n });
    await late.watch.ready;
    proxy.cut();
    await put(key, 'missed');
    await compact(etcd.endpoint, etcd.admin);
    proxy.heal();
    await vi.waitFor(() => expect(early.gaps.length).toBe(1), patience);
    for (let i = 0; i < 60; i += 1) await put(key, `${i}`);
    await vi.waitFor(() => expect(late.seen.at(-1)).toBe('put 59'), patience);
    expect([late.gaps, late.seen.length < 59]).toEqual([[], true]);
  });

  it('moves to another member when its own falls silent', async () => {
    const key = etcd.name();
    const proxy = await FaultProxy.start(etcd.endpoint);
    const store = new Etcd3Store({ endpoints: [proxy.endpoint, etcd.endpoint] });
    etcd.defer(() => proxy.close());
    etcd.defer(() => store.close());
    const { watch, seen } = record(store, { key });
    await watch.ready;
    proxy.blackhole();
    await put(key, 'in the dark');
    // Nobody calls: the watch itself must find out.
    await vi.waitFor(() => expect(seen).toEqual(['put in the d']), patience);
  });

  it.each([undefined, 4_000_000])(
    'delivers more than a message may hold (limit: %s)',
    async (maxReceiveBytes) => {
      const key = etcd.name();
      const store = etcd.open(maxReceiveBytes === undefined ? {} : { maxReceiveBytes });
      const from = await put(`${key}/0`, 'x'.repeat(1_000_000));
      for (let i = 1; i < 8; i += 1) await put(`${key}/${i}`, 'x'.repeat(1_000_000));
      const { seen, closed } = record(store, prefixRange(key), { from });
      await vi.waitFor(() => expect(seen.length).toBe(8), patience);
      expect(closed).toEqual([]);
      for (let i = 0; i < 8; i += 1) await remove(`${key}/${i}`);
    },
  );
});

it('does not wait long for a connection that is never answered', async () => {
  const { hostname, port } = new URL(etcd.endpoint);
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => {});
    if (connections === 1) socket.resume();
    else pipeline(socket, connect(Number(port), hostname), socket, () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  etcd.defer(() => server.close());
  const store = etcd.open({
    endpoints: [`127.0.0.1:${(server.address() as AddressInfo).port}`],
    attemptTimeout: 300,
  });
  const { watch } = record(store, { key: etcd.name() });
  // gRPC would take 20 s.
  await waitFor(() => watch.since !== undefined, { timeout: 8_000 });
  expect(connections).toBeGreaterThan(1);
});

it('keeps its stream while nothing happens, on a watch of the future too', {
  timeout: 180_000,
}, async () => {
  // An etcd of its own: on the shared one something always happens.
  const endpoint = await etcd.startOwn();
  const [first, second] = [await FaultProxy.start(endpoint), await FaultProxy.start(endpoint)];
  etcd.defer(() => Promise.all([first.close(), second.close()]));
  const store = new Etcd3Store({ endpoints: [first.endpoint, second.endpoint] });
  etcd.defer(() => store.close());
  const { revision } = await store.read({ key: 'x' });
  const { watch, seen } = record(store, { key: 'x' }, { from: revision + 1n });
  await watch.ready;
  const { connections } = first;
  // It is asked whether it lives after 3 s, and has 0.5 s to answer.
  await delay(4_000);
  expect([first.connections, second.connections]).toEqual([connections, 0]);
  await store.commit({ success: [{ put: { key: 'x', value: '1' } }] });
  await vi.waitFor(() => expect(seen).toEqual(['put 1']), patience);
});
