import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import {
  ClosedError,
  type Coordinator,
  type Hold,
  HoldLostError,
  SessionLostError,
  UnavailableError,
  type WaitOptions,
  WaitTimeoutError,
} from '../../src/index.js';
import type { TestEtcd } from './etcd.js';

/** A recipe that gives a hold to one at a time. */
interface HoldRecipe {
  acquire(wait?: WaitOptions): Promise<Hold>;
  tryAcquire(wait?: WaitOptions): Promise<Hold | undefined>;
}

/** How the suite gets at a recipe. */
export interface HoldSuite {
  readonly etcd: TestEtcd;
  /** A connection of its own, as another process would have. */
  connect(ttl?: number): Promise<Coordinator>;
  make(coordinator: Coordinator, name: string): HoldRecipe;
  /** Where its contenders keep their keys, as the recipe sees them. */
  folder(name: string): string;
  /** What stands before those keys in etcd. */
  readonly prefix?: string;
  /** Whether answers get lost: then nobody can tell a release from a deletion by others just before it. */
  readonly lossy?: boolean;
}

const waiting = { timeout: 20_000, interval: 10 };

/** What holds of every recipe must do, whatever store they run on. */
export function holdSuite(suite: HoldSuite): void {
  const { etcd, prefix = '', lossy = false } = suite;
  const pair = async (): Promise<[string, HoldRecipe, HoldRecipe, Coordinator, Coordinator]> => {
    const name = etcd.name();
    const [a, b] = [await suite.connect(), await suite.connect()];
    return [name, suite.make(a, name), suite.make(b, name), a, b];
  };
  const keys = (name: string): Promise<number> => etcd.count(prefix + suite.folder(name));
  const remove = (hold: Hold): Promise<unknown> =>
    etcd.admin.commit({ success: [{ delete: { key: prefix + hold.key } }] });
  const queued = (name: string, n: number): Promise<void> =>
    vi.waitFor(async () => expect(await keys(name)).toBe(n), waiting);

  describe('waiting', () => {
    it('grants to a second contender only after the first has released', async () => {
      const [name, first, second] = await pair();
      const hold = await first.acquire();
      let granted = false;
      const next = second.acquire().then((h) => {
        granted = true;
        return h;
      });
      await queued(name, 2);
      await delay(50);
      expect(granted).toBe(false);
      expect(await hold.release()).toBe(true);
      const after = await next;
      expect(after.token).toBeGreaterThan(hold.token);
      await after.release();
      await queued(name, 0);
    });

    it('grants in the order of arrival, with increasing tokens, to one at a time', async () => {
      const [name, first, second] = await pair();
      const order: number[] = [];
      const tokens: bigint[] = [];
      let inside = 0;
      const blocker = await first.acquire();
      const all: Promise<void>[] = [];
      for (let i = 0; i < 8; i += 1) {
        const contend = async (): Promise<void> => {
          const hold = await (i % 2 === 0 ? first : second).acquire();
          inside += 1;
          expect(inside).toBe(1);
          order.push(i);
          tokens.push(hold.token);
          await delay(2);
          inside -= 1;
          await hold.release();
        };
        all.push(contend());
        await queued(name, i + 2);
      }
      await blocker.release();
      await Promise.all(all);
      expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      expect(tokens).toEqual(tokens.toSorted((a, b) => Number(a - b)));
      expect(new Set(tokens).size).toBe(tokens.length);
      await queued(name, 0);
    });

    it('rejects with the reason of an aborted signal and leaves no key', async () => {
      const [name, first, second] = await pair();
      const hold = await first.acquire();
      const controller = new AbortController();
      const wait = second.acquire({ signal: controller.signal });
      await queued(name, 2);
      const reason = new Error('changed my mind');
      controller.abort(reason);
      await expect(wait).rejects.toBe(reason);
      await queued(name, 1);
      await hold.release();
      await queued(name, 0);
    });

    it('sends nothing when the signal is aborted already', async () => {
      const [name, first] = await pair();
      const reason = new Error('before it began');
      await expect(first.acquire({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      await expect(first.tryAcquire({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      expect(await keys(name)).toBe(0);
    });

    it('rejects after its timeout and leaves no key', async () => {
      const [name, first, second] = await pair();
      const hold = await first.acquire();
      await expect(second.acquire({ timeout: 100 })).rejects.toThrow(WaitTimeoutError);
      await queued(name, 1);
      await hold.release();
    });

    it('leaves no key however short the deadline is', async () => {
      const [name, first, second] = await pair();
      const hold = await first.acquire();
      const tries = Array.from({ length: 200 }, (_, i) =>
        second.acquire({ timeout: 0.1 + (i % 20) / 10 }).catch((error: unknown) => error),
      );
      const outcomes = await Promise.all(tries);
      expect(outcomes.filter((o) => !(o instanceof WaitTimeoutError))).toEqual([]);
      await queued(name, 1);
      await hold.release();
      await queued(name, 0);
    });

    it('does not let anybody overtake when a waiter in the middle gives up', async () => {
      const [name, first, second] = await pair();
      const hold = await first.acquire();
      const controller = new AbortController();
      const middle = second.acquire({ signal: controller.signal }).catch(() => {});
      await queued(name, 2);
      let granted = false;
      const last = first.acquire().then((h) => {
        granted = true;
        return h;
      });
      await queued(name, 3);
      controller.abort();
      await middle;
      await queued(name, 2);
      await delay(50);
      expect(granted).toBe(false);
      await hold.release();
      await (await last).release();
    });

    it('rejects at once when the lease of a waiter is revoked, while the holder goes on', async () => {
      const [name, first, second, , b] = await pair();
      const hold = await first.acquire();
      const wait = second.acquire();
      const outcome = wait.catch((error: unknown) => error);
      await queued(name, 2);
      await etcd.admin.revoke(b.session.id);
      const error = await outcome;
      expect(error instanceof HoldLostError || error instanceof SessionLostError).toBe(true);
      expect(hold.lost).toBe(undefined);
      expect(await hold.release()).toBe(true);
    });

    it('rejects when its own session is closed', async () => {
      const [name, first, second, , b] = await pair();
      const hold = await first.acquire();
      const wait = second.acquire();
      const outcome = wait.catch((error: unknown) => error);
      await queued(name, 2);
      await b.session.close();
      expect(await outcome).toBeInstanceOf(ClosedError);
      await queued(name, 1);
      await hold.release();
    });

    it('hands over when the session of the holder is closed', async () => {
      const [name, first, second, a] = await pair();
      const hold = await first.acquire();
      const wait = second.acquire();
      await queued(name, 2);
      await a.session.close();
      expect(hold.lost).toBe('closed');
      await (await wait).release();
    });

    it('treats two objects of one session as two contenders', async () => {
      const name = etcd.name();
      const coordinator = await suite.connect();
      const [one, two] = [suite.make(coordinator, name), suite.make(coordinator, name)];
      const hold = await one.acquire();
      await expect(two.acquire({ timeout: 100 })).rejects.toThrow(WaitTimeoutError);
      await hold.release();
      await (await two.acquire()).release();
      await queued(name, 0);
    });
  });

  describe('trying', () => {
    it('gives a hold when nobody is there, and undefined otherwise', async () => {
      const [name, first, second] = await pair();
      const hold = await first.tryAcquire();
      expect(hold).toBeDefined();
      expect(await second.tryAcquire()).toBe(undefined);
      expect(await hold?.release()).toBe(true);
      await (await second.tryAcquire())?.release();
      await queued(name, 0);
    });

    it('leaves a waiter of the same session alone', async () => {
      const [name, first, second] = await pair();
      const hold = await first.acquire();
      const wait = second.acquire();
      await queued(name, 2);
      expect(await second.tryAcquire()).toBe(undefined);
      await queued(name, 2);
      await hold.release();
      await (await wait).release();
    });
  });

  describe('a hold', () => {
    it('is released once, however often it is asked', async () => {
      const [name, first] = await pair();
      const hold = await first.acquire();
      const answers = await Promise.all([hold.release(), hold.release()]);
      await hold[Symbol.asyncDispose]();
      expect(answers).toEqual([true, true]);
      await queued(name, 0);
    });

    it('is lost when somebody deletes its key, and its release says so', async () => {
      const [, first] = await pair();
      const hold = await first.acquire();
      expect(hold.signal.aborted).toBe(false);
      await remove(hold);
      await vi.waitFor(() => expect(hold.signal.aborted).toBe(true), waiting);
      expect(hold.signal.reason).toBeInstanceOf(HoldLostError);
      expect(hold.lost).toBe('deleted');
      expect(hold.remaining()).toBe(0);
      expect(await hold.release()).toBe(false);
    });

    it('says that it was lost when released before the news of its loss came', async () => {
      const [, first, , a] = await pair();
      const hold = await first.acquire();
      await etcd.admin.revoke(a.session.id);
      expect([false, lossy]).toContain(await hold.release());
    });

    it('does not remove the hold of a later holder when it is released late', async () => {
      const [name, first, second] = await pair();
      const stale = await first.acquire();
      await remove(stale);
      const hold = await second.acquire();
      await stale.release();
      expect(await keys(name)).toBe(1);
      expect(await hold.release()).toBe(true);
    });

    it('guards a transaction: it takes effect while held, and not after a loss', async () => {
      const [name, first] = await pair();
      const target = `target/${name}`;
      const hold = await first.acquire();
      const put = async (value: string): Promise<boolean> => {
        for (;;) {
          try {
            return (await hold.txn().put(target, value).commit()).succeeded;
          } catch (error) {
            // What a user would do: the value is the same, so sending it again does no harm.
            if (!(error instanceof UnavailableError)) throw error;
          }
        }
      };
      expect(await put('held')).toBe(true);
      await remove(hold);
      await expect(put('lost')).rejects.toThrow(HoldLostError);
      const { kvs } = await etcd.admin.read({ key: prefix + target });
      expect(kvs[0]?.value.toString()).toBe('held');
      expect(hold.signal.aborted).toBe(true);
      await etcd.admin.commit({ success: [{ delete: { key: prefix + target } }] });
    });

    it('refuses a transaction after its release', async () => {
      const [name, first] = await pair();
      const hold = await first.acquire();
      await hold.release();
      const txn = hold.txn().put(`target/${name}`, 'x');
      await expect(txn.commit()).rejects.toThrow(HoldLostError);
      expect(await etcd.count(`${prefix}target/${name}`)).toBe(0);
    });
  });
}
