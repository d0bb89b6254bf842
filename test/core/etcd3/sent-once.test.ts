import { describe, expect, it } from 'vitest';
import { useEtcd } from '../../support/etcd.js';

const etcd = useEtcd();

// grpc-js does not tell what it has not sent.
describe('over our transport, what may be sent once only', () => {
  it('is sent elsewhere where it could not be sent at all', async () => {
    const proxy = await etcd.startProxy(etcd.endpoint);
    proxy.blackhole();
    const store = etcd.open({ endpoints: [proxy.endpoint, etcd.endpoint], attemptTimeout: 100 });
    const key = etcd.name();
    await store.commit({ success: [{ put: { key, value: 'v' } }] }, { timeout: 5_000 });
    await store.commit({ success: [{ delete: { key } }] });
  });

  it('is waited for to the end once it was sent', async () => {
    const proxy = await etcd.startProxy(etcd.endpoint);
    const store = etcd.open({ endpoints: [proxy.endpoint, etcd.endpoint], attemptTimeout: 100 });
    const key = etcd.name();
    await store.read({ key });
    proxy.delay(200);
    const { revision } = await store.commit({ success: [{ put: { key, value: 'v' } }] });
    const { kvs } = await etcd.admin.read({ key });
    expect(kvs.map(({ version, modRevision }) => [version, modRevision])).toEqual([[1n, revision]]);
    await etcd.admin.commit({ success: [{ delete: { key } }] });
  });
});
