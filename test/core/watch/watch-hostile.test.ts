import { status } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { FaultProxy } from '../../../src/embed/index.js';
import type { Init } from '../../../src/embed/server/wire/codec.js';
import type { WatchResponse } from '../../../src/embed/server/wire/watch.js';
import { ArgumentError, RefusedError, type WatchEvent } from '../../../src/index.js';
import { waitFor } from '../../../src/testing/wait-for.js';
import { useEtcd } from '../../support/etcd.js';
import { type Listening, listen } from '../../support/listen.js';
import {
  created,
  type OnCreate,
  puts,
  type ServedStream,
  startWatchServer,
} from '../../support/watch-server.js';

const etcd = useEtcd();

/** The ID under which a stream has its watch number `i`. */
const idOf = (stream: ServedStream | undefined, i = 0): bigint => stream?.creates[i]?.watchId ?? 0n;
const heard = ({ seen }: Listening, value: string): Promise<unknown> =>
  waitFor(() => seen.includes(value));

it('drops what comes twice or too late, and sorts what is out of order', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const listening = listen(etcd.open({ endpoints: [endpoint] }), 'k');
  await listening.watch.ready;
  const [stream] = streams as [ServedStream];
  const id = idOf(stream);
  stream.send(puts(id, 11, 12));
  stream.send(puts(id, 11, 12));
  stream.send(puts(id, 3, 13, 13));
  stream.send(puts(id, 16, 15, 14, 15));
  stream.send(puts(id, 14));
  stream.send(puts(id, 17));
  await heard(listening, '17');
  expect(listening.seen).toEqual(['11', '12', '13', '14', '15', '16', '17']);
});

it('cancels what it does not know', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const listening = listen(etcd.open({ endpoints: [endpoint] }), 'k');
  await listening.watch.ready;
  const [stream] = streams as [ServedStream];
  const id = idOf(stream);
  stream.send(puts(77n, 11));
  stream.send(puts(77n, 12));
  stream.send({ header: { revision: 12 }, watchId: 78n, canceled: true });
  stream.send(created(79n));
  stream.send({ header: { revision: 12 }, watchId: -1n });
  stream.send(puts(id, 12));
  await heard(listening, '12');
  expect(listening.seen).toEqual(['12']);
  await waitFor(() => stream.cancels.length > 0);
  expect(stream.cancels).toEqual(['77']);
  expect(streams.length).toBe(1);
});

const nonsense: Readonly<Record<string, (watchId: bigint) => Init<WatchResponse> | Buffer>> = {
  'bytes that are no message': () => Buffer.from([0xff, 0xff, 0xff]),
  'an event without a key': (watchId) => ({ watchId, events: [{ type: 0 }] }),
  'an event of no known type': (watchId) => ({
    watchId,
    events: [{ type: 7, kv: { modRevision: 20 } }],
  }),
  'a confirmation without a revision': (watchId) => ({ watchId, created: true }),
  'progress without a revision': (watchId) => ({ watchId }),
};

for (const [what, make] of Object.entries(nonsense)) {
  it(`begins anew, from where it was, after ${what}`, async () => {
    const { endpoint, streams } = await startWatchServer(etcd);
    const listening = listen(etcd.open({ endpoints: [endpoint] }), 'k');
    await listening.watch.ready;
    const id = idOf(streams[0]);
    streams[0]?.send(puts(id, 11));
    streams[0]?.send(make(id));
    await waitFor(() => streams[1]?.creates.length === 1);
    // From what is known already, so that a server that has forgotten what comes next says so.
    expect(streams[1]?.creates[0]?.startRevision).toBe(11);
    streams[1]?.send(puts(idOf(streams[1]), 11, 12));
    await heard(listening, '12');
    expect(listening.seen).toEqual(['11', '12']);
    expect(listening.closed).toEqual([]);
  });
}

