import { describe, expect, it } from 'vitest';
import type { Generation } from '../../src/core/session/generation.js';
import { folderOf, keyId } from '../../src/core/store/keys.js';
import { deferred } from '../../src/core/time/deferred.js';
import {
  ArgumentError,
  ClosedError,
  ConflictError,
  type Coordinator,
  HoldLostError,
  type Partitioner,
  type PartitionerOptions,
  type PartitionerState,
  type PartitionOptions,
  type ShardHandler,
  type ShardHold,
} from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { connectRefusable } from '../support/failing.js';
import { has, override } from '../support/override.js';

const etcd = useEtcd();

/** One who takes part, until the test ends, and what it works on. */
class Worker {
  readonly held = new Map<number, ShardHold>();
  readonly partitioner: Partitioner;
  readonly #stop = new AbortController();
  readonly id: string;
  #run: Promise<void> | undefined;

  constructor(
    coordinator: Coordinator,
    name: string,
    options: Partial<PartitionerOptions>,
    id: string,
  ) {
    this.id = id;
    this.partitioner = coordinator.partitioner(name, { shards: 7, settle: 20, ...options });
    etcd.defer(() => this.#stop.abort());
  }

  /** Holds every shard until it drains, or does something else besides. */
  start(also: ShardHandler = ended, options: PartitionOptions = {}): this {
    const work: ShardHandler = async (shard) => {
      this.held.set(shard.shard, shard);
      try {
        await also(shard);
      } finally {
        this.held.delete(shard.shard);
      }
    };
    this.#run = this.partitioner.run(work, { signal: this.#stop.signal, id: this.id, ...options });
    this.#run.catch(() => {});
    return this;
  }

  get ended(): Promise<void> {
    return this.#run as Promise<void>;
  }
}

const byText = (a: string, b: string): number => (a < b ? -1 : 1);

function ended({ draining }: ShardHold): Promise<void> {
  return new Promise((resolve) => {
    if (draining.aborted) resolve();
    else draining.addEventListener('abort', () => resolve());
  });
}

async function team(
  ids: string,
  options: Partial<PartitionerOptions> = {},
): Promise<[Worker, Worker, Worker]> {
  const name = etcd.name('partitioner');
  const workers = await Promise.all(
    ids.split('').map(async (id) => new Worker(await etcd.connect(), name, options, id)),
  );
  return workers as [Worker, Worker, Worker];
}

/** Whether every shard is owned by who it is assigned to, one of these. */
function isSettled({ shards }: PartitionerState, ids: string): boolean {
  const owners = new Set(shards.map(({ owner }) => owner?.member));
  return (
    shards.length > 0 &&
    shards.every(({ assigned, owner, waiting }) => owner?.member === assigned && !waiting.length) &&
    [...owners].map(String).toSorted(byText).join('') === ids
  );
}

const sizes = (workers: readonly Worker[]): string =>
  workers
    .map(({ held }) => String(held.size))
    .toSorted(byText)
    .join();

async function settled(workers: readonly Worker[], ids: string): Promise<PartitionerState> {
  const { partitioner } = workers[0] as Worker;
  let state: PartitionerState | undefined;
  await waitFor(async () => {
    state = await partitioner.inspect();
    const held = workers.reduce((sum, each) => sum + each.held.size, 0);
    return isSettled(state, ids) && held === state.shards.length;
  });
  return state as PartitionerState;
}

describe('a partitioner', () => {
  it('divides shards evenly, moves only what it must, and shows who owns what', async () => {
    const workers = await team('abc');
    const [a, b, c] = workers;
    a.start();
    const alone = await settled(workers, 'a');
    b.start();
    const two = await settled(workers, 'ab');
    c.start();
    const three = await settled(workers, 'abc');
    expect(sizes(workers)).toBe('2,2,3');
    const moved = (from: PartitionerState, to: PartitionerState): string =>
      to.shards
        .filter(({ owner }, shard) => owner?.token !== from.shards[shard]?.owner?.token)
        .map(({ assigned }) => assigned)
        .join('');
    expect([moved(alone, two), moved(two, three)]).toEqual(['bbb', 'cc']);
    const [[shard, hold]] = [...c.held] as [[number, ShardHold]];
    expect(three.shards[shard]).toMatchObject({
      assigned: 'c',
      owner: { member: 'c', token: hold.token, key: hold.key },
    });
    expect(three.members.map(({ id, payload }) => [id, payload.weight])).toEqual([
      ['a', 1],
      ['b', 1],
      ['c', 1],
    ]);
    expect((await a.partitioner.assignment())?.owners[shard]).toBe('c');
  });

  it('gives each shard to one at a time, under growing tokens', async () => {
    const workers = await team('ab');
    const owners = new Map<number, string>();
    const tokens = new Map<number, bigint>();
    const exclusive =
      (id: string): ShardHandler =>
      async (hold) => {
        expect(owners.get(hold.shard)).toBe(undefined);
        expect(hold.token).toBeGreaterThan(tokens.get(hold.shard) ?? 0n);
        owners.set(hold.shard, id);
        tokens.set(hold.shard, hold.token);
        await ended(hold);
        await hold.txn().read({ key: 'x' }).commit();
        owners.delete(hold.shard);
      };
    const failures: unknown[] = [];
    for (const worker of workers) {
      worker.partitioner.on('failed', ({ error }) => failures.push(error));
      worker.start(exclusive(worker.id));
    }
    await settled(workers, 'ab');
    await workers[0].partitioner.close();
    await settled(workers, 'b');
    expect(failures).toEqual([]);
    await workers[0].ended;
  });

  it('weighs members, and gives nothing to who weighs nothing', async () => {
    const workers = await team('abc');
    const [a, b, c] = workers;
    a.start(ended, { weight: 5 });
    b.start(ended, { weight: 2 });
    c.start(ended, { weight: 0 });
    await settled(workers, 'ab');
    expect([a.held.size, b.held.size, c.held.size]).toEqual([5, 2, 0]);
  });

  it('keeps a shard with who has it until the handler has ended', async () => {
    const workers = await team('ab', { shards: 2 });
    const [a, b] = workers;
    const gate = deferred<void>();
    const told: string[] = [];
    a.partitioner.on('draining', ({ shard }) => told.push(`draining ${shard}`));
    b.partitioner.on('acquired', ({ shard }) => told.push(`moved ${shard}`));
    a.start(async (hold) => {
      await ended(hold);
      await gate.promise;
      expect(hold.signal.aborted).toBe(false);
      told.push(`ended ${hold.shard}`);
    });
    await settled(workers, 'a');
    b.start();
    await waitFor(async () => (await b.partitioner.inspect()).shards[1]?.waiting.length === 1);
    expect([a.held.size, b.held.size]).toEqual([2, 0]);
    gate.resolve();
    await settled(workers, 'ab');
    expect(told).toEqual(['draining 1', 'ended 1', 'moved 1']);
  });

  it('takes a shard away from who does not give it back in time, and writes that down', async () => {
    const workers = await team('ab', { shards: 2, drainWithin: 50 });
    const [a, b] = workers;
    let late: ShardHold | undefined;
    const gate = deferred<void>();
    etcd.defer(() => gate.resolve());
    a.start(async (hold) => {
      await ended(hold);
      late = hold;
      await gate.promise;
    });
    await settled([a], 'a');
    const forced: (string | undefined)[] = [];
    b.partitioner.on('forced', ({ holder }) => forced.push(holder.owner?.host));
    b.start();
    await waitFor(() => b.held.size === 1);
    await waitFor(() => late?.signal.aborted === true);
    await expect(late?.txn().put('x', '').commit()).rejects.toThrow(HoldLostError);
    await waitFor(() => forced.length === 1);
    expect(await b.partitioner.audit()).toMatchObject([
      { token: late?.token, reason: 'not given back within 50 ms' },
    ]);
  });

  it('takes no shard away from who is to have it again by a later decision', async () => {
    const name = etcd.name('partitioner');
    const decide = (owners: readonly number[]): Promise<unknown> => {
      const key = `${folderOf('partitioner', name)}assignment`;
      const value = JSON.stringify({ shards: 2, members: ['a', 'b'], owners });
      return etcd.admin.commit({ success: [{ put: { key, value } }] });
    };
    let tries = 0;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: async (txn, options) => {
          const isForce = txn.success?.some(
            (step) => 'put' in step && String(step.put.value).includes('not given back'),
          );
          if (isForce) {
            tries += 1;
            await decide([0, 0]);
          }
          return store.commit(txn, options);
        },
      }),
    );
    // Nobody else decides.
    const options = { shards: 2, settle: 60_000, drainWithin: 20 };
    const a = new Worker(await etcd.connect(), name, options, 'a');
    const b = new Worker(coordinator, name, options, 'b');
    await decide([0, 0]);
    const stubborn = deferred<void>();
    a.start(() => stubborn.promise);
    await settled([a], 'a');
    b.start();
    await waitFor(async () => (await b.partitioner.inspect()).members.length === 2);
    await decide([0, 1]);
    await waitFor(() => tries > 0);
    await waitFor(async () => isSettled(await b.partitioner.inspect(), 'a'));
    expect([...a.held.values()].map(({ lost }) => lost)).toEqual([undefined, undefined]);
    expect([tries, await b.partitioner.audit()]).toEqual([1, []]);
    stubborn.resolve();
  });

  it('decides again what somebody has deleted, and leaves shards where they are', async () => {
    const workers = await team('ab');
    const [a] = workers;
    for (const each of workers) each.start();
    const tokensOf = ({ shards }: PartitionerState): unknown =>
      shards.map(({ owner }) => owner?.token);
    const before = await settled(workers, 'ab');
    const told: string[] = [];
    for (const { partitioner } of workers) {
      for (const event of ['draining', 'lost', 'error', 'assigned'] as const) {
        partitioner.on(event, () => told.push(event));
      }
    }
    const key = `${folderOf('partitioner', a.partitioner.name)}assignment`;
    // As who comes just then leaves it.
    const put = { key, value: '{"shards":7,"members":[],"owners":[]}' };
    for (const step of [{ delete: { key } }, { put }]) {
      await etcd.admin.commit({ success: [step] });
      expect(tokensOf(await settled(workers, 'ab'))).toEqual(tokensOf(before));
    }
    expect(told).toEqual([]);
  });

  it('tells who has a taken ID that it waits, and takes part when the other has gone', async () => {
    const name = etcd.name('partitioner');
    const [one, two] = [await etcd.connect(), await etcd.connect()];
    const first = new Worker(one, name, {}, 'same').start();
    await settled([first], 'same');
    const others = [one, two].map((each) => new Worker(each, name, {}, 'same'));
    const told: string[] = [];
    for (const { partitioner } of others) partitioner.on('waiting', ({ id }) => told.push(id));
    for (const each of others) each.start();
    await waitFor(() => told.length === 2);
    expect(told).toEqual(['same', 'same']);
    await first.partitioner.close();
    await waitFor(() => others.some(({ held }) => held.size === 7));
  });

  it('calls a handler that throws again, and tells of it', async () => {
    const [a] = await team('a', { shards: 1 });
    let calls = 0;
    const failed: unknown[] = [];
    a.partitioner.on('failed', ({ shard, error, retryIn }) => {
      expect(retryIn).toBeGreaterThanOrEqual(0);
      failed.push([shard, (error as Error).message]);
    });
    a.start(async (hold) => {
      calls += 1;
      if (calls < 3) throw new Error(`no ${calls}`);
      await ended(hold);
    });
    await waitFor(() => calls === 3);
    expect(failed).toEqual([
      [0, 'no 1'],
      [0, 'no 2'],
    ]);
  });

  it('gets a shard anew that its handler has released', async () => {
    const [a] = await team('a', { shards: 1 });
    const tokens: bigint[] = [];
    a.start(async (hold) => {
      tokens.push(hold.token);
      if (tokens.length === 1) await hold.release();
      else await ended(hold);
    });
    await waitFor(() => tokens.length === 2);
    expect(tokens[1]).toBeGreaterThan(tokens[0] ?? 0n);
  });

  it('has the shards of who died owned by the others', async () => {
    const name = etcd.name('partitioner');
    const [one, two] = [await etcd.connect(), await etcd.connect()];
    const a = new Worker(one, name, {}, 'a').start();
    const b = new Worker(two, name, {}, 'b').start();
    await settled([a, b], 'ab');
    const lost: string[] = [];
    a.partitioner.on('lost', ({ reason }) => lost.push(reason));
    await one.close(0);
    await expect(a.ended).rejects.toThrow(ClosedError);
    await settled([b], 'b');
    expect(lost).toContain('closed');
  });

  it('leaves shards where they are when a member loses its session, and comes back in time', async () => {
    const name = etcd.name('partitioner');
    const [one, two] = [await etcd.connect(), await etcd.connect()];
    const a = new Worker(one, name, {}, 'a').start();
    await settled([a], 'a');
    const b = new Worker(two, name, { settle: 60_000 }, 'b').start();
    await settled([a, b], 'ab');
    const before = await a.partitioner.assignment();
    const lost = new Set<number>();
    a.partitioner.on('lost', ({ shard }) => lost.add(shard));
    const own = [...a.held.keys()];
    await etcd.admin.revoke(one.session.id);
    await waitFor(() => lost.size === own.length);
    await settled([a, b], 'ab');
    expect(await a.partitioner.assignment()).toEqual(before);
    expect(new Set(a.held.keys())).toEqual(new Set(own));
  });

  it('goes on with what was decided while etcd refuses to have that read', async () => {
    const name = etcd.name('partitioner');
    const { coordinator, refuse, allow } = await connectRefusable(etcd);
    const a = new Worker(coordinator, name, {}, 'a').start();
    const errors: unknown[] = [];
    a.partitioner.on('error', (error) => errors.push(error));
    await settled([a], 'a');
    const tries = refuse();
    const b = new Worker(await etcd.connect(), name, {}, 'b').start();
    await waitFor(async () => (await b.partitioner.assignment())?.owners.includes('b') === true);
    await waitFor(() => tries.size > 2);
    expect([a.held.size, b.held.size]).toEqual([7, 0]);
    // One of its member's watch, one of the view.
    expect(errors).toMatchObject([{ name: 'RefusedError' }, { name: 'RefusedError' }]);
    allow();
    await settled([b, a], 'ab');
  });

  it('refuses another number of shards than others use, also when it is changed', async () => {
    const name = etcd.name('partitioner');
    const coordinator = await etcd.connect();
    const a = new Worker(coordinator, name, { shards: 3 }, 'a').start();
    await settled([a], 'a');
    const other = coordinator.partitioner(name, { shards: 4 });
    await expect(other.run(ended)).rejects.toThrow(ConflictError);
    expect(await other.resize(4)).toBe(3);
    await expect(a.ended).rejects.toThrow('has 4 shards, not 3');
    expect(a.held.size).toBe(0);
    const b = new Worker(coordinator, name, { shards: 4 }, 'b').start();
    await settled([b], 'b');
  });

  it('shows what can be read where others wrote into its folder, and has the number of shards set again', async () => {
    const { partitioner } = (await team('a'))[0];
    const folder = folderOf('partitioner', partitioner.name);
    const write = async (pairs: Record<string, string>): Promise<unknown> =>
      etcd.admin.commit({
        success: Object.entries(pairs).map(([key, value]) => ({
          put: { key: folder + key, value },
        })),
      });
    await write({
      'members/x': '{"payload":{"weight":1e300}}',
      'shards/0x/y': '',
      'shards/z/y': '',
    });
    for (const shards of [1e9, -1, 0.5, '"x"', 3]) {
      await write({ assignment: `{"shards":${shards},"members":["x",1],"owners":[0,1,7]}` });
      const state = await partitioner.inspect();
      expect(state.members.map(({ id }) => id)).toEqual(['x']);
      const known = shards === 3 ? ['x', undefined, undefined] : [];
      expect(state.shards.map(({ assigned }) => assigned)).toEqual(known);
      expect(state.shards.filter(({ owner }) => owner)).toEqual([]);
    }
    await write({ assignment: 'no JSON' });
    await expect(partitioner.run(ended)).rejects.toThrow(ConflictError);
    expect(await partitioner.resize(7)).toBe(undefined);
    expect((await partitioner.assignment())?.shards).toBe(7);
  });

  it('gives nothing to who says nothing that can be read', async () => {
    const [a] = await team('a');
    a.start();
    await settled([a], 'a');
    const key = `${folderOf('partitioner', a.partitioner.name)}members/x`;
    await etcd.admin.commit({ success: [{ put: { key, value: '' } }] });
    const b = new Worker(await etcd.connect(), a.partitioner.name, {}, 'b').start();
    await settled([a, b], 'ab');
  });

  it('has handlers end at once, whenever etcd comes to know that they are to', async () => {
    const name = etcd.name('partitioner');
    const gate = deferred<void>();
    let isHeldUp = false;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: async (txn, options) => {
          const isDecision = txn.success?.some(
            (each) => 'put' in each && String(each.put.key).endsWith('/assignment'),
          );
          if (isHeldUp && isDecision) await gate.promise;
          return store.commit(txn, options);
        },
      }),
    );
    const a = new Worker(coordinator, name, {}, 'a').start();
    const b = new Worker(await etcd.connect(), name, {}, 'b').start();
    await settled([a, b], 'ab');
    isHeldUp = true;
    const closed = a.partitioner.close();
    await waitFor(() => a.held.size === 0);
    gate.resolve();
    await closed;
    await settled([b], 'b');
  });

  it('says of each shard that it had that it is released or lost, also where somebody was faster than the release', async () => {
    let isOver = false;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: async (txn, options) => {
          if (isOver && has('delete', txn)) await etcd.admin.commit({ success: txn.success ?? [] });
          return store.commit(txn, options);
        },
      }),
    );
    const a = new Worker(coordinator, etcd.name('partitioner'), { shards: 2 }, 'a').start();
    const told: string[] = [];
    a.partitioner
      .on('released', ({ shard }) => told.push(`released ${shard}`))
      .on('lost', ({ shard }) => told.push(`lost ${shard}`));
    await settled([a], 'a');
    isOver = true;
    await a.partitioner.close();
    expect(told.toSorted(byText)).toEqual(['released 0', 'released 1']);
  });

  it('says that a shard is lost only after it said that it is its own, however soon that is', async () => {
    let turns = 0;
    let granted = (): void => {};
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        commit: async (txn, options) => {
          const reply = await store.commit(txn, options);
          const isShard = txn.success?.some(
            (step) => 'put' in step && keyId(step.put.key).includes('/shards/'),
          );
          if (isShard) granted();
          return reply;
        },
      }),
    );
    granted = () => {
      const fate = coordinator.session.oldestLease.fate as unknown as Pick<Generation, 'lose'>;
      const soon = async (left: number): Promise<void> => {
        for (let turn = 0; turn < left; turn += 1) await Promise.resolve();
        fate.lose('no-contact');
      };
      turns += 1;
      if (turns <= 30) void soon(turns);
    };
    const a = new Worker(coordinator, etcd.name('partitioner'), { shards: 1 }, 'a').start();
    const told: string[] = [];
    a.partitioner
      .on('acquired', ({ token }) => told.push(`acquired ${token}`))
      .on('lost', ({ token }) => told.push(`lost ${token}`));
    await settled([a], 'a');
    await waitFor(() => turns > 30);
    const isEarly = (line: string, i: number): boolean =>
      line.startsWith('lost') && told[i - 1] !== line.replace('lost', 'acquired');
    expect(told.filter(isEarly)).toEqual([]);
    expect(told.length).toBeGreaterThan(2);
  });

  it('ends with the reason of the signal, and without one when it is closed', async () => {
    const partitioner = (await etcd.connect()).partitioner(etcd.name('partitioner'), { shards: 1 });
    const stop = new AbortController();
    const run = partitioner.run(ended, { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(run).rejects.toThrow('enough');
    const other = partitioner.run(ended);
    await partitioner.close();
    await other;
    expect((await partitioner.inspect()).members).toEqual([]);
    await expect(partitioner.run(ended)).rejects.toThrow(ClosedError);
  });

  it('refuses what is not usable before anything is sent', async () => {
    const coordinator = await etcd.connect();
    const bad = { shards: 0 };
    expect(() => coordinator.partitioner('x', bad)).toThrow(ArgumentError);
    expect(() => coordinator.partitioner('x', { shards: 10_001 })).toThrow('at most 10,000');
    const partitioner = coordinator.partitioner('x', { shards: 1 });
    await expect(partitioner.run('x' as never)).rejects.toThrow('handler');
    await expect(partitioner.run(ended, { weight: 0.5 })).rejects.toThrow('weight');
    await expect(partitioner.run(ended, { id: '' })).rejects.toThrow('id');
    await expect(partitioner.resize(-1)).rejects.toThrow(ArgumentError);
  });
});
