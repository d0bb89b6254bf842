import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it } from 'vitest';
import {
  type Notes,
  type Outcome,
  onTold,
  onTraced,
  type Traces,
  tell,
  traced,
} from '../../src/core/trace.js';
import { connect, WaitTimeoutError } from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import { compact, useEtcd } from '../support/etcd.js';
import { listen } from '../support/listen.js';

const etcd = useEtcd();

/** What is published on a channel from now on, as any program would hear it. */
function hear<T>(name: string): T[] {
  const heard: T[] = [];
  const listener = (message: unknown): void => {
    heard.push(message as T);
  };
  subscribe(name, listener);
  etcd.defer(() => unsubscribe(name, listener));
  return heard;
}
const hearNotes = <What extends keyof Notes>(what: What): Notes[What][] =>
  hear(`etcd-recipes:${what}`);
/** Which of the notes are of an endpoint: a slow machine sets others aside as well. */
const of = <Note extends { readonly endpoint: string }>(endpoint: string, notes: Note[]): Note[] =>
  notes.filter((note) => note.endpoint === endpoint);
const hearEnds = <What extends keyof Traces>(what: What): (Traces[What] & Outcome)[] =>
  hear(`tracing:etcd-recipes:${what}:asyncEnd`);

describe('a call', () => {
  it('is traced once, by the names of the API and of the endpoint', async () => {
    // One that nobody else uses: others may still have calls under way.
    const { endpoint } = await etcd.startProxy();
    const store = etcd.open({ endpoints: [endpoint] });
    const allBegun = hear<Traces['rpc']>('tracing:etcd-recipes:rpc:start');
    const allEnded = hearEnds('rpc');
    const key = etcd.name();
    await store.commit({ success: [{ put: { key, value: '' } }] });
    await store.read({ key });
    await store.commit({ success: [{ delete: { key } }] });
    const [begun, ended] = [of(endpoint, allBegun), of(endpoint, allEnded)];
    expect(begun).toMatchObject([
      { method: 'KV/Put', endpoint, probe: false },
      { method: 'KV/Range', endpoint, probe: false },
      { method: 'KV/DeleteRange', endpoint },
    ]);
    expect(ended).toEqual(begun);
    expect(ended.every((outcome) => 'result' in outcome && !('error' in outcome))).toBe(true);
  });

  it('that goes on at another endpoint is traced at each, and tells why', async () => {
    const proxy = await etcd.startProxy();
    proxy.cut();
    const [retries, endpoints] = [hearNotes('retry'), hearNotes('endpoint')];
    const ended = hearEnds('rpc');
    const store = etcd.open({ endpoints: [proxy.endpoint, etcd.endpoint] });
    const key = etcd.name();
    const put = { success: [{ put: { key, value: '' } }] };
    await Promise.all([1, 2].map(() => store.commit(put, { idempotent: true })));
    await store.commit({ success: [{ delete: { key } }] });
    // Meanwhile it is asked how the endpoints are.
    const puts = ended.filter(({ method }) => method === 'KV/Put');
    const [failed, answered] = [true, false].map((isError) =>
      puts.filter((outcome) => 'error' in outcome === isError),
    );
    const { endpoint } = proxy;
    expect(failed?.map((each) => each.endpoint)).toEqual([endpoint, endpoint]);
    expect(answered?.map((each) => each.endpoint)).toEqual([etcd.endpoint, etcd.endpoint]);
    expect(of(endpoint, retries)).toEqual(failed?.map(({ error }) => ({ endpoint, error })));
    expect(of(endpoint, endpoints)).toEqual([{ endpoint, state: 'aside' }]);
    const isProbe = ({ probe }: Traces['rpc']): boolean => probe;
    expect(ended.filter(isProbe).map(({ method }) => method)).toContain('KV/Range');
    expect(puts.some(isProbe)).toBe(false);
    proxy.heal();
    await waitFor(() => of(endpoint, endpoints).length === 2);
    expect(of(endpoint, endpoints)[1]).toEqual({ endpoint, state: 'back' });
  });

  it('that is over for good is no retry', async () => {
    const retries = hearNotes('retry');
    const huge = { put: { key: 'x', value: Buffer.alloc(4 * 2 ** 20) } };
    await expect(etcd.admin.commit({ success: [huge] })).rejects.toThrow('too large');
    expect(retries).toEqual([]);
  });
});

it('tells that an endpoint is set aside no more when the store is closed', async () => {
  const proxy = await etcd.startProxy();
  const endpoints = hearNotes('endpoint');
  const store = etcd.open({ endpoints: [proxy.endpoint, etcd.endpoint] });
  proxy.cut();
  await store.read({ key: 'x' });
  store.close();
  const states = of(proxy.endpoint, endpoints).map(({ state }) => state);
  expect(states).toEqual(['aside', 'back']);
});