it('resumes behind what it was told, by events or by notifications of progress, not by headers', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const store = etcd.open({ endpoints: [endpoint] });
  const [first, second] = [listen(store, 'k'), listen(store, 'other')];
  await Promise.all([first.watch.ready, second.watch.ready]);
  const [stream] = streams as [ServedStream];
  const id = idOf(stream);
  stream.send(puts(id, 11, 12));
  stream.send({ header: { revision: 50 }, watchId: idOf(stream, 1) });
  // Half a message counts for nothing.
  stream.send({ ...puts(id, 13), fragment: true });
  // Neither does what is about no watch in particular: early releases of etcd say it too soon.
  stream.send({ header: { revision: 60 }, watchId: -1n });
  await heard(first, '12');
  stream.fail({ code: status.UNAVAILABLE, details: 'gone' });
  await waitFor(() => streams[1]?.creates.length === 2);
  expect(streams[1]?.creates.map(({ startRevision }) => startRevision)).toEqual([12, 50]);
});

it('puts the fragments of a message together', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const batches: number[] = [];
  const watch = etcd
    .open({ endpoints: [endpoint] })
    .watch(
      { key: 'k' },
      { events: (events) => batches.push(events.length), gap() {}, closed() {} },
    );
  await watch.ready;
  const id = idOf(streams[0]);
  streams[0]?.send({ ...puts(id, 11, 12), fragment: true });
  streams[0]?.send({ ...puts(id, 13), fragment: true });
  streams[0]?.send(puts(id, 14));
  await waitFor(() => batches.length > 0);
  expect(batches).toEqual([4]);
});

it('asks for messages in parts only after one was too long', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const { watch, closed } = listen(etcd.open({ endpoints: [endpoint], maxReceiveBytes: 500 }), 'k');
  await watch.ready;
  streams[0]?.send(Buffer.alloc(501));
  await waitFor(() => streams[1]?.creates.length === 1);
  streams[1]?.fail({ code: status.UNAVAILABLE, details: 'gone' });
  await waitFor(() => streams[2]?.creates.length === 1);
  const inParts = streams.map(({ creates }) => creates[0]?.fragment);
  expect(inParts).toEqual([false, true, false]);
  expect(closed).toEqual([]);
});

it('asks the other way when a stream fell silent', async () => {
  const answerTheFourth: OnCreate = (stream, { watchId }, count) => {
    if (count === 4) stream.send(created(watchId));
  };
  const { endpoint, streams } = await startWatchServer(etcd, answerTheFourth, () => {}, true);
  const { watch } = listen(etcd.open({ endpoints: [endpoint], attemptTimeout: 50 }), 'k');
  await watch.ready;
  const inParts = streams.map(({ creates }) => creates[0]?.fragment);
  expect(inParts).toEqual([false, true, false, true]);
});

it('resumes from the very first revision, not at the present, where nothing was told yet', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const store = etcd.open({ endpoints: [endpoint] });
  const watch = store.watch({ key: 'k' }, { events() {}, gap() {}, closed() {} }, { from: 1n });
  await watch.ready;
  streams[0]?.fail({ code: status.UNAVAILABLE, details: 'gone' });
  await waitFor(() => streams[1]?.creates.length === 1);
  expect(streams[1]?.creates[0]?.startRevision).toBe(1);
});

it('asks for the past from one revision before, once more where etcd turns out to be past it', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const store = etcd.open({ endpoints: [endpoint] });
  const starts = (): unknown[] => (streams[0]?.creates ?? []).map((each) => each.startRevision);
  await listen(store, 'k', { from: 11n }).watch.ready;
  const late = listen(store, 'k', { from: 10n });
  await waitFor(() => starts().length === 3);
  streams[0]?.send(puts(idOf(streams[0], 2), 9, 10, 11));
  await heard(late, '11');
  await listen(store, 'k', { from: 7n }).watch.ready;
  expect(late.seen).toEqual(['10', '11']);
  expect(starts()).toEqual([11, 10, 9, 6]);
  expect(streams[0]?.cancels).toEqual([`${idOf(streams[0], 1)}`]);
});

