import { describe, expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import { ArgumentError, ClosedError, type SharedValue, WaitTimeoutError } from '../../src/index.js';
import { compact, useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

interface Limits {
  readonly max: number;
  readonly by?: string;
}

async function two(): Promise<[SharedValue<Limits>, SharedValue<Limits>]> {
  const name = etcd.name();
  const key = `${folderOf('value', name)}value`;
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: { key } }] }));
  const [a, b] = [await etcd.connect(), await etcd.connect()];
  return [a.value<Limits>(name), b.value<Limits>(name)];
}

describe('a shared value', () => {
  it('is not there at first, then what was set, and not there when it was deleted', async () => {
    const [a, b] = await two();
    expect(await a.get()).toEqual({ value: undefined, revision: 0n });
    const revision = await a.set({ max: 3 });
    expect(await b.get()).toEqual({ value: { max: 3 }, revision });
    await b.delete();
    expect((await a.get()).value).toBe(undefined);
  });

  it('is replaced only as it was seen', async () => {
    const [a, b] = await two();
    expect(await a.replace(1n, { max: 1 })).toBe(undefined);
    const first = await a.replace(0n, { max: 1 });
    expect(await b.replace(0n, { max: 9 })).toBe(undefined);
    const second = await b.replace(first ?? 0n, { max: 2 });
    expect(await a.replace(first ?? 0n, { max: 9 })).toBe(undefined);
    expect(await a.get()).toEqual({ value: { max: 2 }, revision: second });
    await expect(a.replace(-1n, { max: 1 })).rejects.toThrow(ArgumentError);
  });

  it('loses no change of those that are made at the same time', async () => {
    const [a, b] = await two();
    const more = (value: Limits | undefined): Limits => ({ max: (value?.max ?? 0) + 1 });
    const changes = Array.from({ length: 60 }, (_, i) => (i % 2 ? a : b).update(more));
    const seen = (await Promise.all(changes)).map(({ value }) => value.max);
    expect(seen.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    expect((await a.get()).value).toEqual({ max: 60 });
  });

  it('passes on what a change throws, on the value as it is, and makes the others', async () => {
    const [a, b] = await two();
    await a.set({ max: 1 });
    await b.set({ max: 5 });
    const refuse = (value: Limits | undefined): Limits => {
      throw new Error(`not from ${value?.max}`);
    };
    const [refused, done] = await Promise.allSettled([
      a.update(refuse),
      a.update(() => ({ max: 6 })),
    ]);
    expect(refused).toMatchObject({ reason: new Error('not from 5') });
    expect(done.status).toBe('fulfilled');
    expect((await b.get()).value).toEqual({ max: 6 });
  });

  it('tells what it is, and what it becomes', async () => {
    const [a, b] = await two();
    const seen: unknown[] = [];
    for await (const { value } of b.watch()) {
      seen.push(value);
      if (seen.length === 1) await a.set({ max: 1 });
      if (seen.length === 2) await a.delete();
      if (seen.length === 3) break;
    }
    expect(seen).toEqual([undefined, { max: 1 }, undefined]);
  });

  it('tells who watches of the end of the session', async () => {
    const coordinator = await etcd.connect();
    const value = coordinator.value(etcd.name());
    const loop = async (): Promise<void> => {
      for await (const _ of value.watch()) void coordinator.close();
    };
    await expect(loop()).rejects.toThrow(ClosedError);
  });

  it('lets one wait until it is as wanted', async () => {
    const [a, b] = await two();
    const waiting = b.until((value) => (value?.max ?? 0) >= 3);
    for (const max of [1, 2, 3]) await a.set({ max });
    expect((await waiting).value).toEqual({ max: 3 });
    expect((await b.until((value) => value?.max === 3)).value).toEqual({ max: 3 });
    await expect(b.until(() => false, { timeout: 20 })).rejects.toThrow(WaitTimeoutError);
    await expect(
      b.until(() => {
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
  });

  it('is written by the codec it is given', async () => {
    const coordinator = await etcd.connect();
    const codec = {
      encode: (n: number) => `#${n}`,
      decode: (b: Uint8Array) => Number(Buffer.from(b).toString().slice(1)),
    };
    const name = etcd.name();
    const value = coordinator.value(name, { codec });
    await value.set(7);
    const { kvs } = await etcd.admin.read({ key: `${folderOf('value', name)}value` });
    expect(kvs[0]?.value.toString()).toBe('#7');
    expect((await value.get()).value).toBe(7);
    await value.delete();
    await compact(etcd.endpoint, etcd.admin);
    expect((await value.get()).value).toBe(undefined);
  });
});

it('is not stuck by a codec that gives no bytes', async () => {
  const coordinator = await etcd.connect();
  const name = etcd.name('value');
  const codec = { encode: (value: unknown) => value as string, decode: String };
  const value = coordinator.value<unknown>(name, { codec });
  await expect(value.update(() => 7)).rejects.toThrow();
  expect(await value.update(() => 'seven')).toMatchObject({ value: 'seven' });
});