it('tells of streams that break', async () => {
  const proxy = await etcd.startProxy();
  const { endpoint } = proxy;
  const restarts = hearNotes('restart');
  const store = etcd.open({ endpoints: [endpoint] });
  const lease = BigInt(Date.now());
  await store.grant(lease, 60_000);
  await store.keepAlive(lease);
  await listen(store, etcd.name()).watch.ready;
  expect(restarts).toEqual([]);
  proxy.cut();
  await waitFor(() => new Set(restarts.map(({ stream }) => stream)).size === 2);
  expect(restarts[0]).toMatchObject({ endpoint, error: expect.any(Object) });
  await etcd.admin.revoke(lease);
});

it('tells of changes that were compacted before a watch had seen them', async () => {
  const own = await etcd.startOwn();
  const store = etcd.open({ endpoints: [own] });
  const gaps = hearNotes('gap');
  const key = etcd.name();
  for (const value of ['1', '2', '3']) await store.commit({ success: [{ put: { key, value } }] });
  const { revision } = await store.read({ key });
  await compact(own, store);
  store.watch({ key }, { events() {}, gap() {}, closed() {} }, { from: 2n });
  await waitFor(() => gaps.length > 0);
  expect(gaps).toEqual([{ revision }]);
});

it('tells how many commits travelled together', async () => {
  const batches = hearNotes('batch');
  await using coordinator = await connect({ endpoints: [etcd.endpoint] });
  const { client } = coordinator.namespace(`${etcd.name()}/`);
  await Promise.all(Array.from({ length: 20 }, (_, i) => client.put(`${i}`, '')));
  expect(batches.reduce((sum, { size }) => sum + size, 0)).toBe(20);
  expect(batches.length).toBeLessThan(20);
  await Promise.all(Array.from({ length: 20 }, (_, i) => client.delete(`${i}`)));
});

describe('a mutex', () => {
  it('traces how long it waits, whatever comes of it', async () => {
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    const name = etcd.name();
    const ended = hearEnds('wait');
    const trace = { recipe: 'mutex', verb: 'acquire', name };
    const hold = await a.mutex(name).acquire();
    await expect(b.mutex(name).acquire({ timeout: 20 })).rejects.toThrow('within 20 ms');
    await hold.release();
    await a.mutex(name).run(() => {});
    expect(ended).toEqual([
      { ...trace, result: hold },
      { ...trace, error: expect.any(WaitTimeoutError) },
      { ...trace, result: expect.any(Object) },
    ]);
  });

  it('tells how long it was held, and whether it was lost: once', async () => {
    const coordinator = await etcd.connect();
    const [given, lost] = [etcd.name(), etcd.name()];
    const ended = hearNotes('hold');
    const one = await coordinator.mutex(given).acquire();
    const other = await coordinator.mutex(lost).tryAcquire();
    await Promise.all([one.release(), one.release()]);
    await etcd.admin.commit({ success: [{ delete: { key: other?.key ?? '' } }] });
    await waitFor(() => ended.length > 1);
    await other?.release();
    expect(ended).toEqual([
      { recipe: 'mutex', name: given, held: expect.any(Number), lost: undefined },
      { recipe: 'mutex', name: lost, held: expect.any(Number), lost: 'deleted' },
    ]);
    expect(ended.every(({ held }) => held > 0 && held < 60_000)).toBe(true);
  });
});

describe('a session', () => {
  it('tells how much time was left at each renewal', async () => {
    const renewals = hearNotes('renewal');
    const { session } = await etcd.connect({ session: { ttl: 2_000 } });
    await waitFor(() => renewals.length > 0);
    expect(renewals[0]?.lease).toBe(session.id);
    expect(renewals[0]?.left).toBeGreaterThan(0);
    expect(renewals[0]?.left).toBeLessThan(1_500);
  });

  it('tells what becomes of it', async () => {
    const events = hearNotes('session');
    const coordinator = await etcd.connect();
    const { session } = coordinator;
    await etcd.admin.revoke(session.id);
    await session.freeLease?.ask();
    await coordinator.mutex(etcd.name()).run(() => {});
    await coordinator.close();
    expect(events).toEqual([
      { event: 'opened' },
      { event: 'lost', reason: 'revoked' },
      { event: 'reopened' },
      { event: 'closed' },
    ]);
  });
});

describe('while nobody listens', () => {
  it('nothing is computed', async () => {
    let computed = 0;
    const trace = (): Traces['rpc'] => {
      computed += 1;
      return { method: 'KV/Range', endpoint: 'a:1', probe: false };
    };
    const note = (): Notes['batch'] => {
      computed += 1;
      return { size: 1 };
    };
    const once = async (): Promise<number> => {
      tell('batch', note);
      await traced('rpc', trace, async () => {});
      return computed;
    };
    expect(await once()).toBe(0);
    const stop = [onTold('batch', () => {}), onTraced('rpc', () => () => {})];
    expect(await once()).toBe(2);
    for (const each of stop) each();
    expect(await once()).toBe(2);
  });
});
