import { setTimeout as sleep } from 'node:timers/promises';
import { type Hold, type Lock, Mutex, type Session, type WaitOptions } from '../../../src/index.js';
import { now } from '../history.js';
import type { Call, Operations } from '../operations.js';
import { CALL_LIMIT, type Context, generation, givenUp, lossOf, WAIT } from './context.js';

const LIST_LIFE = 1_000;

/** How something is taken, and what is done under it. */
export interface Turn<H extends Hold> {
  /** What of it goes into the history. */
  readonly call: Call & { readonly lock: string };
  readonly take: (wait: WaitOptions) => Promise<H>;
  readonly work: (hold: H) => Promise<void>;
}

/** Has losses of a lock's holds written down. */
export function tellLosses({ operations }: Context, lock: string, locks: readonly Lock[]): void {
  for (const each of locks) {
    each.on('lost', ({ token, reason }) => {
      operations.note('lost', { lock, token: Number(token), reason });
    });
  }
}

/** Takes something, has something done under it, and gives it back. */
export async function taking<H extends Hold>(
  { operations }: Context,
  session: Session,
  life: AbortSignal,
  { call, take, work }: Turn<H>,
  timeout: number = WAIT,
): Promise<void> {
  const { lock, mode } = call;
  const hold = await operations.run(
    'acquire',
    { ...call, limit: timeout },
    () => take({ timeout, signal: life }).catch(givenUp(life, lock)),
    ({ token }) => ({ ...call, token: Number(token), lease: String(session.id) }),
  );
  if (!hold) return;
  try {
    await work(hold);
  } finally {
    await release(operations, hold, { lock, ...(mode && { mode }) });
  }
}

/** Gives it back: until its lease is over, or etcd, which may go on renewing that, has answered as it has to any write. */
export async function release(
  operations: Operations,
  hold: Hold,
  call: Turn<Hold>['call'],
): Promise<void> {
  const token = Number(hold.token);
  await operations.run(
    'release',
    { ...call, token, limit: CALL_LIMIT },
    () => hold.release(),
    (held) => ({ held, token }),
  );
}

/** Takes a lock, has something done under it, and gives it back: again and again while the session lives. */
async function underLock(
  context: Context,
  session: Session,
  lock: string,
  life: AbortSignal,
  work: (hold: Hold) => Promise<void>,
): Promise<void> {
  const mutex = new Mutex(session, lock);
  tellLosses(context, lock, [mutex]);
  const take = (wait: WaitOptions): Promise<Hold> => mutex.acquire(wait);
  while (!life.aborted) {
    await sleep(context.random.between(0, 10));
    await taking(context, session, life, { call: { lock }, take, work });
  }
}

/** Changes a register of the vault: reads it, takes its time, and writes what follows from that. */
export function vaultUpdates(context: Context, session: Session, life: AbortSignal): Promise<void> {
  const { operations, random, vault, setup } = context;
  return underLock(context, session, 'vault', life, async (hold) => {
    const kind = random.chance(0.8) ? 'fenced' : 'unfenced';
    const token = setup.defect === 'drop-token' ? Number.MAX_SAFE_INTEGER : Number(hold.token);
    const { accepted, value: base } = await vault.ask({ do: 'read', kind, token });
    if (!accepted) return;
    // As careless users do, it looks at the lock no more; what the lock would have said is written down.
    await sleep(random.chance(0.75) ? random.between(0, 10) : random.between(50, 400));
    const { i, value } = operations.fresh();
    const t = now();
    const lost = lossOf(context, hold);
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
    const lost = lossOf(context, hold);
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
