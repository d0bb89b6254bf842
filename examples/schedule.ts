// A job that runs once per tick, in whichever process. Run: npx tsx examples/schedule.ts 127.0.0.1:2379
import { connect, type Schedule, type ScheduledJob } from '../src/index.js';

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
const everySecond = '* * * * * *';
const name = 'examples/schedule';
const ticks: number[] = [];
const job: ScheduledJob = async ({ tick, txn }) => {
  // Refused if somebody else runs ticks by now.
  await txn().put('examples/last-tick', tick.toISOString()).commit();
  ticks.push(tick.getTime());
};
const oneDone = (schedule: Schedule): Promise<unknown> =>
  new Promise((resolve) => schedule.once('done', resolve));

// Two processes would have one each.
await using one = await connect({ endpoints: [endpoint] });
await using other = await connect({ endpoints: [endpoint] });
await using first = one.schedule(name, everySecond);
await using second = other.schedule(name, everySecond);
const running = [first.run(job)];
await oneDone(first);
running.push(second.run(job));
await oneDone(first);
// Whoever waits in line takes over.
await first.close();
await oneDone(second);
await second.close();
await Promise.all(running);
console.log(`each tick run once: ${new Set(ticks).size === ticks.length}`);

const { last, next } = await one.schedule(name, everySecond).inspect();
console.log(
  `the last one: ${last?.state}; the next is later: ${Number(next) > Number(last?.tick)}`,
);
