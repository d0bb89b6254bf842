// Giving up a wait, by time and by signal. Run: npx tsx examples/with-timeout.ts 127.0.0.1:2379
import { connect, WaitTimeoutError } from '../src/index.js';

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
await using coordinator = await connect({ endpoints: [endpoint] });
const mutex = coordinator.mutex('examples/with-timeout');
await using hold = await mutex.acquire();

try {
  await mutex.acquire({ timeout: 200 });
} catch (error) {
  if (!(error instanceof WaitTimeoutError)) throw error;
  console.log(`gave up: ${error.message}`);
}

const shutdown = new AbortController();
const waiting = mutex.acquire({ signal: shutdown.signal });
shutdown.abort(new Error('the program ends'));
await waiting.catch((reason: Error) => console.log(`gave up: ${reason.message}`));

console.log(`still held by us: ${hold.lost === undefined}`);
