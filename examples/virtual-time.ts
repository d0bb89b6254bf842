// What becomes of a worker that is cut off, in virtual time. Run: npx tsx examples/virtual-time.ts
import { startTestEtcd } from '../src/testing/index.js';

await using etcd = await startTestEtcd({ time: 'virtual' });
const worker = await etcd.connect({ session: { ttl: 10_000, label: 'worker' } });
const hold = await worker.mutex('reports').acquire();

await etcd.advance(3_600_000);
console.log(`after an hour of renewals: ${hold.lost ?? 'still ours'}`);

etcd.faults.add({ rpc: ['Lease.LeaseKeepAlive', 'Lease.LeaseRevoke'], kind: 'hang' });
await etcd.advance(8_000);
console.log(`8 s after the last contact: ${hold.lost}; its key is still in etcd:`);
console.log((await etcd.store.read({ key: hold.key })).count);

await etcd.advance(4_000);
console.log('4 s later etcd has given it up, long after we had:');
console.log((await etcd.store.read({ key: hold.key })).count);
