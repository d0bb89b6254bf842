import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  ClosedError,
  CoordinationError,
  RefusedError,
  UnavailableError,
  WaitTimeoutError,
  type Watch,
  type WatchEvent,
} from '../../src/index.js';
import {
  type Fault,
  holdSuite,
  startTestEtcd,
  type TestConnectOptions,
  type TestEtcd,
} from '../../src/testing/index.js';
import { makeCertificate } from '../embed/process/support/certificates.js';
import { runCases } from '../support/run-cases.js';

const hour = 3_600_000;

describe('an etcd with virtual time', () => {
  it('keeps a hold for as long as the session is renewed, without taking any time', async () => {
    await using etcd = await startTestEtcd({ time: 'virtual' });
    const coordinator = await etcd.connect({ session: { ttl: 5_000 } });
    const hold = await coordinator.mutex('m').acquire();
    await etcd.advance(24 * hour);
    expect(hold.signal.aborted).toBe(false);
    expect(await hold.release()).toBe(true);
  });

  it('tells a holder that cannot renew of its loss, and lets the next one in, in this order', async () => {
    await using etcd = await startTestEtcd({ time: 'virtual' });
    const holder = await etcd.connect({ session: { ttl: 10_000 } });
    const hold = await holder.mutex('m').acquire();
    const order: string[] = [];
    hold.signal.addEventListener('abort', () => order.push(`lost (${hold.lost})`));
    etcd.faults.add({ rpc: ['Lease.LeaseKeepAlive', 'Lease.LeaseRevoke'], kind: 'hang' });
    const other = await etcd.connect({ session: { ttl: 3 * hour } });
    const next = other.mutex('m').acquire();
    void next.then(() => order.push('granted'));
    await etcd.advance(9_000);
    expect(order).toEqual(['lost (no-contact)']);
    await etcd.advance(2_000);
    expect(order).toEqual(['lost (no-contact)', 'granted']);
  });

  it('lets waits time out', async () => {
    await using etcd = await startTestEtcd({ time: 'virtual' });
    const [a, b] = [await etcd.connect(), await etcd.connect()];
    await a.mutex('m').acquire();
    const wait = b.mutex('m').acquire({ timeout: hour });
    const outcome = wait.catch((error: unknown) => error);
    await etcd.advance(hour);
    expect(await outcome).toBeInstanceOf(WaitTimeoutError);
  });

  it('lets leases end at their time and not before', async () => {
    await using etcd = await startTestEtcd({ time: 'virtual' });
    await etcd.store.grant(7n, 5_000);
    await etcd.store.commit({ success: [{ put: { key: 'k', value: '', lease: 7n } }] });
    const exists = async (): Promise<boolean> => (await etcd.store.read({ key: 'k' })).count === 1;
    await etcd.advance(4_000);
    expect(await etcd.store.keepAlive(7n)).toBe(5_000);
    await etcd.advance(4_999);
    expect(await exists()).toBe(true);
    await etcd.advance(1);
    expect(await exists()).toBe(false);
    expect(await etcd.store.keepAlive(7n)).toBe(0);
  });
});

describe.each<NonNullable<TestConnectOptions['transport']>>(['direct', 'grpc'])(
  'an etcd with virtual time, over %s,',
  (transport) => {
    it.each<Fault['kind']>(['drop-request', 'drop-reply', 'delay', 'error', 'hang'])(
      'stops, and twice, while a session is being closed against a fault: %s',
      async (kind) => {
        const etcd = await startTestEtcd({ time: 'virtual' });
        const coordinator = await etcd.connect({ transport });
        const fault = etcd.faults.add({ rpc: '*', kind });
        const closing = coordinator.close();
        await expect.poll(() => fault.hits).toBeGreaterThan(0);
        await Promise.all([etcd.stop(), etcd.stop()]);
        await closing;
      },
    );
  },
);

it('lets nobody in after it was stopped', async () => {
  const etcd = await startTestEtcd();
  await etcd.stop();
  await expect(etcd.connect()).rejects.toThrow(ClosedError);
  expect(() => etcd.server.store()).toThrow(ClosedError);
});

it('serves and connects over TLS', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'etcd-recipes-'));
  try {
    await using etcd = await startTestEtcd({
      tls: { ...makeCertificate(dir), clientCertAuth: true },
    });
    const coordinator = await etcd.connect({ transport: 'grpc' });
    expect(await (await coordinator.mutex('m').acquire()).release()).toBe(true);
  } finally {
    await rm(dir, { recursive: true });
  }
});

