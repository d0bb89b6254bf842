import { start } from '../../../../src/embed/index.js';
import { RawClient } from '../../../support/raw-client.js';

// A process that starts an etcd and uses it, and forgets to stop it. It must end all the same.
const etcd = await start();
const store = etcd.store();
await store.grant(1n, 60_000);
store.watch({ key: 'k' }, { events() {}, gap() {}, closed() {} });
const client = new RawClient(etcd.endpoints[0] ?? '');
await client.call('KV.Put', { key: 'k', lease: 1n });
client.close();
