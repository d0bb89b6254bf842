import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Partitioner, Session, type ShardHold } from '../../../src/index.js';
import { CALL_LIMIT, type Context } from './context.js';
import { mark } from './marks.js';

const OPTIONS = { shards: 12, settle: 500, drainWithin: 3_000 };
/** Milliseconds until every shard is with who is to own it, where nothing fails any more. */
const REST = 40_000;

const lockOf = (shard: number): string => `shard ${shard}`;

/** Owns shards, on a session that is to outlive its losses, and marks what it owns. */
export async function partitions(context: Context): Promise<void> {
  const { operations, setup, stop } = context;
  const session = await opened(context);
  if (!session) return;
  const partitioner = new Partitioner(session, 'shards', OPTIONS);
  partitioner.on('acquired', ({ shard, token }) => {
    const lock = lockOf(shard);
    const got = (): Promise<number> => Promise.resolve(Number(token));
    void operations.run('acquire', { lock }, got, (number) => ({ lock, token: number }));
  });
  partitioner.on('lost', ({ shard, token, reason }) => {
    operations.note('lost', { lock: lockOf(shard), token: Number(token), reason });
  });
  partitioner.on('forced', ({ shard, token }) => {
    operations.note('forced', { lock: lockOf(shard), token: Number(token) });
  });
  const running = takePart(context, partitioner);
  if (!stop.aborted) await once(stop, 'abort');
  await operations.run('settle', { limit: REST }, () => settled(partitioner));
  await partitioner.close();
  await running;
  const lease = String(session.id);
  await operations.run('close', { lease, limit: CALL_LIMIT + 5_000 }, () => session.close());

  /** Again, where etcd had no space for it. */
  async function takePart(at: Context, shards: Partitioner): Promise<void> {
    const work = (shard: ShardHold): Promise<void> => own(at, shard);
    let isOver: true | undefined;
    while (!isOver) {
      const run = (): Promise<true> => shards.run(work, { id: setup.slot }).then(() => true);
      isOver = await operations.run('take part', {}, run);
      if (!isOver) await sleep(200);
    }
  }
}

async function opened({ store, setup, operations, stop }: Context): Promise<Session | undefined> {
  const { ttl, name } = setup;
  while (!stop.aborted) {
    const session = await operations.run(
      'open',
      { limit: 2 * CALL_LIMIT },
      () => Session.open(store, { ttl, label: `shards ${name}` }),
      ({ id, ttl: granted }) => ({ lease: String(id), ttl: granted }),
    );
    if (session) return session;
    await sleep(100);
  }
  return undefined;
}

/** Works on a shard until it moves; now and then it fails, or takes too long to end. */
async function own(context: Context, shard: ShardHold): Promise<void> {
  const { random } = context;
  const lock = lockOf(shard.shard);
  while (!shard.draining.aborted) {
    await mark(context, shard, { lock });
    await sleep(random.between(300, 1_500), undefined, { signal: shard.draining }).catch(() => {});
    if (random.chance(0.02)) throw new Error('failed');
  }
  const isLate = random.chance(0.1);
  await sleep(isLate ? OPTIONS.drainWithin + 1_000 : random.between(0, 500));
  await mark(context, shard, { lock });
}

/** Waits until every shard is with who is to own it. */
async function settled(partitioner: Partitioner): Promise<void> {
  const end = performance.now() + REST;
  while (performance.now() < end) {
    const { shards } = await partitioner.inspect();
    const isOwned = shards.every(({ assigned, owner }) => owner && owner.member === assigned);
    if (shards.length > 0 && isOwned) return;
    await sleep(100);
  }
  throw new Error('there are shards that nobody owns');
}
