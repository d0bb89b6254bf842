import { setTimeout as sleep } from 'node:timers/promises';
import { type Hold, Semaphore, type Session } from '../../../src/index.js';
import { CALL_LIMIT, type Context } from './context.js';
import { taking, tellLosses } from './locks.js';
import { mark } from './marks.js';

const lock = 'permits';
/** The limit changes; it is never below what one may ask for. */
const MOST = 3;

/** Takes some of the permits, and changes now and then how many there are. */
export async function permits(
  context: Context,
  session: Session,
  life: AbortSignal,
): Promise<void> {
  const { random, operations } = context;
  const semaphore = new Semaphore(session, lock);
  tellLosses(context, lock, [semaphore]);
  const resize = (): Promise<unknown> => {
    const limit = MOST + random.below(3);
    return operations.run('resize', { lock, permits: limit, limit: 3 * CALL_LIMIT }, () =>
      semaphore.resize(limit, { timeout: CALL_LIMIT }),
    );
  };
  // Until there is a limit, nobody gets anything.
  const known = await semaphore.inspect({ timeout: CALL_LIMIT }).catch(() => undefined);
  if (known?.limit === undefined) await resize();
  while (!life.aborted) {
    await sleep(random.between(20, 150));
    if (random.chance(0.04)) await resize();
    const call = { lock, mode: 'permits', permits: 1 + random.below(MOST) };
    const timeout = random.chance(0.1) ? random.between(20, 300) : 8_000;
    const turn = {
      call,
      take: (wait: object) => semaphore.acquire({ ...wait, permits: call.permits }),
      work: async (hold: Hold) => {
        await mark(context, hold, call);
        await sleep(random.between(0, 200));
        await mark(context, hold, call);
      },
    };
    await taking(context, session, life, turn, timeout);
  }
}
