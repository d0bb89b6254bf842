import { start } from '../../../../src/embed/index.js';

/** A process that starts etcd, tells about it, and never stops it: `parent.ts stay|leave`. */
const cluster = await start({ engine: 'etcd', members: 2 });
cluster.members[1]?.pause();
console.log(
  JSON.stringify({
    endpoints: cluster.endpoints,
    dirs: cluster.members.map((member) => member.dataDir),
  }),
);
if (process.argv[2] === 'stay') {
  setInterval(() => {}, 1000);
}