it('asks once more where etcd does not say at first what was before', async () => {
  const updated = (watchId: bigint, revision: number, before?: number): Init<WatchResponse> => {
    const pair = (at: number) => ({ key: 'k', value: `${at}`, createRevision: 1, modRevision: at });
    const prevKv = before && { ...pair(before), version: 1 };
    const event = { type: 0, kv: { ...pair(revision), version: 2 }, ...(prevKv && { prevKv }) };
    return { header: { revision: 1_000 }, watchId, events: [event] };
  };
  const { endpoint, streams } = await startWatchServer(etcd);
  const told: unknown[] = [];
  const events = (all: readonly WatchEvent[]): void => {
    for (const { kv, previous } of all) told.push([kv.modRevision, previous?.modRevision]);
  };
  const listener = { events, gap: () => told.push('gap'), closed: () => {} };
  const store = etcd.open({ endpoints: [endpoint] });
  await store.watch({ key: 'k' }, listener, { previous: true }).ready;
  const [stream] = streams as [ServedStream];
  stream.send(updated(idOf(stream), 11));
  await waitFor(() => stream.creates.length === 2);
  expect(stream.cancels).toEqual([`${idOf(stream)}`]);
  expect(stream.creates[1]).toMatchObject({ prevKv: true, startRevision: 10 });
  stream.send(updated(idOf(stream, 1), 11, 10));
  stream.send(updated(idOf(stream, 1), 12));
  await waitFor(() => told.length === 2);
  stream.fail({ code: status.UNAVAILABLE, details: 'gone' });
  await waitFor(() => streams[1]?.creates.length === 1);
  streams[1]?.send(updated(idOf(streams[1]), 13));
  await waitFor(() => streams[1]?.creates.length === 2);
  // etcd has forgotten it: there is no use in asking for ever.
  streams[1]?.send(updated(idOf(streams[1], 1), 13));
  await waitFor(() => told.length === 3);
  expect(told).toEqual([
    [11n, 10n],
    [12n, undefined],
    [13n, undefined],
  ]);
});

it('does not ask again where nothing was before, or nobody wants to know', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const store = etcd.open({ endpoints: [endpoint] });
  const listening = listen(store, 'k', { previous: true });
  await listening.watch.ready;
  const other = listen(store, 'k');
  await other.watch.ready;
  const [stream] = streams as [ServedStream];
  stream.send(puts(idOf(stream), 11));
  stream.send({
    header: { revision: 12 },
    watchId: idOf(stream, 1),
    events: [{ type: 0, kv: { key: 'k', value: 'later', modRevision: 12, version: 2 } }],
  });
  await heard(listening, '11');
  await heard(other, 'later');
  expect(stream.creates.length).toBe(2);
});

it('tells of no gap where nothing came since', async () => {
  const server = await startWatchServer(etcd, (stream, { watchId, startRevision }) => {
    stream.send(created(watchId, 100));
    if (startRevision === 0) return;
    stream.send({ header: {}, watchId, canceled: true, compactRevision: 100 });
  });
  const listening = listen(etcd.open({ endpoints: [server.endpoint] }), 'k');
  await listening.watch.ready;
  server.streams[0]?.fail({ code: status.UNAVAILABLE, details: 'gone' });
  await waitFor(() => server.streams[1]?.creates.length === 2);
  const { watchId = 0n } = server.streams[1]?.creates[1] ?? {};
  server.streams[1]?.send(puts(watchId, 101));
  await heard(listening, '101');
  expect(listening.seen).toEqual(['101']);
});

it('tells of a gap once, and goes on at the present', async () => {
  const server = await startWatchServer(etcd, (stream, { watchId, startRevision }, count) => {
    stream.send(created(watchId, count === 1 ? 10 : 100));
    if (startRevision === 0) return;
    stream.send({ header: {}, watchId, canceled: true, compactRevision: 90 });
  });
  const listening = listen(etcd.open({ endpoints: [server.endpoint] }), 'k');
  await listening.watch.ready;
  server.streams[0]?.fail({ code: status.UNAVAILABLE, details: 'gone' });
  await heard(listening, 'gap');
  const creates = (): readonly bigint[] =>
    (server.streams[1]?.creates ?? []).map(({ watchId }) => watchId);
  await waitFor(() => creates().length === 2);
  server.streams[1]?.send(puts(creates()[1] ?? 0n, 101));
  await heard(listening, '101');
  expect(listening.seen).toEqual(['gap', '101']);
  expect(listening.watch.since).toBe(101n);
  // etcd keeps a watch that it cancelled until it is told to forget it.
  expect(server.streams[1]?.cancels).toEqual([`${creates()[0]}`]);
});

