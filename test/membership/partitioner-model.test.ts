import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Partitioner, type ShardHold, type Store, UnavailableError } from '../../src/index.js';
import { startTestEtcd, type TestEtcd } from '../../src/testing/index.js';
import { override } from '../support/override.js';

const options = { shards: 5, settle: 500, drainWithin: 3_000 };
const session = { ttl: 5_000 };

/** A process that takes part, and can be cut off from etcd. */
interface Process {
  readonly partitioner: Partitioner;
  readonly lease: () => bigint;
  isCut: boolean;
}

/** What all processes have done, by their own account. */
class World {
  readonly etcd: TestEtcd;
  readonly processes = new Map<string, Process>();
  /** By shard, whose handlers run. */
  readonly active = new Map<number, Set<ShardHold>>();
  readonly tokens = new Map<number, bigint>();
  /** Who had a shard, by his own account, when somebody else got it. */
  readonly suspects: ShardHold[] = [];
  readonly errors: unknown[] = [];

  constructor(etcd: TestEtcd) {
    this.etcd = etcd;
  }

  async start(id: string, slowness: number): Promise<void> {
    if (this.processes.has(id)) return;
    const decorate = (store: Store): Store => {
      const call =
        <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
        (...args: A): Promise<R> =>
          process.isCut ? Promise.reject(new UnavailableError('not-applied', [])) : work(...args);
      return override(store, {
        read: call((...args) => store.read(...args)),
        commit: call((...args) => store.commit(...args)),
        grant: call((...args) => store.grant(...args)),
        keepAlive: call((...args) => store.keepAlive(...args)),
        revoke: call((...args) => store.revoke(...args)),
      });
    };
    const process = { isCut: false } as Process;
    const coordinator = await this.etcd.connect({ session, decorate });
    const partitioner = coordinator.partitioner('p', options);
    Object.assign(process, { partitioner, lease: () => coordinator.session.id });
    this.processes.set(id, process);
    partitioner.on('failed', ({ error }) => this.errors.push(error));
    partitioner
      .run((shard) => this.#own(shard, slowness), { id })
      .catch((error: unknown) => this.errors.push(error));
  }

  async #own(hold: ShardHold, slowness: number): Promise<void> {
    const { shard, token, draining } = hold;
    const others = this.active.get(shard) ?? new Set();
    this.active.set(shard, others);
    for (const other of others) if (!other.lost) this.suspects.push(other);
    if (token <= (this.tokens.get(shard) ?? 0n)) throw new Error(`token ${token} came late`);
    this.tokens.set(shard, token);
    others.add(hold);
    await new Promise<void>((resolve) => {
      draining.addEventListener('abort', () => resolve());
    });
    await this.etcd.server.clock.sleep(slowness);
    others.delete(hold);
  }

  /** Lets time pass; whoever had something that somebody else got must have been told, or have lost it by force. */
  async pass(ms: number): Promise<void> {
    await this.etcd.advance(ms);
    expect(this.suspects.splice(0).map(({ lost }) => lost ?? 'held')).not.toContain('held');
    expect(this.errors).toEqual([]);
  }

  /** Everything is where it should be. */
  async check(): Promise<void> {
    const [first] = this.processes.values();
    if (!first) return;
    const { shards, members } = await first.partitioner.inspect();
    expect(members.map(({ id }) => id).toSorted(byText)).toEqual(
      [...this.processes.keys()].toSorted(byText),
    );
    expect(shards.map(({ owner }) => owner?.member)).toEqual(shards.map((each) => each.assigned));
    const numbers = members.map(({ id }) => shards.filter((each) => each.assigned === id).length);
    expect(Math.max(...numbers) - Math.min(...numbers)).toBeLessThanOrEqual(1);
    for (const { shard, owner } of shards) {
      const tokens = [...(this.active.get(shard) ?? [])].map(({ token }) => token);
      expect(tokens).toEqual([owner?.token]);
    }
  }
}

const byText = (a: string, b: string): number => (a < b ? -1 : 1);
const step = fc.record({
  what: fc.constantFrom('start', 'start', 'close', 'cut', 'heal', 'lose'),
  id: fc.constantFrom('a', 'b', 'c', 'd'),
  /** Milliseconds that handlers of this process take to end: sometimes longer than they may. */
  slowness: fc.constantFrom(0, 100, 4_000),
  /** Milliseconds until the next step. */
  after: fc.constantFrom(0, 30, 400, 1_500, 6_000),
});

it('owns each shard once, under growing tokens, and all of them when all is well again', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
      const etcd = await startTestEtcd({ time: 'virtual' });
      const world = new World(etcd);
      try {
        for (const { what, id, slowness, after } of steps) {
          const found = world.processes.get(id);
          if (what === 'start') await world.start(id, slowness);
          else if (found && what === 'close') {
            world.processes.delete(id);
            found.isCut = false;
            void found.partitioner.close();
          } else if (found && what === 'lose') await etcd.store.revoke(found.lease());
          else if (found) found.isCut = what === 'cut';
          await world.pass(after);
        }
        for (const each of world.processes.values()) each.isCut = false;
        for (let i = 0; i < 60; i += 1) await world.pass(1_000);
        await world.check();
      } finally {
        await etcd.stop();
      }
    }),
    { numRuns: 15 },
  );
}, 60_000);

it('leaves its shards to who came in its place under its ID, and has them again after him', async () => {
  const etcd = await startTestEtcd({ time: 'virtual' });
  try {
    const world = new World(etcd);
    await world.start('a', 0);
    await world.start('b', 0);
    await world.pass(2_000);
    const first = world.processes.get('a') as Process;
    first.isCut = true;
    world.processes.delete('a');
    await world.start('a', 0);
    for (let i = 0; i < 20; i += 1) await world.pass(500);
    first.isCut = false;
    for (let i = 0; i < 20; i += 1) await world.pass(1_000);
    await world.check();
    expect(await first.partitioner.audit()).toEqual([]);
    void world.processes.get('a')?.partitioner.close();
    for (let i = 0; i < 20; i += 1) await world.pass(500);
    await world.check();
  } finally {
    await etcd.stop();
  }
});

it('waits longer and longer where a handler releases its shard over and over', async () => {
  const etcd = await startTestEtcd({ time: 'virtual' });
  try {
    const partitioner = (await etcd.connect({ session })).partitioner('p', options);
    let calls = 0;
    const run = partitioner.run(async (shard) => {
      if (shard.shard > 0) return;
      calls += 1;
      // So many at once would go on for ever.
      if (calls < 100) await shard.release();
    });
    for (let i = 0; i < 20; i += 1) await etcd.advance(500);
    expect(calls).toBeGreaterThan(2);
    expect(calls).toBeLessThan(100);
    await Promise.all([partitioner.close(), run]);
  } finally {
    await etcd.stop();
  }
});
