import { setTimeout as sleep } from 'node:timers/promises';
import { type Hold, ReadWriteLock, type Session } from '../../../src/index.js';
import { type Context, givenUp } from './context.js';
import { release, taking, tellLosses } from './locks.js';
import { mark } from './marks.js';

const lock = 'shared';

/** Reads, writes, goes on reading after it has written, and writes after it has read. */
export async function readersAndWriters(
  context: Context,
  session: Session,
  life: AbortSignal,
): Promise<void> {
  const { random, operations } = context;
  const rw = new ReadWriteLock(session, lock);
  tellLosses(context, lock, [rw.read, rw.upgradeable, rw.write]);
  const timeout = (): number => (random.chance(0.1) ? random.between(20, 300) : 8_000);

  /** Says so at the beginning and at the end. */
  async function held(hold: Hold, mode: string): Promise<void> {
    await mark(context, hold, { lock, mode });
    await sleep(random.between(0, 60));
    await mark(context, hold, { lock, mode });
  }

  async function writeThenRead(hold: Hold): Promise<void> {
    await held(hold, 'write');
    if (random.chance(0.5)) return;
    const token = Number(hold.token);
    await operations.run('downgrade', { lock, token }, () => rw.downgrade(hold));
    await held(hold, 'read');
  }

  async function readThenWrite(hold: Hold): Promise<void> {
    await held(hold, 'upgradeable');
    const call = { lock, token: Number(hold.token) };
    const limit = timeout();
    const upgraded = await operations.run(
      'upgrade',
      { ...call, limit },
      () => rw.upgrade(hold, { timeout: limit, signal: life }).catch(givenUp(life, lock)),
      () => call,
    );
    if (!upgraded) return;
    await held(upgraded, 'write');
    await release(operations, upgraded, { lock, mode: 'write' });
    await mark(context, hold, { lock, mode: 'upgradeable' });
  }

  while (!life.aborted) {
    await sleep(random.between(50, 350));
    const mode = random.pick(['read', 'read', 'read', 'read', 'upgradeable', 'write']);
    const side = { read: rw.read, upgradeable: rw.upgradeable, write: rw.write }[mode];
    const work = { read: held, upgradeable: readThenWrite, write: writeThenRead }[mode];
    if (!side || !work) continue;
    const turn = {
      call: { lock, mode },
      take: (wait: object) => side.acquire(wait),
      work: (hold: Hold) => work(hold, mode),
    };
    await taking(context, session, life, turn, timeout());
  }
}
