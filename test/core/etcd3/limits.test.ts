import { describe, expect, it } from 'vitest';
import { LimitError } from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';
import { useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();
const put = (key: string, bytes: number) => ({
  success: [{ put: { key, value: Buffer.alloc(bytes) } }],
});

describe.each(['http2', 'grpc'] as const)('over %s', (transport) => {
  it('a request larger than allowed is not sent, and its size told', async () => {
    const store = etcd.open({ transport, maxSendBytes: 10_000 });
    const key = etcd.name();
    const error = await rejection(store.commit(put(key, 10_000)));
    expect(error).toBeInstanceOf(LimitError);
    expect(error).toMatchObject({ code: 'ERR_LIMIT', option: 'maxSendBytes', limit: 10_000 });
    expect((error as LimitError).size).toBeGreaterThan(10_000);
    expect(await etcd.count(key)).toBe(0);
    await store.commit(put(key, 9_900));
    expect(await etcd.count(key)).toBe(1);
    await etcd.admin.commit({ success: [{ delete: { key } }] });
  });

  it('no more than 2 MiB are sent unless asked for', async () => {
    const store = etcd.open({ transport });
    const error = await rejection(store.commit(put(etcd.name(), 2 * 2 ** 20)));
    expect(error).toMatchObject({ code: 'ERR_LIMIT', option: 'maxSendBytes', limit: 2 ** 21 });
  });

  it('a reply larger than allowed is refused, and read again with a larger limit', async () => {
    const store = etcd.open({ transport, maxReceiveBytes: 10_000 });
    const key = etcd.name();
    await store.commit(put(key, 20_000));
    const error = await rejection(store.read({ key }));
    expect(error).toMatchObject({ code: 'ERR_LIMIT', option: 'maxReceiveBytes', limit: 10_000 });
    expect((await store.read({ key, keysOnly: true })).count).toBe(1);
    expect((await etcd.open({ transport }).read({ key })).kvs[0]?.value.length).toBe(20_000);
    await etcd.admin.commit({ success: [{ delete: { key } }] });
  });
});

it.each([
  ['maxSendBytes', 0],
  ['maxReceiveBytes', 1.5],
  ['maxTxnOps', -1],
  ['maxSendBytes', Number.NaN],
  ['syncInterval', -1],
  ['transport', 'tcp'],
  ['discoverySrv', ''],
])('%s must not be %s', (option, value) => {
  const options = option === 'discoverySrv' ? { endpoints: undefined } : {};
  expect(() => etcd.open({ ...options, [option]: value })).toThrow(option);
});

it('endpoints and a name to find them by are not both given', () => {
  expect(() => etcd.open({ discoverySrv: 'cluster.test' })).toThrow(/endpoints.*discoverySrv/);
});
