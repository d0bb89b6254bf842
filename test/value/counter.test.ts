import { describe, expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import { ArgumentError, ConflictError, UnavailableError } from '../../src/index.js';
import { compact, useEtcd } from '../support/etcd.js';
import { connectFailing } from '../support/failing.js';
import { noAnswer } from '../support/override.js';

const etcd = useEtcd();
const keyOf = (name: string): string => `${folderOf('counter', name)}value`;

describe('a counter', () => {
  it('is 0 at first, and then what was added', async () => {
    const coordinator = await etcd.connect();
    const counter = coordinator.counter(etcd.name('counter'));
    expect(await counter.get()).toBe(0n);
    expect(await counter.add()).toBe(1n);
    expect(await counter.add(41n)).toBe(42n);
    expect(await counter.add(-50n)).toBe(-8n);
    expect(await counter.get()).toBe(-8n);
  });

  it('counts further than 64 bits', async () => {
    const coordinator = await etcd.connect();
    const counter = coordinator.counter(etcd.name('counter'));
    await counter.add(2n ** 70n);
    expect(await counter.add()).toBe(2n ** 70n + 1n);
  });

  it('gives everybody another number, from however many processes and objects they come', async () => {
    const all = await Promise.all([etcd.connect(), etcd.connect(), etcd.connect()]);
    const name = etcd.name('counter');
    const counters = all.flatMap((each) => [each.counter(name), each.counter(name)]);
    const adding = counters.flatMap((counter) => Array.from({ length: 20 }, () => counter.add()));
    const numbers = await Promise.all(adding);
    expect(numbers.toSorted((a, b) => Number(a - b))).toEqual(
      Array.from({ length: 120 }, (_, i) => BigInt(i + 1)),
    );
    expect(await counters[0]?.get()).toBe(120n);
  });

  it('writes what is added at the same moment at once', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name('counter');
    const [one, other] = [coordinator.counter(name), coordinator.counter(name)];
    await one.add();
    const before = (await etcd.admin.read({ key: keyOf(name) })).kvs[0]?.version ?? 0n;
    await Promise.all(Array.from({ length: 50 }, (_, i) => (i % 2 ? one : other).add()));
    const after = (await etcd.admin.read({ key: keyOf(name) })).kvs[0]?.version ?? 0n;
    expect(after - before).toBe(1n);
  });

  it('is set only if it is what was expected', async () => {
    const coordinator = await etcd.connect();
    const counter = coordinator.counter(etcd.name('counter'));
    expect(await counter.compareAndSet(1n, 5n)).toBe(false);
    expect(await counter.compareAndSet(0n, 5n)).toBe(true);
    const both = await Promise.all([counter.compareAndSet(5n, 6n), counter.compareAndSet(5n, 7n)]);
    expect(both.filter(Boolean).length).toBe(1);
    expect(await counter.get()).toBe(both[0] ? 6n : 7n);
  });

  it.each(['loses its reply', 'is lost'] as const)(
    'counts once when a request %s',
    async (fate) => {
      const { coordinator, below } = await connectFailing(etcd);
      const counter = coordinator.counter(etcd.name('counter'));
      await counter.add();
      below.plan(fate, fate);
      expect(await counter.add()).toBe(2n);
      below.plan(fate);
      const [a, b] = await Promise.all([counter.add(), counter.add(10n)]);
      expect([a, b]).toEqual([3n, 13n]);
      expect(await counter.get()).toBe(13n);
    },
  );

  it('says that an addition may have been made, if it is given up without an answer', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const counter = coordinator.counter(etcd.name('counter'));
    await counter.add();
    const lost = Array.from({ length: 100 }, () => 'is lost' as const);
    below.plan(...lost);
    const error: unknown = await counter
      .add(1n, { timeout: 50 })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnavailableError);
    expect((error as UnavailableError).outcome).toBe('unknown');
  });

  it('adds nothing for who gave up before it was sent', async () => {
    const coordinator = await etcd.connect();
    const counter = coordinator.counter(etcd.name('counter'));
    const controller = new AbortController();
    const given = counter.add(5n, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    await expect(counter.add(1n, { signal: controller.signal })).rejects.toThrow('enough');
    expect(await counter.add()).toBe(1n);
  });

  it('refuses what is no number, as an argument and in its key', async () => {
    const coordinator = await etcd.connect();
    const name = etcd.name('counter');
    const counter = coordinator.counter(name);
    await expect(counter.add(1 as unknown as bigint)).rejects.toThrow(ArgumentError);
    await expect(counter.compareAndSet(0n, '1' as unknown as bigint)).rejects.toThrow(
      /value must be/,
    );
    await etcd.admin.commit({ success: [{ put: { key: keyOf(name), value: 'many' } }] });
    await expect(counter.get()).rejects.toThrow(ConflictError);
    await expect(counter.add()).rejects.toThrow(/no number but "many"/);
  });
});

it('does not say that an addition was made which was not', async () => {
  const { coordinator, below } = await connectFailing(etcd);
  const counter = coordinator.counter(etcd.name('counter'));
  const key = keyOf(counter.name);
  await counter.add();
  below.plan(async (txn) => {
    // Somebody else was faster, the answer gets lost, and history is compacted.
    await etcd.admin.commit({ success: [{ put: { key, value: '7' } }] });
    await etcd.admin.commit(txn);
    await etcd.admin.commit({ success: [{ put: { key, value: '8' } }] });
    await compact(etcd.endpoint, etcd.admin);
    throw noAnswer();
  });
  const error: unknown = await counter.add(1n, { timeout: 2_000 }).catch((e: unknown) => e);
  expect(error).toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'not-applied' });
  expect(await counter.get()).toBe(8n);
});
