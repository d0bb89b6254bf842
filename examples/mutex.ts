// A lock in three ways. Run: npx tsx examples/mutex.ts 127.0.0.1:2379
import { connect } from '../src/index.js';

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
await using coordinator = await connect({ endpoints: [endpoint] });
const mutex = coordinator.mutex('examples/mutex');

// For as long as a function runs; what it writes through the hold is written only while the lock is held.
await mutex.run(async (hold) => {
  await hold.txn().put('examples/last', `token ${hold.token}`).commit();
  console.log(`ran with token ${hold.token}`);
});

// For as long as a block runs; a second contender does not get it.
{
  await using hold = await mutex.acquire();
  const second = await mutex.tryAcquire();
  console.log(`held: ${hold.lost === undefined}, second: ${second?.token ?? 'not granted'}`);
}

// By hand: `release` says whether it was held to the end.
const hold = await mutex.acquire();
console.log(`released: ${await hold.release()}`);
