import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  type Operation,
  type Queue,
  type QueueOptions,
  type Store,
  type Txn,
  WaitTimeoutError,
} from '../../src/index.js';
import { idOf, QueueKeys } from '../../src/queue/queue-keys.js';
import { startTestEtcd, type TestEtcd } from '../../src/testing/index.js';
import { has, override } from '../support/override.js';

let etcd: TestEtcd;
beforeEach(async () => {
  etcd = await startTestEtcd({ time: 'virtual' });
});
afterEach(() => etcd.stop());

/** Lets everything run that is due. */
const settle = (): Promise<void> => etcd.advance(0);

/** What is held back until it is let go. */
class Gate {
  #held: (() => void)[] | undefined;

  hold(): void {
    this.#held ??= [];
  }

  pass(go: () => void): void {
    if (this.#held) this.#held.push(go);
    else go();
  }

  async letOneGo(): Promise<void> {
    this.#held?.shift()?.();
    await settle();
  }

  async letGo(): Promise<void> {
    for (const go of this.#held ?? []) go();
    this.#held = undefined;
    await settle();
  }
}

/** A process that is late: to read names of jobs, and to be told of what it has read of a queue, and of what happens. */
async function late(
  settings?: QueueOptions<string>,
): Promise<{ jobs: Queue<string> } & Record<'names' | 'answers' | 'events', Gate>> {
  const [names, answers, events] = [new Gate(), new Gate(), new Gate()];
  const decorate = (store: Store): Store =>
    override(store, {
      read: async (range, options) => {
        const isOfNames = String(range.key).endsWith('aliases/');
        if (isOfNames) await new Promise<void>((resolve) => names.pass(resolve));
        return store.read(range, options);
      },
      commit: async (txn, options) => {
        const reply = await store.commit(txn, options);
        if (readsQueue(txn)) await new Promise<void>((resolve) => answers.pass(resolve));
        return reply;
      },
      watch: (range, listener, options) =>
        store.watch(
          range,
          {
            events: (some) => events.pass(() => listener.events(some)),
            gap: (revision) => listener.gap(revision),
            closed: (error) => listener.closed(error),
          },
          options,
        ),
    });
  return {
    jobs: (await etcd.connect({ decorate })).queue<string>('jobs', settings),
    names,
    answers,
    events,
  };
}

const readsQueue = ({ success = [] }: Txn): boolean =>
  success.some((step) => 'range' in step && String(step.range.key).endsWith('ready!'));

/** Jobs that somebody works on. */
async function putClaimed(count: number): Promise<void> {
  const keys = new QueueKeys('jobs');
  for (let i = 0; i < count; i += 50) {
    const success = Array.from({ length: 50 }, (_, j): Operation[] => {
      const record = keys.ready + idOf({ priority: 5 }, 1n, i + j, 'p');
      return [record, `${record}!c/x`].map((key) => ({ put: { key, value: '{"at":0}\n""' } }));
    });
    await etcd.store.commit({ success: success.flat() });
  }
}

it('leaves the jobs of a paused queue to nobody who hears of others before he has read that it is paused', async () => {
  const others = (await etcd.connect()).queue<string>('jobs');
  await others.put('a');
  await others.pause('maintenance');
  const taken: string[] = [];
  const { jobs, answers } = await late();
  answers.hold();
  const next = jobs.next().then(({ value }) => taken.push(value));
  await settle();
  const key = 'queue/jobs/ready!consumers/another';
  await etcd.store.commit({ success: [{ put: { key, value: '' } }] });
  await settle();
  await answers.letGo();
  expect(taken).toEqual([]);
  await others.resume();
  await etcd.advance(1_000);
  await next;
  expect(taken).toEqual(['a']);
});

it('hears of a job that came while it was looked once more at a queue of which all was known', async () => {
  await putClaimed(600);
  const { jobs, answers, events } = await late();
  answers.hold();
  const taken: string[] = [];
  const next = jobs.next().then(({ value }) => taken.push(value));
  await settle();
  // The first page; the rest is held.
  await answers.letOneGo();
  const tried = jobs.tryNext();
  await settle();
  // The first page once more, for who tries; then all, for who waits, while who tries wants the rest.
  await answers.letOneGo();
  await answers.letOneGo();
  events.hold();
  await (await etcd.connect()).queue<string>('jobs').put('a');
  await answers.letGo();
  expect(await tried).toBeUndefined();
  await events.letGo();
  expect(taken).toEqual(['a']);
  await next;
});

it('has ended for nobody who has put it again from the dead letters, and hears late that it was one', async () => {
  const options = { keepResults: true };
  const { jobs, events } = await late(options);
  const others = (await etcd.connect()).queue<string>('jobs', options);
  const { id } = await others.put('a');
  const ends: unknown[] = [];
  const tell = (end: unknown): unknown => ends.push(String(end));
  jobs.finished(id).then(tell, tell);
  await settle();
  events.hold();
  await (await others.next()).deadLetter('bad');
  await jobs.deadLetters.redrive([id]);
  jobs.finished(id).then(tell, tell);
  await settle();
  await events.letGo();
  expect(ends).toEqual([expect.stringContaining('bad')]);
  void others.next().then((job) => job.ack({ result: 'fine' }));
  await etcd.advance(1_000);
  expect(ends).toEqual([expect.stringContaining('bad'), 'fine']);
});

it('tells of no job by another name than its own, though it ends while names are read', async () => {
  const { jobs, names } = await late();
  const others = (await etcd.connect()).queue<string>('jobs');
  const { id } = await others.put('a');
  await (await others.next()).deadLetter('bad');
  await others.deadLetters.redrive([id]);
  names.hold();
  const watch = jobs.watch();
  const ids: string[] = [];
  const told = (async () => {
    for await (const event of watch) ids.push(event.id);
  })();
  await settle();
  void others.next().then((job) => job.ack());
  await etcd.advance(1_000);
  await names.letGo();
  const next = await others.put('b');
  await settle();
  watch.close();
  await told;
  expect(ids.filter((each) => each !== id)).toEqual([next.id]);
});

it('leaves no mark at a job that was cancelled after its time was over, and before it was given back', async () => {
  const withdrawals = new Gate();
  const isWithdrawal = ({ success = [] }: Txn): boolean =>
    success.some((step) => 'delete' in step && String(step.delete.key).includes('!c/'));
  const decorate = (store: Store): Store =>
    override(store, {
      commit: async (txn, options) => {
        if (isWithdrawal(txn)) await new Promise<void>((resolve) => withdrawals.pass(resolve));
        return store.commit(txn, options);
      },
    });
  const jobs = (await etcd.connect({ decorate })).queue<string>('jobs', { visibility: 1_000 });
  const { id } = await jobs.put('a');
  const job = await jobs.next();
  withdrawals.hold();
  await etcd.advance(1_000);
  expect(job.isLost).toBe(true);
  const others = (await etcd.connect()).queue<string>('jobs');
  expect(await others.cancel(id)).toBe('claimed');
  await withdrawals.letGo();
  const { kvs } = await etcd.store.read({ key: 'queue/jobs/ready/', end: 'queue/jobs/ready0' });
  expect(kvs.map(({ key }) => key.toString())).toEqual([]);
});

it('keeps a job whose end waits for that of another: that is a sign of life', async () => {
  const ends = new Gate();
  const decorate = (store: Store): Store =>
    override(store, {
      commit: async (txn, options) => {
        if (has('delete', txn)) await new Promise<void>((resolve) => ends.pass(resolve));
        return store.commit(txn, options);
      },
    });
  const jobs = (await etcd.connect({ decorate })).queue<string>('jobs', { visibility: 1_000 });
  await jobs.putMany(['a', 'b']);
  const both = await jobs.nextMany(2);
  expect(both).toHaveLength(2);
  await etcd.advance(700);
  ends.hold();
  const acks = both.map((job) => job.ack({ txn: (txn) => txn.put('last', job.value) }));
  await etcd.advance(700);
  await ends.letGo();
  await Promise.all(acks);
  const { kvs } = await etcd.store.read({ key: 'last' });
  expect(kvs[0]?.value.toString()).toBe('b');
});

it.each([
  { end: 'ack', told: 'done', isLate: false },
  { end: 'ack', told: 'done', isLate: true },
  { end: 'nack', told: 'failed', isLate: false },
  { end: 'nack', told: 'failed', isLate: true },
] as const)('loses no job whose handler does not wait for its end (%o)', async (its) => {
  const answer = new Gate();
  let isNext = false;
  const decorate = (store: Store): Store =>
    override(store, {
      commit: async (txn, options) => {
        const isHeld = isNext && has('delete', txn);
        if (isHeld) isNext = false;
        const reply = await store.commit(txn, options);
        if (isHeld) await new Promise<void>((resolve) => answer.pass(resolve));
        return reply;
      },
    });
  const jobs = (await etcd.connect({ decorate })).queue<string>('jobs');
  const events: string[] = [];
  const consumer = jobs.consume((job) => {
    isNext = its.isLate;
    void job[its.end]();
  });
  for (const event of ['done', 'failed', 'lost'] as const) {
    consumer.on(event, () => events.push(event));
  }
  answer.hold();
  await jobs.put('a');
  await settle();
  expect(isNext).toBe(false);
  await answer.letGo();
  expect(events).toEqual([its.told]);
});

it('waits no longer for a job than it was told to, though it finds one that is to be given up', async () => {
  const process = async (): Promise<Queue<number>> =>
    (await etcd.connect()).queue<number>('jobs', { attempts: 1, visibility: 1_000 });
  const [jobs, others] = [await process(), await process()];
  await jobs.put(1);
  const first = jobs.next();
  await settle();
  await first;
  let error: unknown;
  others.next({ timeout: 1_500 }).catch((reason: unknown) => (error = reason));
  await etcd.advance(1_200);
  expect((await others.stats()).dead).toBe(1);
  await etcd.advance(300);
  expect(error).toBeInstanceOf(WaitTimeoutError);
});