it.each(['direct', 'grpc'] as const)('connects as root where etcd asks: %s', async (transport) => {
  await using etcd = await startTestEtcd({ auth: { password: 'secret' } });
  const coordinator = await etcd.connect({ transport });
  expect(await (await coordinator.mutex('m').acquire()).release()).toBe(true);
});

it('says that time is real when it is told to advance', async () => {
  await using etcd = await startTestEtcd();
  await expect(etcd.advance(1)).rejects.toThrow(CoordinationError);
  await expect(startTestEtcd({ time: 'fast' as 'real' })).rejects.toThrow(ArgumentError);
  await expect(etcd.connect({ transport: 'tcp' as 'grpc' })).rejects.toThrow(ArgumentError);
  await expect(etcd.store.read({ key: 'k' }, { timeout: Number.NaN })).rejects.toThrow(
    ArgumentError,
  );
  await expect(etcd.store.grant(1n, Number.NaN)).rejects.toThrow(ArgumentError);
});

it.each<TestConnectOptions['transport']>(['direct', 'grpc'])(
  'ends a session on request, over %s',
  async (transport = 'direct') => {
    await using etcd = await startTestEtcd();
    const coordinator = await etcd.connect({ transport });
    const hold = await coordinator.mutex('m').acquire();
    await etcd.expire(coordinator.session);
    expect((await etcd.store.read({ key: hold.key })).count).toBe(0);
    expect(await hold.release()).toBe(false);
  },
);

/** What a put by itself may be sent as. */
const writing: Fault['rpc'] = ['KV.Txn', 'KV.Put'];

describe.each<NonNullable<TestConnectOptions['transport']>>(['direct', 'grpc'])(
  'a fault, met over %s,',
  (transport) => {
    const set = async (
      test: (etcd: TestEtcd, put: (key: string) => Promise<unknown>) => Promise<void>,
    ): Promise<void> => {
      await using etcd = await startTestEtcd();
      const coordinator = await etcd.connect({ transport });
      await test(etcd, (key) =>
        coordinator.store.commit({ success: [{ put: { key, value: '' } }] }, { timeout: 2_000 }),
      );
    };
    const exists = async (etcd: TestEtcd, key: string): Promise<boolean> =>
      (await etcd.store.read({ key })).count === 1;

    it('that drops the request leaves no effect', async () => {
      await set(async (etcd, put) => {
        const fault = etcd.faults.add({ rpc: writing, kind: 'drop-request', times: 1 });
        await expect(put('a')).rejects.toMatchObject({ outcome: 'unknown' });
        expect([fault.hits, await exists(etcd, 'a')]).toEqual([1, false]);
        await put('a');
        expect([fault.hits, await exists(etcd, 'a')]).toEqual([1, true]);
      });
    });

    it('that drops the reply comes after the effect', async () => {
      await set(async (etcd, put) => {
        etcd.faults.add({ rpc: writing, kind: 'drop-reply', times: 2 });
        await expect(put('a')).rejects.toBeInstanceOf(UnavailableError);
        expect(await exists(etcd, 'a')).toBe(true);
      });
    });

    it('that delays brings the effect later, unless the call was given up', async () => {
      await set(async (etcd, put) => {
        etcd.faults.add({ rpc: writing, kind: 'delay', delay: 30, times: 1 });
        const late = put('a');
        expect(await exists(etcd, 'a')).toBe(false);
        await late;
        expect(await exists(etcd, 'a')).toBe(true);
        etcd.faults.add({ rpc: writing, kind: 'delay', delay: 2_500, times: 1 });
        await expect(put('b')).rejects.toMatchObject({ outcome: 'unknown' });
        await new Promise((resolve) => setTimeout(resolve, 600));
        expect(await exists(etcd, 'b')).toBe(false);
      });
    });

    it('that refuses has etcd’s code and words', async () => {
      await set(async (etcd, put) => {
        const message = 'etcdserver: mvcc: database space exceeded';
        etcd.faults.add({ rpc: '*', kind: 'error', code: 'RESOURCE_EXHAUSTED', message });
        const error = await put('a').catch((e: unknown) => e);
        expect(error).toBeInstanceOf(RefusedError);
        expect(error).toMatchObject({ status: 'RESOURCE_EXHAUSTED' });
        expect(String(error)).toContain(message);
        etcd.faults.clear();
        await put('a');
      });
    });

    it('that hangs ends with the patience of the caller, or with the fault', async () => {
      await set(async (etcd, put) => {
        const fault = etcd.faults.add({ rpc: writing, kind: 'hang' });
        await expect(put('a')).rejects.toMatchObject({ outcome: 'unknown' });
        const hanging = put('a').catch((error: unknown) => error);
        await expect.poll(() => fault.hits).toBe(2);
        fault.remove();
        expect(await hanging).toBeInstanceOf(UnavailableError);
        expect(await exists(etcd, 'a')).toBe(false);
      });
    });

    it('that drops the reply drops a refusal as well', async () => {
      await set(async (etcd, put) => {
        etcd.faults.add({ rpc: writing, kind: 'drop-reply', times: 2 });
        await expect(put('')).rejects.toBeInstanceOf(UnavailableError);
      });
    });

    it('holds up a watch, or breaks it, and the watch comes back', async () => {
      await using etcd = await startTestEtcd();
      const { store } = await etcd.connect({ transport });
      const watches: Watch[] = [];
      const seen: string[] = [];
      const listener = {
        events: (events: readonly WatchEvent[]) =>
          seen.push(...events.map(({ kv }) => kv.key.toString())),
        gap: () => {},
        closed: () => {},
      };
      const broken = etcd.faults.add({ rpc: 'Watch.Watch', kind: 'drop-request', times: 1 });
      watches.push(store.watch({ key: 'a' }, listener));
      await watches[0]?.ready;
      expect(broken.hits).toBe(1);
      const held = etcd.faults.add({ rpc: 'Watch.Watch', kind: 'hang', times: 1 });
      watches.push(store.watch({ key: 'b' }, listener));
      await expect.poll(() => held.hits).toBe(1);
      expect(watches[1]?.since).toBe(undefined);
      held.remove();
      await watches[1]?.ready;
      for (const key of ['a', 'b'])
        await etcd.store.commit({ success: [{ put: { key, value: '' } }] });
      await expect.poll(() => seen).toEqual(['a', 'b']);
    });

    it('by probability strikes the same calls with the same seed', async () => {
      const strikes = async (seed: number): Promise<string> => {
        let pattern = '';
        await set(async (etcd, put) => {
          etcd.faults.add({ rpc: writing, kind: 'drop-request', probability: 0.3, seed });
          for (let i = 0; i < 40; i += 1) {
            pattern += await put('a').then(
              () => '.',
              () => 'x',
            );
          }
        });
        return pattern;
      };
      const first = await strikes(1);
      expect(await strikes(1)).toBe(first);
      expect(await strikes(2)).not.toBe(first);
      expect(first.replaceAll('.', '').length).toBeGreaterThan(3);
    });
  },
);

