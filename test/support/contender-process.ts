import { once } from 'node:events';
import { connect, type Hold } from '../../src/index.js';
import type { ContenderReport, ContenderTask } from './contenders.js';

// A process of `runContenders`: adds one to a shared counter, by reading and then writing it, until it is
// told to stop.
const [json = ''] = process.argv.slice(2);
const { endpoint, name, locked } = JSON.parse(json) as ContenderTask;
const coordinator = await connect({ endpoints: [endpoint] });
const { store } = coordinator;
const mutex = coordinator.mutex(name);
const report: ContenderReport = { increments: 0, tokensOutOfOrder: 0 };
process.on('disconnect', () => process.exit(1));
process.send?.(report);
await once(process, 'message');
const stop = new AbortController();
process.on('message', () => stop.abort());

const read = async (key: string): Promise<bigint> =>
  BigInt((await store.read({ key })).kvs[0]?.value.toString() ?? '0');
const write = async (key: string, value: bigint): Promise<unknown> =>
  store.commit({ success: [{ put: { key, value: String(value) } }] });

async function increment(hold?: Hold): Promise<void> {
  const value = await read(`${name}/counter`);
  if (hold) {
    if ((await read(`${name}/token`)) >= hold.token) report.tokensOutOfOrder += 1;
    await write(`${name}/token`, hold.token);
  }
  await write(`${name}/counter`, value + 1n);
  report.increments += 1;
}

while (!stop.signal.aborted) {
  await (locked ? mutex.run(increment) : increment());
}
await coordinator.close();
process.send?.(report, () => process.exit(0));
