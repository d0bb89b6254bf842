import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { afterEach, expect, it, vi } from 'vitest';
import type { Instance } from '../../src/discovery/instance.js';
import { endpointOf } from '../../src/grpc/endpoint.js';
import { registerResolver } from '../../src/grpc/register-resolver.js';
import { ServiceResolver } from '../../src/grpc/service-resolver.js';
import { rejection } from '../../src/testing/rejection.js';
import { waitFor } from '../../src/testing/wait-for.js';
import { FakeSource } from '../discovery/support/instances.js';
import { built } from '../support/built.js';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

const raw = (bytes: Buffer): Buffer => bytes;
const none = {
  code: grpc.status.UNAVAILABLE,
  details: '0 of 0 addresses of orders can be used',
};
const roundRobin = JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] });

/** A server that answers with its address, and the instance that it is. */
class Served {
  readonly server = new grpc.Server();
  address = '';
  /** What calls wait for. */
  gate: Promise<unknown> = Promise.resolve();
  calls = 0;

  static async start(where = '127.0.0.1:0'): Promise<Served> {
    const served = new Served();
    const { server } = served;
    const path = { path: '/orders/who', requestStream: false, responseStream: false };
    const codec = {
      requestSerialize: raw,
      requestDeserialize: raw,
      responseSerialize: raw,
      responseDeserialize: raw,
    };
    server.addService(
      { who: { ...path, ...codec } },
      {
        who: (_: unknown, answer: grpc.sendUnaryData<Buffer>) => {
          served.calls += 1;
          void served.gate.then(() => answer(null, Buffer.from(served.address)));
        },
      },
    );
    const insecure = grpc.ServerCredentials.createInsecure();
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync(where, insecure, (error, bound) => (error ? reject(error) : resolve(bound))),
    );
    served.address = where.replace(/:0$/, `:${port}`);
    cleanUps.push(() => server.forceShutdown());
    return served;
  }

  get instance(): Instance {
    return { id: this.address, address: this.address };
  }

  drain(): Promise<void> {
    return new Promise((resolve, reject) =>
      this.server.tryShutdown((error) => (error ? reject(error) : resolve())),
    );
  }
}

/** A client of a service whose instances are those of the source. */
class Caller {
  readonly client: grpc.Client;

  constructor(source: FakeSource & Partial<Disposable>, config = roundRobin, service = 'orders') {
    registerResolver((asked) => {
      expect(asked).toBe(service);
      return source;
    });
    this.client = new grpc.Client(`etcd:///${service}`, grpc.credentials.createInsecure(), {
      'grpc.service_config': config,
      'grpc.initial_reconnect_backoff_ms': 100,
    });
    cleanUps.push(() => this.client.close());
  }

  /** Who answers. */
  who(waitForReady = false): Promise<string> {
    const metadata = new grpc.Metadata({ waitForReady });
    const nothing = Buffer.alloc(0);
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest('/orders/who', raw, raw, nothing, metadata, (error, answer) =>
        error ? reject(error) : resolve(String(answer)),
      );
    });
  }

  /** Waits until these answer, and nobody else. */
  async untilAnswering(...expected: readonly Served[]): Promise<void> {
    const addresses = expected.map(({ address }) => address).toSorted();
    await waitFor(async () => {
      const who = new Set<string>();
      for (let i = 0; i < 4 * expected.length; i += 1) who.add(await this.who());
      return [...who].toSorted().join() === addresses.join();
    });
  }
}

it('follows instances that come and go, and no call fails where they are drained', async () => {
  let [old, next] = [await Served.start(), await Served.start()];
  const source = new FakeSource(old.instance, next.instance);
  const caller = new Caller(source);
  await caller.untilAnswering(old, next);
  const failures: unknown[] = [];
  const over = new AbortController();
  const callers = Array.from({ length: 3 }, async () => {
    while (!over.signal.aborted) {
      const error = await rejection(caller.who());
      if (error) failures.push(error);
    }
  });
  for (let round = 0; round < 2; round += 1) {
    const another = await Served.start();
    source.set(next.instance, another.instance);
    await turn();
    await old.drain();
    await caller.untilAnswering(next, another);
    [old, next] = [next, another];
  }
  over.abort();
  await Promise.all(callers);
  expect(failures).toEqual([]);
});