it('repeats nothing where it goes on at a member that has less than it was told', async () => {
  const server = await startWatchServer(etcd, (stream, { watchId }, count) => {
    if (count === 1) stream.send(created(watchId));
    if (count === 2) stream.send(created(watchId, 40));
    if (count === 2) stream.send({ header: {}, watchId, canceled: true, compactRevision: 30 });
    if (count === 3) stream.fail({ code: status.UNAVAILABLE, details: 'gone' });
    if (count === 4) stream.send(created(watchId, 11));
    if (count === 4) stream.send(puts(watchId, 12, 13));
  });
  const listening = listen(etcd.open({ endpoints: [server.endpoint] }), 'k');
  await listening.watch.ready;
  const [first] = server.streams as [ServedStream];
  first.send(puts(idOf(first), 11, 12));
  await heard(listening, '12');
  first.fail({ code: status.UNAVAILABLE, details: 'gone' });
  await heard(listening, '13');
  expect(listening.seen).toEqual(['11', '12', '13']);
});

it('leaves the others alone when one watch is refused', async () => {
  const { endpoint, streams } = await startWatchServer(etcd, (stream, { key, watchId }) => {
    const refusal = { canceled: true, cancelReason: 'etcdserver: permission denied' };
    if (key === 'secret') stream.send({ ...created(-1n), ...refusal });
    else stream.send(created(watchId));
  });
  const store = etcd.open({ endpoints: [endpoint] });
  const [first, secret, last] = ['k', 'secret', 'l'].map((key) => listen(store, key)) as [
    Listening,
    Listening,
    Listening,
  ];
  await waitFor(() => secret.closed.length > 0);
  await last.watch.ready;
  expect(secret.closed[0]).toBeInstanceOf(RefusedError);
  streams[0]?.send(puts(idOf(streams[0]), 11));
  streams[0]?.send(puts(idOf(streams[0], 2), 12));
  await heard(first, '11');
  await heard(last, '12');
  expect(streams.length).toBe(1);
});

it('ends with a refusal where etcd takes no token, after some new ones', async () => {
  const { endpoint, streams } = await startWatchServer(etcd, (stream) => {
    const refusal = { canceled: true, cancelReason: 'etcdserver: invalid auth token' };
    stream.send({ ...created(-1n), ...refusal });
  });
  const listening = listen(etcd.open({ endpoints: [endpoint] }), 'k');
  await waitFor(() => listening.closed.length > 0);
  expect(listening.closed[0]).toBeInstanceOf(RefusedError);
  expect(streams.length).toBe(1);
});

it('asks again, after pauses that grow, for what is cancelled without a known reason', async () => {
  const times: number[] = [];
  const { endpoint } = await startWatchServer(etcd, (stream, { watchId }, count) => {
    times.push(performance.now());
    if (count < 10) stream.send({ ...created(-1n), canceled: true, cancelReason: 'not now' });
    else stream.send(created(watchId));
  });
  const listening = listen(etcd.open({ endpoints: [endpoint] }), 'k');
  await waitFor(() => listening.watch.since !== undefined, { timeout: 40_000 });
  expect(times.length).toBe(10);
  expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(250);
  expect(listening.closed).toEqual([]);
});

it('gives up when every stream is refused, and can be tried again', async () => {
  let refuse = true;
  const server = await startWatchServer(
    etcd,
    undefined,
    (stream) => refuse && stream.fail({ code: status.UNIMPLEMENTED, details: 'unknown service X' }),
  );
  const store = etcd.open({ endpoints: [server.endpoint] });
  const listening = listen(store, 'k');
  await waitFor(() => listening.closed.length > 0);
  expect(listening.closed).toEqual([expect.any(RefusedError)]);
  expect(server.streams.length).toBe(3);
  refuse = false;
  const again = listen(store, 'k');
  await again.watch.ready;
});

