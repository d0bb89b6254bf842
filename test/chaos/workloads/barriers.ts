import { setTimeout as sleep } from 'node:timers/promises';
import { CyclicBarrier, DoubleBarrier, HoldLostError, type Session } from '../../../src/index.js';
import { CALL_LIMIT, type Context, givenUp, lossOf, under, WAIT } from './context.js';

/** So many of the processes go on together. */
export const PARTIES = 3;

/** Waits for others, time and again. */
export async function circle(context: Context, session: Session, life: AbortSignal): Promise<void> {
  const { random, operations } = context;
  const lock = 'circle';
  const barrier = new CyclicBarrier(session, lock, PARTIES);
  while (!life.aborted) {
    await sleep(random.between(20, 250));
    const timeout = random.chance(0.05) ? random.between(20, 300) : WAIT;
    await operations.run(
      'await',
      { lock, limit: timeout },
      () => barrier.wait({ timeout, signal: life }).catch(givenUp(life, lock)),
      ({ generation, index }) => ({ generation, index }),
    );
  }
}

/** Begins with others, and ends with them. */
export async function stage(context: Context, session: Session, life: AbortSignal): Promise<void> {
  const { random, operations, store, setup } = context;
  const lock = 'stage';
  const barrier = new DoubleBarrier(session, lock, PARTIES);
  const limit = CALL_LIMIT;
  const there = under(`double-barrier/${lock}/`);
  while (!life.aborted) {
    await sleep(random.between(20, 250));
    const timeout = random.chance(0.05) ? random.between(20, 300) : WAIT;
    const hold = await operations.run(
      'enter',
      { lock, limit: timeout },
      () => barrier.enter({ timeout, signal: life }).catch(givenUp(life, lock)),
      ({ token }) => ({ token: Number(token) }),
    );
    if (!hold) continue;
    const token = Number(hold.token);
    await sleep(random.between(0, 50));
    const stay = { isOver: false };
    const leave = async (): Promise<true> => {
      try {
        if (setup.defect === 'leave-early') await hold.release();
        else await barrier.leave({ timeout: WAIT, signal: life });
        stay.isOver = true;
        return true;
      } catch (error) {
        stay.isOver = error instanceof HoldLostError;
        return givenUp(life, lock)(error);
      }
    };
    let isLeft: true | undefined;
    // Who waited in vain for the others goes on waiting.
    while (!stay.isOver && !life.aborted) {
      const call = { lock, token, lost: lossOf(context, hold), limit: WAIT };
      isLeft = await operations.run('leave', call, leave, () => ({ token }));
    }
    if (!isLeft) continue;
    await operations.run(
      'look',
      { lock, token, limit },
      () => store.read({ ...there, keysOnly: true }),
      ({ kvs }) => ({ token, tokens: kvs.map(({ createRevision }) => Number(createRevision)) }),
    );
  }
}
