// Readers and writers, permits, several mutexes, and barriers. Run: npx tsx examples/locks.ts 127.0.0.1:2379
import { connect } from '../src/index.js';

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
await using coordinator = await connect({ endpoints: [endpoint] });

// Many readers, or one writer, who may go on as a reader.
const catalogue = coordinator.readWriteLock('examples/catalogue');
{
  await using first = await catalogue.read.acquire();
  await using second = await catalogue.read.acquire();
  const writer = await catalogue.write.tryAcquire();
  console.log(`readers: ${[first, second].length}, writer: ${writer?.token ?? 'not granted'}`);
}
{
  await using hold = await catalogue.write.acquire();
  await catalogue.downgrade(hold);
  await using reader = await catalogue.read.acquire();
  console.log(`downgraded: ${hold.lost === undefined && reader.lost === undefined}`);
}

// Three permits for all processes.
const gpu = coordinator.semaphore('examples/gpu', { limit: 3 });
{
  await using hold = await gpu.acquire({ permits: 2 });
  const more = await gpu.tryAcquire({ permits: 2 });
  console.log(`permits: ${hold.lost ?? 'two held'}, two more: ${more?.token ?? 'not granted'}`);
}

// Both accounts, or none.
await coordinator.multiLock(['examples/a', 'examples/b']).run(async () => {
  const one = await coordinator.mutex('examples/a').tryAcquire();
  console.log(`both held, one of them alone: ${one?.token ?? 'not granted'}`);
});

// Three parties in two rounds; here they are all in this process.
const step = coordinator.cyclicBarrier('examples/step', 3);
for (let round = 0; round < 2; round += 1) {
  const passages = await Promise.all([step.wait(), step.wait(), step.wait()]);
  const numbers = passages.map(({ index }) => index).toSorted((a, b) => a - b);
  console.log(`went on together: ${numbers.join(', ')}`);
}

// Two parties that begin and end together.
const parties = ['a', 'b'].map((name) => ({
  name,
  barrier: coordinator.doubleBarrier('examples/experiment', 2),
}));
await Promise.all(
  parties.map(async ({ barrier }) => {
    await barrier.enter();
    await barrier.leave();
  }),
);
console.log(`began and ended together: ${parties.map(({ name }) => name).join(', ')}`);