it.each(['shop/orders', 'orders.2', 'or%ders', 'Bestellungen für alle'])(
  'finds a service whose name is no name of a host: %s',
  async (name) => {
    const served = await Served.start();
    const caller = new Caller(new FakeSource(served.instance), roundRobin, name);
    expect(await caller.who(true)).toBe(served.address);
  },
);

it('lets a call end at an instance that goes meanwhile', async () => {
  const [old, next] = [await Served.start(), await Served.start()];
  const source = new FakeSource(old.instance);
  const caller = new Caller(source);
  await caller.untilAnswering(old);
  let open = (): void => {};
  old.gate = new Promise<void>((resolve) => (open = resolve));
  const before = old.calls;
  const answer = caller.who();
  await waitFor(() => old.calls > before);
  old.gate = Promise.resolve();
  source.set(next.instance);
  await caller.untilAnswering(next);
  open();
  expect(await answer).toBe(old.address);
});

it.each(['round_robin', 'pick_first'])(
  'has calls of %s fail while there is no instance, and those that can wait wait',
  async (policy) => {
    const source = new FakeSource();
    const caller = new Caller(source, JSON.stringify({ loadBalancingConfig: [{ [policy]: {} }] }));
    expect(await rejection(caller.who())).toMatchObject(none);
    const waiting = caller.who(true);
    const served = await Served.start();
    source.set(served.instance);
    expect(await waiting).toBe(served.address);
  },
);

it('has calls fail when all instances have gone, until there is one again', async () => {
  const served = await Served.start();
  const source = new FakeSource(served.instance);
  const caller = new Caller(source);
  await caller.untilAnswering(served);
  source.set();
  await waitFor(async () => (await rejection(caller.who())) !== undefined);
  expect(await rejection(caller.who())).toMatchObject(none);
  source.set(served.instance);
  await waitFor(async () => (await rejection(caller.who())) === undefined);
});

it('keeps the last addresses when they cannot be followed any more', async () => {
  const served = await Served.start();
  const source = new FakeSource(served.instance);
  const caller = new Caller(source);
  await caller.untilAnswering(served);
  source.fail(new Error('permission denied'));
  await waitFor(() => source.watchers === 0);
  expect(await caller.who()).toBe(served.address);
});

it('says why there are no addresses, and tries again', async () => {
  const served = await Served.start();
  const source = new FakeSource(served.instance);
  source.isReady = Promise.reject(new Error('permission denied'));
  source.isReady.catch(() => {});
  const caller = new Caller(source);
  expect(await rejection(caller.who())).toMatchObject({
    details: 'orders cannot be followed: Error: permission denied',
  });
  source.isReady = Promise.resolve();
  await waitFor(async () => (await rejection(caller.who())) === undefined);
});

it('gives back what it follows when the channel is closed', async () => {
  const served = await Served.start();
  const dispose = vi.fn<() => void>();
  const source = Object.assign(new FakeSource(served.instance), { [Symbol.dispose]: dispose });
  const caller = new Caller(source);
  await caller.untilAnswering(served);
  expect(dispose).not.toHaveBeenCalled();
  caller.client.close();
  await waitFor(() => source.watchers === 0);
  expect(dispose).toHaveBeenCalledOnce();
});

it('reaches instances over IPv6, Unix sockets and URLs, and leaves out those with the weight 0', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'resolver-'));
  cleanUps.push(() => rm(dir, { recursive: true }));
  const [six, local, url, drained] = await Promise.all([
    Served.start('[::1]:0'),
    Served.start(`unix:${join(dir, 'socket')}`),
    Served.start(),
    Served.start(),
  ]);
  const source = new FakeSource(
    six.instance,
    local.instance,
    { id: 'url', address: `http://${url.address}/` },
    { ...drained.instance, weight: 0 },
  );
  await new Caller(source).untilAnswering(six, local, url);
});

