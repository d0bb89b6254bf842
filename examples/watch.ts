// A map that follows etcd, and what happens to it. Run: npx tsx examples/watch.ts 127.0.0.1:2379
import { connect, prefixRange } from '../src/index.js';

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
await using coordinator = await connect({ endpoints: [endpoint] });
const { client } = coordinator.namespace('examples/watch/');
await client.put('jobs/1', 'waiting');
await client.put('jobs/2', 'waiting');

const jobs = new Map<string, string>();
const watch = client.watch(prefixRange('jobs/'), { initial: true });
const follow = (async () => {
  for await (const { revision, changes } of watch.revisions()) {
    for (const { type, kv } of changes) {
      if (type === 'put') jobs.set(kv.key.toString(), kv.value.toString());
      else jobs.delete(kv.key.toString());
    }
    console.log(`at revision ${revision}:`, Object.fromEntries(jobs));
    if (jobs.size === 0) break;
  }
})();

await watch.synced;
await client.put('jobs/1', 'running');
await client.delete(prefixRange('jobs/'));
await follow;
