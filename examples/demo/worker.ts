import { connect, HoldLostError, SessionLostError, UnavailableError } from '../../src/index.js';
import type { Kind, Setup } from './messages.js';
import { Orders } from './orders.js';
import { runSection } from './section.js';

const { name, endpoints, prefix, ttl } = JSON.parse(process.argv[2] ?? '') as Setup;
const orders = new Orders();
// Ctrl-C reaches the whole foreground group; the main process decides what it means.
process.on('SIGINT', () => {});
await work();
orders.finish();

/** Section after section, until told to stop; after a loss the next section opens the session again. */
async function work(): Promise<void> {
  await using coordinator = await connect({ endpoints, session: { ttl, label: name } });
  const room = coordinator.namespace(prefix);
  const context = {
    worker: name,
    mutex: room.mutex('counters'),
    store: room.store,
    signal: orders.stop,
    between: ({ token }: { token: bigint }, kind: Kind) => orders.linger(kind, token),
  };
  orders.report({ is: 'ready', ttl: coordinator.session.ttl });
  for (let n = 0; !orders.stop.aborted; n += 1) {
    try {
      const section = await runSection(context, n % 2 === 0 ? 'guarded' : 'plain');
      if (section) orders.report({ is: 'section', section });
    } catch (error) {
      if (!orders.stop.aborted && !isPassing(error)) throw error;
    }
  }
}

function isPassing(error: unknown): boolean {
  return (
    error instanceof SessionLostError ||
    error instanceof HoldLostError ||
    error instanceof UnavailableError
  );
}
