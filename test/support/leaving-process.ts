import { connect } from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';

// Uses clients, closes them, and does nothing to end: prints how often a timer of 100 ms ran until it ended all the same. A
// machine that is busy elsewhere holds that up as well.
const [json = '', name = ''] = process.argv.slice(2);
const options = JSON.parse(json) as Parameters<typeof connect>[0];
const idle = await connect(options);
const busy = await connect(options);
const { store } = busy;
await store.watch({ key: name }, { events() {}, gap() {}, closed() {} }).ready;
await store.commit({ success: [{ put: { key: name, value: '' } }] }, { exactlyOnce: true });
await store.commit({ success: [{ delete: { key: name } }] });
const mutex = busy.mutex(name);
await mutex.acquire();
mutex.acquire().catch(() => {});
await waitFor(async () => (await mutex.inspect()).waiters[0]);
const jobs = busy.queue<number>(name);
const consumer = jobs.consume(() => {});
const done = new Promise((resolve) => consumer.on('done', resolve));
await jobs.put(1);
await done;
await Promise.all([idle.close(), busy.close()]);
let ticks = 0;
setInterval(() => (ticks += 1), 100).unref();
process.once('exit', () => console.log(ticks));
