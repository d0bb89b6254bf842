import { setTimeout as sleep } from 'node:timers/promises';
import { type Hold, HoldLostError, Mutex, type Session } from '../../../src/index.js';
import { now } from '../history.js';
import { CALL_LIMIT, type Context, generation } from './context.js';

const WAIT = 8_000;
const LIST_LIFE = 1_000;

/** Takes a lock, has something done under it, and gives it back: again and again while the session lives. */
async function underLock(
  context: Context,
  session: Session,
  lock: string,
  life: AbortSignal,
  work: (hold: Hold) => Promise<void>,
): Promise<void> {
  const { operations, random, setup } = context;
  const mutex = new Mutex(session, lock);
  mutex.on('lost', ({ token, reason }) => {
    operations.note('lost', { lock, token: Number(token), reason });
  });
  while (!life.aborted) {
    await sleep(random.between(0, 10));
    const wait = { timeout: WAIT, signal: life };
    const hold = await operations.run(
      'acquire',
      { lock, limit: WAIT },
      () =>
        mutex.acquire(wait).catch((error: unknown) => {
          // The end of the run is no failure: the place in the line is given up.
          throw life.aborted ? new HoldLostError(lock, 'closed') : error;
        }),
      ({ token }) => ({ token: Number(token), lease: String(session.id) }),
    );
    if (!hold) continue;
    const token = Number(hold.token);
    try {
      await work(hold);
    } finally {
      await operations.run(
        'release',
        { lock, token, limit: setup.ttl },
        () => hold.release(),
        (held) => ({ held, token }),
      );
    }
  }
}

/** Changes a register of the vault: reads it, takes its time, and writes what follows from that. */
export function vaultUpdates(context: Context, session: Session, life: AbortSignal): Promise<void> {
  const { operations, random, vault, setup } = context;
  return underLock(context, session, 'vault', life, async (hold) => {
    const kind = random.chance(0.7) ? 'fenced' : 'unfenced';
    const token = setup.defect === 'drop-token' ? Number.MAX_SAFE_INTEGER : Number(hold.token);
    const { accepted, value: base } = await vault.ask({ do: 'read', kind, token });
    if (!accepted) return;
    // As careless users do, it looks at the lock no more; what the lock would have said is written down.
    await sleep(random.chance(0.75) ? random.between(0, 10) : random.between(30, 250));
    const { i, value } = operations.fresh();
    const t = now();
    const lost = setup.defect === 'keep-after-loss' ? null : (hold.lost ?? null);
    const remaining = Math.round(hold.remaining());
    await operations.run(
      'vault',
      { i, lock: 'vault', kind, token: Number(hold.token), base, value, lost, remaining },
      () => vault.ask({ do: 'write', kind, token, base, value }),
      (reply) => ({ accepted: reply.accepted, kind }),
      t,
    );
  });
}

/** Adds to a list by reading and writing the whole of it, guarded by the lock. */
export function listAppends(context: Context, session: Session, life: AbortSignal): Promise<void> {
  const { operations, random, store, setup } = context;
  return underLock(context, session, 'list', life, async (hold) => {
    const key = `list/${generation(LIST_LIFE)}`;
    const { i, value } = operations.fresh();
    const token = Number(hold.token);
    const t = now();
    const lost = setup.defect === 'keep-after-loss' ? null : (hold.lost ?? null);
    await operations.run(
      'append',
      { i, lock: 'list', key, value, token, lost, limit: 2 * CALL_LIMIT + 100 },
      async () => {
        const { kvs } = await store.read({ key });
        const [, elements = ''] = kvs[0]?.value.toString().split('|') ?? [];
        if (random.chance(0.2)) await sleep(random.between(0, 50));
        const list = elements === '' ? value : `${elements},${value}`;
        if (setup.defect === 'skip-guard') {
          return store.commit({ success: [{ put: { key, value: `${token}|${list}` } }] });
        }
        return hold.txn().put(key, `${token}|${list}`).commit();
      },
      ({ revision }) => ({ rev: Number(revision) }),
      t,
    );
  });
}
