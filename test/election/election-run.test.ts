import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import { onAbort } from '../../src/core/time/signals.js';
import { ClosedError, type Election, type Term, WaitTimeoutError } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const patience = { timeout: 60_000, interval: 5 };
const remove = ({ key }: Term): Promise<unknown> =>
  etcd.admin.commit({ success: [{ delete: { key } }] });
const stopped = ({ signal }: Term): Promise<unknown> =>
  new Promise<void>((resolve) => onAbort(signal, resolve));

describe('running under a term', () => {
  it('gives the work its term, returns its result and resigns', async () => {
    const election = (await etcd.connect()).election(etcd.name());
    const result = await election.run('me', async (term) => {
      expect((await election.leader())?.token).toBe(term.token);
      return 42;
    });
    expect(result).toBe(42);
    expect(await election.leader()).toBe(undefined);
  });

  it('campaigns again after a loss, and ends with the work that was not stopped', async () => {
    const election = (await etcd.connect()).election(etcd.name());
    const tokens: bigint[] = [];
    const result = await election.run('me', async (term) => {
      tokens.push(term.token);
      if (tokens.length === 3) return 'done';
      await remove(term);
      await stopped(term);
      if (tokens.length === 1) throw term.signal.reason;
      return 'stopped';
    });
    expect(result).toBe('done');
    expect(tokens).toEqual(tokens.toSorted((a, b) => Number(a - b)));
    expect(await etcd.count(folderOf('election', election.name))).toBe(0);
  });

  it('campaigns again after its session was lost, as candidate and as leader', async () => {
    const name = etcd.name();
    const coordinator = await etcd.connect();
    const blocker = await (await etcd.connect()).election(name).campaign('other');
    const election = coordinator.election(name);
    const terms: Term[] = [];
    let finish: (() => void) | undefined;
    const running = election.run('me', async (term) => {
      terms.push(term);
      await Promise.race([stopped(term), new Promise<void>((resolve) => (finish = resolve))]);
    });
    await vi.waitFor(async () => {
      expect((await election.inspect()).candidates.length).toBe(1);
    }, patience);
    const first = coordinator.session.id;
    await etcd.admin.revoke(first);
    await vi.waitFor(async () => {
      const { candidates } = await election.inspect();
      expect(candidates[0]?.lease).not.toBe(first);
      expect(candidates.length).toBe(1);
    }, patience);
    await blocker.resign();
    await vi.waitFor(() => expect(terms.length).toBe(1), patience);
    await etcd.admin.revoke(coordinator.session.id);
    await vi.waitFor(() => expect(terms.length).toBe(2), patience);
    finish?.();
    await running;
    expect(terms[0]?.lost).toBe('revoked');
  });

  it('throws what the work throws, and resigns', async () => {
    const election = (await etcd.connect()).election(etcd.name());
    const error = new Error('the work failed');
    const failing = election.run('me', () => {
      throw error;
    });
    await expect(failing).rejects.toBe(error);
    const lost = election.run('me', async (term) => {
      await remove(term);
      await stopped(term);
      throw error;
    });
    await expect(lost).rejects.toBe(error);
    expect(await election.leader()).toBe(undefined);
  });

  it('takes an error of what the signal has stopped for its end', async () => {
    const election = (await etcd.connect()).election(etcd.name());
    let runs = 0;
    await election.run('me', async (term) => {
      runs += 1;
      if (runs > 1) return;
      await remove(term);
      await delay(60_000, undefined, { signal: term.signal });
    });
    expect(runs).toBe(2);
  });

  it('stops campaigning as its limits say', async () => {
    const name = etcd.name();
    await using leader = await (await etcd.connect()).election(name).campaign('other');
    const election = (await etcd.connect()).election(name);
    const work = vi.fn<() => void>();
    await expect(election.run('me', work, { timeout: 50 })).rejects.toThrow(WaitTimeoutError);
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(election.run('me', work, { signal })).rejects.toBe(reason);
    expect(work).not.toHaveBeenCalled();
    expect(leader.lost).toBe(undefined);
  });

  it('is waited for when the coordinator closes, and rejects then', async () => {
    const coordinator = await etcd.connect();
    const election = coordinator.election(etcd.name());
    let ended = false;
    let entered: ((term: Term) => void) | undefined;
    const leads = new Promise<Term>((resolve) => (entered = resolve));
    const running = election.run('me', async (term) => {
      entered?.(term);
      await stopped(term);
      await delay(20);
      ended = true;
    });
    running.catch(() => {});
    await leads;
    await coordinator.close();
    expect(ended).toBe(true);
    await expect(running).rejects.toThrow(ClosedError);
  });

  describe('when the old leader does not stop', () => {
    const overrun = async (
      onOverrun: 'event' | 'exit' | (() => void),
    ): Promise<{ told: unknown[]; finish: () => void; running: Promise<void>; terms: Term[] }> => {
      const election = (await etcd.connect()).election(etcd.name());
      const told: unknown[] = [];
      election.on('overrun', (event) => told.push(event));
      const terms: Term[] = [];
      let finish = (): void => {};
      const work = async (term: Term): Promise<void> => {
        terms.push(term);
        if (terms.length > 1) return;
        await remove(term);
        await new Promise<void>((resolve) => (finish = resolve));
      };
      const running = election.run('me', work, { stopWithin: 30, onOverrun });
      await vi.waitFor(() => expect(told.length).toBe(1), patience);
      const [{ key, token }] = terms as [Term];
      expect(told).toEqual([{ name: election.name, key, token }]);
      return { told, finish, running, terms };
    };

    it('tells so, and does not campaign before it has', async () => {
      const { finish, running, terms } = await overrun('event');
      await delay(50);
      expect(terms.length).toBe(1);
      finish();
      await running;
      expect(terms.length).toBe(2);
    });

    it('calls what it is told to', async () => {
      const callback = vi.fn<() => void>();
      const { finish, running, told } = await overrun(callback);
      expect(callback.mock.calls).toEqual([told]);
      finish();
      await running;
    });

    it('rejects with what that throws, once the work has ended', async () => {
      const error = new Error('of the callback');
      const { finish, running } = await overrun(() => {
        throw error;
      });
      finish();
      await expect(running).rejects.toBe(error);
    });

    it('ends the process if it is told to', async () => {
      const exit = vi.spyOn(process, 'exit').mockImplementation((() => {}) as never);
      try {
        const { finish, running } = await overrun('exit');
        expect(exit.mock.calls).toEqual([[1]]);
        finish();
        await running;
      } finally {
        exit.mockRestore();
      }
    });
  });
});

