import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ensureEtcd } from '../scripts/get-etcd.js';
import { start } from '../src/embed/index.js';
import { Etcd3Store } from '../src/index.js';
import { runContenders } from './support/contenders.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    processes: { type: 'string', default: '8' },
    release: { type: 'string', default: 'newest' },
  },
});
const { etcd, version } = await ensureEtcd(values.release);
await using cluster = await start({ engine: 'etcd', binary: etcd, unsafeNoFsync: true });
const [endpoint = ''] = cluster.endpoints;
const store = new Etcd3Store({ endpoints: [endpoint] });
let failed = false;
for (const locked of [false, true]) {
  const name = randomUUID();
  const task = { endpoint, name, locked };
  const seconds = locked ? Number(values.seconds) : 5;
  const report = await runContenders(task, Number(values.processes), () => delay(seconds * 1_000));
  const counter = await store.read({ key: `${name}/counter` });
  const lost = report.increments - Number(counter.kvs[0]?.value.toString());
  failed ||= locked ? lost !== 0 || report.tokensOutOfOrder > 0 : lost === 0;
  console.log(
    `etcd ${version}, ${values.processes} processes, ${seconds} s ${locked ? 'with' : 'without'} the lock:`,
    `${report.increments} increments, ${lost} lost, ${report.tokensOutOfOrder} tokens out of order`,
  );
}
store.close();
process.exitCode = failed ? 1 : 0;
