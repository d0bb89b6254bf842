import type { Coordinator, Hold, KeyValue } from '../../../src/index.js';
import { waitFor } from '../../../src/testing/index.js';

/** Where something is done, to what, and a number that varies it. */
interface Act {
  readonly place: Coordinator;
  readonly name: string;
  readonly number: number;
}

/** Something that is done with a recipe, or the client: what of its result does not differ from place to place. */
export type Recipe = (act: Act) => Promise<unknown>;

const given = async (hold: Hold | undefined): Promise<unknown> =>
  hold && [hold.key.slice(0, hold.key.lastIndexOf('/')), await hold.release()];

const valuesOf = (kvs: readonly KeyValue[]): unknown =>
  kvs.map(({ key, value, version }) => [String(key), String(value), version]);

/** All recipes, each by most of what it can do. What is held is given back; all else stays, for the next. */
export const recipes: Readonly<Record<string, Recipe>> = {
  'mutex.acquire': async ({ place, name }) => given(await place.mutex(name).acquire()),
  'mutex with a delay': async ({ place, name }) =>
    given(await place.mutex(name, { lockDelay: 1 }).acquire()),
  'mutex in the layout of Go': async ({ place, name }) =>
    given(await place.mutex(`go-${name}`, { layout: 'go' }).acquire()),
  'mutex with somebody in line': async ({ place, name }) => {
    const first = await place.mutex(name).acquire();
    const second = place.mutex(name).acquire();
    const tried = await place.mutex(name).tryAcquire();
    const state = await place.mutex(name).inspect();
    await first.release();
    return [tried, state.holder !== undefined, await given(await second)];
  },
  'mutex taken away': async ({ place, name, number }) => {
    const mutex = place.mutex(name);
    const hold = await mutex.acquire();
    const [taken] = await mutex.forceRelease(`why ${number}`);
    await waitFor(() => hold.signal.aborted);
    const audit = await mutex.audit();
    return [taken?.key === hold.key, hold.lost, audit.map(({ reason }) => reason)];
  },
  'mutex.txn': async ({ place, name, number }) => {
    const hold = await place.mutex(name).acquire();
    const wrote = await hold.txn().put(`guarded/${name}`, String(number)).commit();
    await hold.release();
    return wrote.replies.length;
  },
  readWriteLock: async ({ place, name }) => {
    const lock = place.readWriteLock(name);
    const readers = await Promise.all([lock.read.acquire(), lock.read.acquire()]);
    const write = await lock.write.tryAcquire();
    const all = await Promise.all(readers.map(given));
    return [write, all, await given(await lock.write.acquire())];
  },
  'readWriteLock.upgrade': async ({ place, name }) => {
    const lock = place.readWriteLock(name);
    const hold = await lock.upgradeable.acquire();
    const upgraded = await lock.upgrade(hold);
    return [await given(upgraded), await hold.release()];
  },
  semaphore: async ({ place, name }) => {
    const semaphore = place.semaphore(name, { limit: 3 });
    const hold = await semaphore.acquire({ permits: 2 });
    const refused = await semaphore.tryAcquire({ permits: 2 });
    const { limit, holders } = await semaphore.inspect();
    return [refused, limit, holders.length, await given(hold)];
  },
  multiLock: async ({ place, name }) => given(await place.multiLock([name, `${name}2`]).acquire()),
  election: async ({ place, name, number }) => {
    const election = place.election(name);
    const term = await election.campaign(`v${number}`);
    const leader = await election.leader();
    await term.proclaim(`w${number}`);
    const state = await election.inspect();
    return [leader?.value, state.leader?.value, state.candidates.length, await term.release()];
  },
  'schedule.inspect': async ({ place, name }) => {
    const { cron, waiters } = await place.schedule(name, '* * * * *').inspect();
    return [cron, waiters];
  },
  gate: async ({ place, name, number }) => {
    const gate = place.gate(name);
    const changed = await (number % 2 === 0 ? gate.raise() : gate.lift());
    if (number % 2 === 1) await gate.wait();
    return [changed, (await gate.inspect()).raised];
  },
  latch: async ({ place, name, number }) => {
    const latch = place.latch(name, 3);
    if (number % 8 === 0) await latch.reset();
    return [await latch.countDown(`party ${number % 4}`), await latch.inspect()];
  },
  cyclicBarrier: async ({ place, name }) => {
    const barrier = place.cyclicBarrier(name, 2);
    const passages = await Promise.all([barrier.wait(), barrier.wait()]);
    return passages.map((each) => JSON.stringify(each)).toSorted();
  },
  doubleBarrier: async ({ place, name }) => {
    const parties = [1, 2].map(() => place.doubleBarrier(name, 2));
    await Promise.all(parties.map((party) => party.enter()));
    await Promise.all(parties.map((party) => party.leave()));
    return (await place.doubleBarrier(name, 2).inspect()).inside;
  },
  'counter.add': ({ place, name, number }) => place.counter(name).add(BigInt(number - 50)),
  'counter.get': ({ place, name }) => place.counter(name).get(),
  'counter.compareAndSet': ({ place, name, number }) =>
    place.counter(name).compareAndSet(BigInt(number), 0n),
  sequence: async ({ place, name }) => {
    const sequence = place.sequence(name);
    return [await sequence.next(), await sequence.last()];
  },
  'value.set': async ({ place, name, number }) => {
    const value = place.value<number>(name);
    const revision = await value.set(number);
    return [(await value.replace(revision, -number)) !== undefined, (await value.get()).value];
  },
  'value.update': async ({ place, name, number }) =>
    (await place.value<number>(name).update((before = 0) => before + number)).value,
  'value.delete': async ({ place, name }) => {
    await place.value(name).delete();
    return (await place.value(name).get()).value;
  },
  'client.put': async ({ place, name, number }) => {
    const { previous } = await place.client.put(name, String(number), { previous: true });
    return previous && valuesOf([previous]);
  },
  'client.stm': ({ place, name, number }) =>
    place.client.stm(async (tx) => {
      const before = Number((await tx.get(`stm/${name}`)) ?? 0);
      const other = await tx.get(`stm/${number}`);
      tx.put(`stm/${name}`, String(before + 1));
      if (number % 3 === 0) tx.put(`stm/${number}`, name);
      return [before, other && String(other)];
    }),
  'client.scan': async ({ place, number }) => {
    const found: KeyValue[] = [];
    const range = { key: 'stm/', end: number % 2 === 0 ? '\0' : 'stm0' };
    for await (const kv of place.client.scan(range, { pageSize: 7 })) found.push(kv);
    // Values of recipes tell of times and processes.
    return valuesOf(found.filter(({ key }) => key.toString().startsWith('stm/')));
  },
  'client.watch': async ({ place, name, number }) => {
    const key = `watched/${name}`;
    const watching = place.client.watch({ key });
    await watching.ready;
    await place.client.put(key, String(number));
    for await (const { type, kv } of watching) return [type, String(kv.key), String(kv.value)];
    return undefined;
  },
  'client.txn': async ({ place, name, number }) => {
    const { client } = place;
    const { kvs, count } = await client.range({ key: 'stm/', end: 'stm0' }, { limit: 3 });
    const gone = await client.delete(
      number % 5 === 0 ? { key: 'stm/', end: 'stm0' } : `stm/${name}`,
    );
    return [valuesOf(kvs), count, gone.deleted];
  },
  queue: async ({ place, name, number }) => {
    const queue = place.queue<number>(name);
    await queue.putMany([number, number + 1]);
    const job = await queue.next();
    await job.ack();
    const other = await queue.tryNext();
    await (number % 2 === 0 ? other?.ack() : other?.deadLetter('odd'));
    return [job.value, other?.value];
  },
  contents: async ({ place, number }) => {
    const lines: string[] = [];
    const there = place.namespace('part/');
    await there.client.put(`n${number}`, 'v');
    for await (const line of there.contents.export()) lines.push(line);
    const { keys } = await there.contents.usage();
    const cleared = keys > 20 ? await there.contents.clear() : 0;
    const elsewhere = place.namespace('copy/').contents;
    const report = await elsewhere.import(lines, { overwrite: true });
    return [lines.slice(1), keys, cleared, report];
  },
};
