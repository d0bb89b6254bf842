import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Session, type Term, type WaitOptions } from '../../../src/index.js';
import { CALL_LIMIT, type Context } from './context.js';
import { taking } from './locks.js';
import { mark } from './marks.js';

const lock = 'office';

/** Campaigns, leads for a while, proclaims, and has somebody else lead. */
export async function terms(context: Context, session: Session, life: AbortSignal): Promise<void> {
  const { random, operations, setup } = context;
  const priority = random.below(3);
  const election = new Election(session, lock, { id: setup.slot, priority });
  election.on('lost', ({ token, reason }) => {
    operations.note('lost', { lock, token: Number(token), reason });
  });
  const guarded = setup.defect !== 'unguarded-leader';

  async function lead(term: Term): Promise<void> {
    await mark(context, term, { lock }, guarded);
    await sleep(random.between(0, 60));
    if (random.chance(0.4)) {
      const value = `${setup.name} at ${random.below(1_000)}`;
      const call = { lock, token: Number(term.token), value, limit: 2 * CALL_LIMIT };
      await operations.run('proclaim', call, () => term.proclaim(value));
    }
    await mark(context, term, { lock }, guarded);
    if (random.chance(0.3)) await term.transferTo(`w${1 + random.below(8)}`).catch(() => {});
  }

  while (!life.aborted) {
    await sleep(random.between(50, 500));
    const timeout = random.chance(0.1) ? random.between(20, 300) : 8_000;
    const take = (wait: WaitOptions): Promise<Term> => election.campaign(setup.name, wait);
    await taking(context, session, life, { call: { lock }, take, work: lead }, timeout);
  }
}

/** Follows who leads, until the run is over. */
export async function told({ operations, stop }: Context, session: Session): Promise<void> {
  try {
    for await (const change of new Election(session, lock).watch({ signal: stop })) {
      const { leader, revision, missed } = change;
      const what = { token: Number(leader?.token ?? 0), value: leader?.value ?? null };
      operations.note('told', { lock, rev: Number(revision), ...what, missed });
    }
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    operations.note('untold', { lock });
  }
}