it.each([
  [{ rpc: 'KV.Get', kind: 'hang' }, /^rpc must be one or some of KV.Range, .* got 'KV.Get'$/],
  [{ rpc: [], kind: 'hang' }, /^rpc must be one or some of/],
  [{ kind: 'hang' }, /^rpc must be one or some of .* got undefined$/],
  [{ rpc: '*', kind: 'delay', delay: 3e9 }, /^delay must be .* got 3000000000$/],
  [{ rpc: '*', kind: 'error', code: '14' }, /^code must be the name of one of gRPC's errors/],
  [{ rpc: '*', kind: 'error', message: 5 }, /^message must be a text, got 5$/],
  [{ rpc: '*', kind: 'explode' }, /^kind must be one of drop-request, .* got 'explode'$/],
  [{ rpc: '*', kind: 'hang', times: 0 }, /^times must be a whole number >= 1, got 0$/],
  [{ rpc: '*', kind: 'hang', probability: 2 }, /^probability must be a number from 0 to 1, got 2$/],
  [{ rpc: '*', kind: 'delay', delay: -1 }, /^delay must be .* got -1$/],
  [{ rpc: '*', kind: 'error', code: 'OK' }, /^code must be the name of one of gRPC's errors/],
])('refuses %o', async (fault, message) => {
  await using etcd = await startTestEtcd();
  const add = (): unknown => etcd.faults.add(fault as never);
  expect(add).toThrow(ArgumentError);
  expect(add).toThrow(message);
});

describe('a mutex without a connection in between', () => {
  const started = startTestEtcd();
  afterAll(async () => (await started).stop());
  // Cases are made before anything can be awaited.
  const admin = {
    read: async (...args) => (await started).store.read(...args),
    commit: async (...args) => (await started).store.commit(...args),
    revoke: async (...args) => (await started).store.revoke(...args),
  } as TestEtcd['store'];
  runCases(
    holdSuite({
      admin,
      connect: async () => (await started).connect(),
      make: (coordinator, name) => coordinator.mutex(name),
      folder: (name) => folderOf('mutex', name),
    }),
  );
});
