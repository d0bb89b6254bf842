import { setTimeout as sleep } from 'node:timers/promises';
import { connect, HoldLostError, SessionLostError, UnavailableError } from '../../src/index.js';
import type { Kind, Setup } from './messages.js';
import { Orders } from './orders.js';
import { runSection } from './section.js';

const { name, endpoints, prefix, ttl } = JSON.parse(process.argv[2] ?? '') as Setup;
const orders = new Orders();
// Ctrl-C reaches the whole foreground group; the main process decides what it means.
process.on('SIGINT', () => {});

while (!orders.stop.aborted) {
  try {
    await workForOneSession();
  } catch (error) {
    if (!orders.stop.aborted && !isPassing(error)) throw error;
    await sleep(50);
  }
}
orders.finish();

/** Section after section, until told to stop or until the session is lost: then a new one is needed. */
async function workForOneSession(): Promise<void> {
  await using coordinator = await connect({ endpoints, session: { ttl, label: name } });
  const { session } = coordinator;
  const room = coordinator.namespace(prefix);
  const context = {
    worker: name,
    mutex: room.mutex('counters'),
    store: room.store,
    signal: orders.stop,
    between: ({ token }: { token: bigint }, kind: Kind) => orders.linger(kind, token),
  };
  orders.report({ is: 'ready', ttl: session.ttl });
  for (let n = 0; !orders.stop.aborted && session.remaining() > 0; n += 1) {
    const section = await runSection(context, n % 2 === 0 ? 'guarded' : 'plain');
    if (section) orders.report({ is: 'section', section });
  }
}

function isPassing(error: unknown): boolean {
  return (
    error instanceof SessionLostError ||
    error instanceof HoldLostError ||
    error instanceof UnavailableError
  );
}
