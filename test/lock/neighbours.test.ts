import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { Etcd3Store, type Hold, HoldLostError, Mutex, Session } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { randomFrom } from '../support/random.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 10 };

/** What became of all who asked. */
interface Tally {
  asked: number;
  granted: number;
  gaveUp: number;
  /** Keys named by those who were told that their place was deleted. */
  readonly lost: string[];
  readonly wrong: unknown[];
}

/** Sessions of one line on so many stores, and an admin who looks at it with an eye of its own. */
async function openSessions(stores: number, sessions: number): Promise<Session[]> {
  const opening = Array.from({ length: stores }, async () => {
    const store = new Etcd3Store({ endpoints: [etcd.endpoint] });
    etcd.defer(() => store.close());
    return Promise.all(Array.from({ length: sessions }, () => Session.open(store)));
  });
  const all = (await Promise.all(opening)).flat();
  etcd.defer(() => Promise.all(all.map((session) => session.close(0))));
  return all;
}

it.each([
  [1, 40, 1],
  [1, 40, 2],
  [1, 40, 3],
  [2, 20, 4],
  [2, 20, 5],
  [2, 20, 6],
])(
  'of %i stores with %i sessions each agree on who is next (%i)',
  {
    timeout: 180_000,
  },
  async (stores, perStore, seed) => {
    const random = randomFrom(seed);
    const name = etcd.name();
    const folder = folderOf('mutex', name);
    const sessions = await openSessions(stores, perStore);
    const deleted = new Set<string>();
    const tally: Tally = { asked: 0, granted: 0, gaveUp: 0, lost: [], wrong: [] };
    const tokens: bigint[] = [];
    const inside = new Set<Hold>();
    const line = async (): Promise<string[]> =>
      (await etcd.admin.read({ ...prefixRange(folder), sortBy: 'create' })).kvs.map(
        ({ key, createRevision }) => `${key.toString()}@${createRevision}`,
      );

    const section = async (hold: Hold): Promise<void> => {
      const me = `${hold.key}@${hold.token}`;
      for (const other of inside) {
        if (!deleted.has(`${other.key}@${other.token}`)) tally.wrong.push(['two inside', me]);
      }
      inside.add(hold);
      tokens.push(hold.token);
      tally.granted += 1;
      const [first] = await line();
      if (first !== me && !deleted.has(me)) tally.wrong.push(['not first', me, first]);
      inside.delete(hold);
      if (!(await hold.release()) && !deleted.has(me)) tally.wrong.push(['lost', me, hold.lost]);
    };

    const contend = async (session: Session): Promise<void> => {
      const mutex = new Mutex(session, name);
      for (let i = 0; i < 3; i += 1) {
        const controller = new AbortController();
        const reason = new Error('gave up');
        const impatient = random() < 0.3;
        if (impatient) setTimeout(() => controller.abort(reason), random() * 400);
        tally.asked += 1;
        try {
          await section(await mutex.acquire({ signal: controller.signal }));
        } catch (error) {
          if (error === reason) tally.gaveUp += 1;
          else if (error instanceof HoldLostError) tally.lost.push(error.message);
          else tally.wrong.push(error);
        }
      }
    };

    const blocker = await new Mutex(sessions[0] as Session, name).acquire();
    const contending = Promise.all(sessions.map(contend));
    const over = new AbortController();
    void contending.finally(() => over.abort());
    await vi.waitFor(async () => expect((await line()).length).toBeGreaterThan(15), patience);
    const purge = async (): Promise<void> => {
      const waiters = (await line()).slice(2);
      const victim = waiters[Math.floor(random() * waiters.length)];
      if (victim === undefined) return;
      const [key = '', revision = '0'] = victim.split('@');
      // Names are used again: it is this one that goes.
      deleted.add(victim);
      const reply = await etcd.admin.commit({
        compare: [{ key, target: 'create', to: BigInt(revision) }],
        success: [{ delete: { key } }],
      });
      if (!reply.succeeded) deleted.delete(victim);
    };
    for (let i = 0; i < 4; i += 1) await purge();
    await blocker.release();
    for (let i = 0; i < 12 && !over.signal.aborted; i += 1) {
      await delay(10);
      await purge();
    }
    await contending;

    expect(tally.wrong).toEqual([]);
    expect(tokens).toEqual(tokens.toSorted((a, b) => Number(a - b)));
    expect(new Set(tokens).size).toBe(tokens.length);
    expect(tally.granted + tally.gaveUp + tally.lost.length).toBe(tally.asked);
    expect(tally.asked).toBe(120);
    expect(tally.lost.length).toBeLessThanOrEqual(deleted.size);
    const purged = [...deleted].map((victim) => victim.split('@')[0] as string);
    for (const message of tally.lost) {
      expect(purged.some((key) => message.includes(key))).toBe(true);
    }
    await vi.waitFor(async () => expect(await line()).toEqual([]), patience);
    const last = await new Mutex(sessions.at(-1) as Session, name).acquire();
    expect(await last.release()).toBe(true);
    for (const session of sessions) expect(session.state).toBe('open');
  },
);
