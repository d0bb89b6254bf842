// Instances that register and are called, members of a group, and shards that are divided. Run: npx tsx examples/services.ts 127.0.0.1:2379
import { once } from 'node:events';
import { Balancer, connect } from '../src/index.js';

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
await using coordinator = await connect({ endpoints: [endpoint] });

// Two that can be called, one of which always fails.
const service = coordinator.service('examples/search');
await using good = await service.register({ address: '10.0.0.1:80', zone: 'eu' });
await using bad = await service.register({ address: '10.0.0.2:80', zone: 'eu' });
using directory = service.directory({ zone: 'eu' });
await directory.ready();
const balancer = new Balancer(directory, { policy: 'round-robin' });
const answers = await Promise.all(
  Array.from({ length: 4 }, () =>
    balancer.call(async ({ address }) => {
      if (address === bad.instance.address) throw new Error('out of order');
      return address;
    }),
  ),
);
console.log(`answered: ${answers.every((address) => address === good.instance.address)}`);

// Who is there, with what each says of itself.
const group = coordinator.group<{ readonly cores: number }>('examples/workers');
await using member = await group.join({ cores: 4 });
using members = group.members();
await members.ready();
console.log(`member: ${members.get(member.id)?.payload.cores} cores`);

// Each shard is with one process at a time; here there is one, so it gets all.
const partitioner = coordinator.partitioner('examples/topics', { shards: 4, settle: 0 });
const owned: number[] = [];
const running = partitioner.run(async ({ shard, draining }) => {
  if (owned.push(shard) < 4) await once(draining, 'abort');
  else void partitioner.close();
});
await running.catch(() => {});
console.log(`shards: ${owned.toSorted((a, b) => a - b).join(', ')}`);
