import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Coordinator, connect } from '../../src/index.js';
import type { Setup } from './crew.js';
import { defective } from './defects.js';
import { Recorder } from './history.js';
import { Operations } from './operations.js';
import { Random } from './random.js';
import { Vault } from './vault.js';
import type { Context } from './workloads/context.js';
import { counters } from './workloads/counters.js';
import { told } from './workloads/elections.js';
import { jobs } from './workloads/jobs.js';
import { mirrors } from './workloads/mirrors.js';
import type { Workload } from './workloads/names.js';
import { partitions } from './workloads/partitions.js';
import { registers } from './workloads/registers.js';
import { sessions, visits } from './workloads/sessions.js';
import { numbers, sums } from './workloads/values.js';
import { Watches, watches } from './workloads/watches.js';

// A process that uses the library as a user would, and writes down all it does and sees.
const setup = JSON.parse(process.argv[2] ?? '') as Setup;
const recorder = new Recorder(setup.directory, setup.slot, setup.name);
const operations = new Operations(recorder);
operations.note('begin', { pid: process.pid });
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    operations.note('crash', { error: `${event}: ${text}` });
  });
}
// What the whole process group gets is for the harness to decide upon.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
const orphaned = (): never => process.exit(1);
process.on('disconnect', orphaned);

const random = new Random(setup.seed, setup.name);
const stop = new AbortController();
const coordinator = await connected();
const { store } = coordinator;
const context: Context = {
  setup,
  operations,
  random,
  store: defective(store, setup.defect, random),
  vault: await Vault.connect(setup.vault),
  stop: stop.signal,
};
const finish = new Promise<number>((resolve) => {
  process.once('message', (message) => {
    resolve((message as { finish: number }).finish);
    stop.abort();
  });
});
process.send?.('ready');
if (setup.defect === 'leak-lease') {
  await store.grant(BigInt(randomBytes(4).readUInt32BE()) + 1n, 3_600_000).catch(() => {});
}
const followed = new Watches(context);
// Its loss is nothing to those who hold nothing.
const base = coordinator.session.over(context.store);
const share = setup.rate / 4;
const twice = (work: () => Promise<unknown>): Promise<unknown> => Promise.all([work(), work()]);
const workloads: Record<Workload, () => Promise<unknown>> = {
  registers: () => twice(() => registers(context, share)),
  counters: () => twice(() => counters(context, share)),
  sessions: () => sessions(context),
  visits: () => visits(context),
  watches: () => watches(context, followed),
  terms: () => told(context, base),
  sums: () => sums(context, base),
  numbers: () => numbers(context, base),
  jobs: () => jobs(context, base),
  mirrors: () => mirrors(context, base),
  shards: () => partitions(context),
};
await Promise.all(setup.workloads.map((name) => workloads[name]()));
await followed.finish(await finish);
const lease = String(coordinator.session.id);
await operations.run('close', { lease, limit: 10_000 }, () => coordinator.close());
context.vault.close();
operations.note('end', {});
recorder.close();
// Whatever the library left open would keep this process alive, and be noticed.
process.off('disconnect', orphaned);
process.disconnect();

/** The connection that everything here goes over; its session is of no further use. */
async function connected(): Promise<Coordinator> {
  const { endpoints, transport } = setup;
  const options = { endpoints, transport, session: { ttl: 5_000, label: setup.name } };
  for (;;) {
    const made = await operations.run(
      'open',
      { limit: 10_000 },
      () => connect(options),
      ({ session }) => ({ lease: String(session.id), ttl: session.ttl }),
    );
    if (made) return made;
    await sleep(100);
  }
}
