import { setTimeout as sleep } from 'node:timers/promises';
import { connect, Session } from '../../../src/index.js';
import { circle, stage } from './barriers.js';
import { CALL_LIMIT, type Context } from './context.js';
import { terms } from './elections.js';
import { listAppends, release, vaultUpdates } from './locks.js';
import { permits } from './permits.js';
import { readersAndWriters } from './shared.js';

const SAMPLE = 250;

/** Works through one session after the other: a new one whenever one is lost. */
export async function sessions(context: Context): Promise<void> {
  const { setup, store, operations, stop } = context;
  const { ttl, name } = setup;
  while (!stop.aborted) {
    const session = await operations.run(
      'open',
      { limit: 2 * CALL_LIMIT },
      () => Session.open(store, { ttl, label: name }),
      ({ id, ttl: granted }) => ({ lease: String(id), ttl: granted }),
    );
    if (session) await workIn(context, session);
    else await sleep(100);
  }
}

async function workIn(context: Context, session: Session): Promise<void> {
  const { operations, stop } = context;
  const lease = String(session.id);
  const over = new AbortController();
  const life = AbortSignal.any([stop, over.signal]);
  session.on('lost', ({ reason }) => {
    operations.note('session', { lease, state: 'lost', reason });
    over.abort();
  });
  for (const state of ['suspended', 'resumed'] as const) {
    session.on(state, () => operations.note('session', { lease, state }));
  }
  const sample = setInterval(() => {
    const { state } = session;
    operations.note('session', { lease, state, remaining: Math.round(session.remaining()) });
  }, SAMPLE);
  try {
    const all = [vaultUpdates, listAppends, readersAndWriters, permits, terms, circle, stage];
    await Promise.all(all.map((work) => work(context, session, life)));
  } finally {
    clearInterval(sample);
    await operations.run('close', { lease, limit: CALL_LIMIT + 5_000 }, () => session.close());
  }
}

/** Connects, takes a lock of its own, and leaves: in order, or with the lock in its hands. */
export async function visits(context: Context): Promise<void> {
  const { setup, operations, random, stop } = context;
  const { endpoints, transport, ttl } = setup;
  const options = { endpoints, transport, session: { ttl, label: `visitor ${setup.name}` } };
  while (!stop.aborted) {
    await sleep(random.between(500, 2_500), undefined, { signal: stop }).catch(() => {});
    const coordinator = await operations.run(
      'open',
      { limit: 2 * CALL_LIMIT },
      () => connect(options),
      ({ session }) => ({ lease: String(session.id), ttl: session.ttl }),
    );
    if (!coordinator) continue;
    const { session } = coordinator;
    const lease = String(session.id);
    session.on('lost', ({ reason }) =>
      operations.note('session', { lease, state: 'lost', reason }),
    );
    const lock = `visit ${setup.name}`;
    const mutex = coordinator.mutex(lock);
    const hold = await operations.run(
      'acquire',
      { lock, limit: 3_000 },
      () => mutex.tryAcquire({ timeout: 3_000 }),
      (won) => ({ lease, ...(won && { token: Number(won.token) }) }),
    );
    if (hold && random.chance(0.5)) await release(operations, hold, { lock });
    await operations.run('close', { lease, limit: CALL_LIMIT + 5_000 }, () => coordinator.close());
  }
}