it('reads addresses', () => {
  const at = (host: string, port: number): object => ({ addresses: [{ host, port }] });
  expect(endpointOf('10.0.0.7:8080')).toEqual(at('10.0.0.7', 8080));
  expect(endpointOf('host')).toEqual(at('host', 443));
  expect(endpointOf('[::1]:80')).toEqual(at('::1', 80));
  expect(endpointOf('http://host')).toEqual(at('host', 80));
  expect(endpointOf('https://[::1]/path')).toEqual(at('::1', 443));
  expect(endpointOf('grpc://host:50051')).toEqual(at('host', 50_051));
  expect(endpointOf('unix:///run/socket')).toEqual({ addresses: [{ path: '/run/socket' }] });
  expect(endpointOf('unix:socket')).toEqual({ addresses: [{ path: 'socket' }] });
  for (const text of ['', 'host:port', 'http://', '[::1']) expect(endpointOf(text)).toBe(undefined);
});

it('tells grpc-js 1.13, which wants to be told otherwise, of changes only', async () => {
  const source = new FakeSource('a');
  const told: unknown[] = [];
  const listener = {
    onSuccessfulResolution: (endpoints: unknown[]) => told.push(endpoints.length),
    onError: ({ details }: { readonly details: string }) => told.push(details),
  };
  const resolver = new ServiceResolver('orders', () => source, listener);
  resolver.updateResolution();
  expect(told).toEqual([]);
  const changes = [['a'], ['b', 'a'], ['a', 'b'], []];
  await waitFor(() => told.length === 1);
  for (const ids of changes) {
    source.set(...ids);
    await turn();
  }
  resolver.destroy();
  source.set('c');
  await waitFor(() => source.watchers === 0);
  expect(told).toEqual([1, 2, 0, '0 of 0 addresses of orders can be used']);
  resolver.updateResolution();
  await waitFor(() => told.length === 5);
  resolver.destroy();
});

it('looks again, when the channel asks, at instances that tell of no changes', async () => {
  const instances: Instance[] = [{ id: 'a', address: 'a:80' }];
  const told: number[] = [];
  const listener = {
    onSuccessfulResolution: (endpoints: unknown[]) => told.push(endpoints.length),
    onError: () => {},
  };
  const resolver = new ServiceResolver('orders', () => ({ instances: () => instances }), listener);
  resolver.updateResolution();
  await waitFor(() => told.length === 1);
  instances.push({ id: 'b', address: 'b:80' });
  await turn();
  resolver.updateResolution();
  await waitFor(() => told.length === 2);
  expect(told).toEqual([1, 2]);
});

it('tells of a service that cannot be opened, though not before it was asked', async () => {
  const told: unknown[] = [];
  const open = (): FakeSource => {
    throw new Error('no such name');
  };
  const listener = {
    onSuccessfulResolution: () => {},
    onError: ({ details }: { readonly details: string }) => told.push(details),
  };
  new ServiceResolver('orders', open, listener).updateResolution();
  expect(told).toEqual([]);
  await waitFor(() => told.length === 1);
  expect(told).toEqual(['orders cannot be followed: Error: no such name']);
});

it('does not keep a process alive that has not closed its clients', async () => {
  const code = `
    import { Client, credentials } from '@grpc/grpc-js';
    import { registerResolver } from '${built('src/grpc/index.ts')}';
    const never = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
    registerResolver(() => ({ instances: () => [], watch: () => never }));
    new Client('etcd:///orders', credentials.createInsecure()).getChannel().getConnectivityState(true);
    console.log('the end');
  `;
  const args = ['--input-type=module', '-e', code];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 });
  expect(stdout).toBe('the end\n');
});

it('refuses what is no function or no scheme', () => {
  const follow = (): FakeSource => new FakeSource();
  expect(() => registerResolver(undefined as never)).toThrow('follow must be a function');
  expect(() => registerResolver(follow, { scheme: 'etcd:' })).toThrow('scheme must be the scheme');
});