describe('a candidate that is not well', () => {
  const withHealth = async (
    name: string,
  ): Promise<{
    election: Election;
    health: { now: boolean | 'throws' | 'hangs'; asked: number };
  }> => {
    const health = { now: true as boolean | 'throws' | 'hangs', asked: 0 };
    const healthy = (): boolean | Promise<boolean> => {
      health.asked += 1;
      if (health.now === 'throws') throw new Error('not well');
      return health.now === 'hangs' ? new Promise<boolean>(() => {}) : health.now;
    };
    const coordinator = await etcd.connect();
    return { election: coordinator.election(name, { healthy, healthInterval: 10 }), health };
  };

  it.each([false, 'throws', 'hangs'] as const)(
    'gives up its term: the check says %s',
    async (ill) => {
      const name = etcd.name();
      const { election, health } = await withHealth(name);
      const term = await election.campaign('ill');
      const other = (await etcd.connect()).election(name);
      const next = other.campaign('well');
      await vi.waitFor(async () => {
        expect((await other.inspect()).candidates.length).toBe(1);
      }, patience);
      const aborted = once(term.signal, 'abort');
      health.now = ill;
      await aborted;
      expect(term.lost).toBe('unhealthy');
      expect((await next).lost).toBe(undefined);
      expect(await term.release()).toBe(false);
    },
  );

  it('does not stand, and stands again when it is well', async () => {
    const name = etcd.name();
    const { election, health } = await withHealth(name);
    health.now = false;
    expect(await election.tryCampaign('ill')).toBe(undefined);
    const wait = election.campaign('me');
    const { asked } = health;
    await vi.waitFor(() => expect(health.asked).toBeGreaterThan(asked + 3), patience);
    expect(await etcd.count(folderOf('election', name))).toBe(0);
    health.now = true;
    expect(await (await wait).resign()).toBe(true);
    health.now = 'hangs';
    await expect(election.campaign('me', { timeout: 50 })).rejects.toThrow(WaitTimeoutError);
  });

  it('stands no more while it waits', async () => {
    const name = etcd.name();
    const leader = await (await etcd.connect()).election(name).campaign('leader');
    const { election, health } = await withHealth(name);
    const wait = election.campaign('me');
    const standing = (n: number): Promise<void> =>
      vi.waitFor(async () => {
        expect((await election.inspect()).candidates.length).toBe(n);
      }, patience);
    await standing(1);
    health.now = false;
    await standing(0);
    health.now = true;
    await standing(1);
    await leader.resign();
    expect(await (await wait).resign()).toBe(true);
  });

  it('stops its work first, and then resigns', async () => {
    const name = etcd.name();
    const { election, health } = await withHealth(name);
    let runs = 0;
    await election.run('me', async (term) => {
      runs += 1;
      if (runs > 1) return;
      health.now = false;
      await stopped(term);
      expect((await election.leader())?.token).toBe(term.token);
      await expect(term.txn().put('never', 'x').commit()).rejects.toThrow(/unhealthy/);
      health.now = true;
    });
    expect(runs).toBe(2);
  });

  it('gives its term to others though its work does not stop', async () => {
    const name = etcd.name();
    const { election, health } = await withHealth(name);
    let finish = (): void => {};
    const work = vi.fn<() => Promise<void>>(
      () => new Promise<void>((resolve) => (finish = resolve)),
    );
    const running = election.run('me', work, { stopWithin: 20 });
    await vi.waitFor(() => expect(work).toHaveBeenCalledOnce(), patience);
    const other = (await etcd.connect()).election(name).campaign('well');
    health.now = false;
    const next = await other;
    health.now = true;
    finish();
    await vi.waitFor(async () => {
      expect((await election.inspect()).candidates.length).toBe(1);
    }, patience);
    await next.resign();
    await vi.waitFor(() => expect(work).toHaveBeenCalledTimes(2), patience);
    finish();
    await running;
  });
});
