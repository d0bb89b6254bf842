import { createSocket } from 'node:dgram';
import dns from 'node:dns';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { discover } from '../../../src/core/etcd3/discovery.js';
import { onTold } from '../../../src/core/trace.js';
import { UnavailableError } from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();

/** What a name server knows: priority, weight, port, and host. */
const records = new Map<string, [number, number, number, string][]>();
const socket = createSocket('udp4');
let questions = 0;
const before = dns.getServers();

const labels = (name: string): Buffer =>
  Buffer.concat([
    ...name
      .split('.')
      .map((part) => Buffer.concat([Buffer.from([part.length]), Buffer.from(part)])),
    Buffer.from([0]),
  ]);

/** Answers a question for SRV records, as RFC 1035 and 2782 have it. */
function answer(question: Buffer): Buffer {
  questions += 1;
  const parts: string[] = [];
  let at = 12;
  for (let length = question[at] ?? 0; length > 0; length = question[at] ?? 0) {
    parts.push(question.toString('latin1', at + 1, at + 1 + length));
    at += length + 1;
  }
  const found = records.get(parts.join('.')) ?? [];
  const header = Buffer.from(question.subarray(0, 12));
  // An answer, with authority; "no such name" if there is none.
  header.writeUInt16BE(found.length > 0 ? 0x85_80 : 0x85_83, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(found.length, 6);
  header.writeUInt32BE(0, 8);
  const answers = found.map(([priority, weight, port, host]) => {
    const target = labels(host);
    const fixed = Buffer.alloc(18);
    fixed.writeUInt16BE(0xc0_0c, 0);
    fixed.writeUInt16BE(33, 2);
    fixed.writeUInt16BE(1, 4);
    fixed.writeUInt16BE(6 + target.length, 10);
    fixed.writeUInt16BE(priority, 12);
    fixed.writeUInt16BE(weight, 14);
    fixed.writeUInt16BE(port, 16);
    return Buffer.concat([fixed, target]);
  });
  return Buffer.concat([header, question.subarray(12, at + 5), ...answers]);
}

beforeAll(async () => {
  socket.on('message', (question, { port, address }) =>
    socket.send(answer(question), port, address),
  );
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  dns.setServers([`127.0.0.1:${socket.address().port}`]);
});
beforeEach(() => {
  records.clear();
  questions = 0;
});
afterAll(() => {
  dns.setServers(before);
  socket.close();
});

describe('SRV records', () => {
  it('name endpoints with TLS and without, the best priority first', async () => {
    records.set('_etcd-client-ssl._tcp.cluster.test', [
      [20, 0, 2379, 'second.test'],
      [10, 5, 2380, 'light.test'],
      [10, 50, 2379, 'heavy.test'],
    ]);
    records.set('_etcd-client._tcp.cluster.test', [[0, 0, 80, 'plain.test']]);
    expect(await discover({ domain: 'cluster.test' })).toEqual([
      'https://heavy.test:2379',
      'https://light.test:2380',
      'https://second.test:2379',
      'http://plain.test:80',
    ]);
  });

  it('tell clusters of one domain apart by a name', async () => {
    records.set('_etcd-client-east._tcp.cluster.test', [[0, 0, 2379, 'east.test']]);
    expect(await discover({ domain: 'cluster.test', name: 'east' })).toEqual([
      'http://east.test:2379',
    ]);
    await expect(discover({ domain: 'cluster.test' })).rejects.toThrow('_etcd-client-ssl._tcp');
  });
});

describe('a store that finds its endpoints by name', () => {
  const port = (): number => Number(new URL(etcd.endpoint).port);

  it('is used like any other', async () => {
    records.set('_etcd-client._tcp.cluster.test', [[0, 0, port(), 'localhost']]);
    const coordinator = await etcd.connect({ endpoints: undefined, discoverySrv: 'cluster.test' });
    const hold = await coordinator.mutex(etcd.name()).acquire();
    expect(await hold.release()).toBe(true);
    expect(questions).toBe(2);
  });

  it('waits for the records to appear, for calls and for watches', async () => {
    const store = etcd.open({ endpoints: undefined, discoverySrv: { domain: 'late.test' } });
    const read = store.read({ key: 'x' });
    const ignore = (): void => {};
    const watch = store.watch({ key: 'x' }, { events: ignore, gap: ignore, closed: ignore });
    await vi.waitFor(() => expect(questions).toBeGreaterThan(4));
    records.set('_etcd-client._tcp.late.test', [[0, 0, port(), 'localhost']]);
    expect((await read).revision).toBeGreaterThan(0n);
    await watch.ready;
  });

  it('looks again when nobody answers', async () => {
    records.set('_etcd-client._tcp.moved.test', [[0, 0, 1, 'localhost']]);
    const store = etcd.open({ endpoints: undefined, discoverySrv: 'moved.test' });
    const read = store.read({ key: 'x' }, { timeout: 20_000 });
    await vi.waitFor(() => expect(questions).toBeGreaterThan(4));
    records.set('_etcd-client._tcp.moved.test', [[0, 0, port(), 'localhost']]);
    expect((await read).revision).toBeGreaterThan(0n);
  });

  it('takes names of one address for one endpoint, and does not ask it without a pause', async () => {
    const record: [number, number, number, string] = [0, 0, 1, 'localhost'];
    records.set('_etcd-client._tcp.twice.test', [record, record]);
    const store = etcd.open({ endpoints: undefined, discoverySrv: 'twice.test', timeout: 300 });
    let retries = 0;
    const stop = onTold('retry', () => {
      retries += 1;
    });
    etcd.defer(stop);
    const error = await rejection(store.read({ key: 'x' }));
    expect(error).toMatchObject({ failures: [{ endpoint: 'http://localhost:1' }] });
    expect(retries).toBeLessThan(30);
  });

  it('says what it looked for in vain', async () => {
    const store = etcd.open({ endpoints: undefined, discoverySrv: 'nowhere.test', timeout: 200 });
    const error = await rejection(store.read({ key: 'x' }));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error).toMatchObject({
      outcome: 'not-applied',
      failures: [{ endpoint: 'nowhere.test', phase: 'discovery', status: 'NOT_FOUND' }],
    });
    expect(String(error)).toContain('_etcd-client-ssl._tcp');
  });

  it('ends in time, or when it is closed, where the name server is silent', async () => {
    const silent = createSocket('udp4').bind(0, '127.0.0.1');
    await once(silent, 'listening');
    const servers = dns.getServers();
    dns.setServers([`127.0.0.1:${silent.address().port}`]);
    try {
      const store = etcd.open({ endpoints: undefined, discoverySrv: 'silent.test' });
      const began = performance.now();
      expect(await rejection(store.read({ key: 'x' }, { timeout: 200 }))).toMatchObject({
        code: 'ERR_UNAVAILABLE',
        failures: [{ endpoint: 'silent.test', phase: 'discovery' }],
      });
      const pending = rejection(store.read({ key: 'x' }, { timeout: 20_000 }));
      store.close();
      expect(await pending).toMatchObject({ code: 'ERR_CLOSED' });
      // By itself the resolver would have gone on for longer.
      expect(performance.now() - began).toBeLessThan(15_000);
    } finally {
      dns.setServers(servers);
      silent.close();
    }
  });

  it('can be given up, and closed, while it looks', async () => {
    const store = etcd.open({ endpoints: undefined, discoverySrv: 'nowhere.test' });
    const given = new AbortController();
    const read = rejection(store.read({ key: 'x' }, { signal: given.signal }));
    await vi.waitFor(() => expect(questions).toBeGreaterThan(2));
    given.abort(new Error('enough'));
    expect(await read).toBe(given.signal.reason);
    const pending = rejection(store.read({ key: 'x' }, { timeout: 20_000 }));
    store.close();
    expect(await pending).toMatchObject({ code: 'ERR_CLOSED' });
  });
});