it('does not take the refusal of one endpoint for that of all', async () => {
  const refusing = await startWatchServer(etcd, undefined, (stream) =>
    stream.fail({ code: status.UNIMPLEMENTED, details: 'unknown service X' }),
  );
  const proxy = await FaultProxy.start(etcd.endpoint);
  etcd.defer(() => proxy.close());
  proxy.cut();
  const listening = listen(etcd.open({ endpoints: [refusing.endpoint, proxy.endpoint] }), 'k');
  await waitFor(() => refusing.streams.length > 3, { timeout: 40_000 });
  proxy.heal();
  await listening.watch.ready;
  expect(listening.closed).toEqual([]);
});

it('keeps listeners apart when one of them throws', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const store = etcd.open({ endpoints: [endpoint] });
  const uncaught: unknown[] = [];
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => uncaught.push(error));
  etcd.defer(() => {
    process.removeAllListeners('uncaughtException');
    for (const other of others) process.on('uncaughtException', other);
  });
  const fault = new Error('not mine');
  const fail = (): void => {
    throw fault;
  };
  store.watch({ key: 'k' }, { events: fail, gap: fail, closed: fail });
  const second = listen(store, 'k');
  await second.watch.ready;
  streams[0]?.send(puts(idOf(streams[0]), 11));
  await heard(second, '11');
  store.close();
  await waitFor(() => uncaught.length === 2);
  expect(uncaught).toEqual([fault, fault]);
  expect(second.closed.length).toBe(1);
  expect(streams.length).toBe(1);
});

it('keeps listeners apart when one of them closes another', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const store = etcd.open({ endpoints: [endpoint] });
  const second = { current: undefined as Listening | undefined };
  const first = store.watch(
    { key: 'k' },
    { events: () => second.current?.watch.close(), gap() {}, closed() {} },
  );
  second.current = listen(store, 'k');
  const third = listen(store, 'k');
  await first.ready;
  streams[0]?.send(puts(idOf(streams[0]), 11));
  await heard(third, '11');
  expect(second.current.seen).toEqual([]);
});

it('tells of a gap nobody whose watch another closes when it is told', async () => {
  const server = await startWatchServer(etcd, (stream, { watchId, startRevision }, count) => {
    stream.send(created(watchId, count === 1 ? 10 : 100));
    if (startRevision === 0) return;
    stream.send({ header: {}, watchId, canceled: true, compactRevision: 90 });
  });
  const store = etcd.open({ endpoints: [server.endpoint] });
  const second = { current: undefined as Listening | undefined };
  const first = store.watch(
    { key: 'k' },
    { events() {}, gap: () => second.current?.watch.close(), closed() {} },
  );
  second.current = listen(store, 'k');
  const third = listen(store, 'k');
  await first.ready;
  server.streams[0]?.fail({ code: status.UNAVAILABLE, details: 'gone' });
  await heard(third, 'gap');
  expect(second.current.seen).toEqual([]);
});

it('does not take a watch of the past, or of the future, for one of the present', async () => {
  const { endpoint, streams } = await startWatchServer(etcd);
  const store = etcd.open({ endpoints: [endpoint] });
  const future = store.watch({ key: 'k' }, { events() {}, gap() {}, closed() {} }, { from: 99n });
  await future.ready;
  const present = listen(store, 'k');
  await present.watch.ready;
  expect(present.watch.since).toBe(11n);
  expect(streams[0]?.creates.map(({ startRevision }) => startRevision)).toEqual([99, 0]);
  const listener = { events() {}, gap() {}, closed() {} };
  expect(() => store.watch({ key: 'k' }, listener, { from: 0n })).toThrow(ArgumentError);
});

it('asks for many watches without waiting for each, but for not too many at once', async () => {
  const waiting: (() => void)[] = [];
  const { endpoint, streams } = await startWatchServer(etcd, (stream, { watchId }) => {
    waiting.push(() => stream.send(created(watchId)));
  });
  const store = etcd.open({ endpoints: [endpoint], attemptTimeout: 10_000 });
  const all = Array.from({ length: 2_500 }, (_, i) => listen(store, `${i}`));
  await waitFor(() => streams[0]?.creates.length === 1_000);
  for (const answer of waiting.splice(0, 10)) answer();
  await waitFor(() => streams[0]?.creates.length === 1_010);
  const timer = setInterval(() => {
    for (const answer of waiting.splice(0)) answer();
  }, 1);
  await Promise.all(all.map(({ watch }) => watch.ready));
  clearInterval(timer);
});
