import { describe, expect, it } from 'vitest';
import { ArgumentError, type Job, type Queue, type Store } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';

const etcd = useEtcd();

/** What is no number of the kind that is wanted, no text, and so on; `undefined` is as if it were left out. */
const notWhole = [null, 'x', '5', 1.5, Number.NaN, -1, 5n, {}, [], true];
const notDuration = [null, 'x', '5', Number.NaN, -1, 5n, {}, [], true];
const notText = [null, '', 5, {}, [], true, Symbol('x')];
const notFlag = [null, 0, 1, 'true', {}, []];
const notFunction = [null, 0, 'x', {}, []];
const notObject = [null, 0, 'x', true, [], () => {}];
const notSignal = [null, 0, 'x', {}, [], true, new AbortController()];
const notDate = [null, 0, 'x', {}, [], new Date(Number.NaN), '2030-01-01'];
const none = [null, 0, '', 'x', {}];

const waits = { signal: notSignal, timeout: notDuration };

const ofQueue = {
  codec: [null, 5, 'json', {}, { encode: () => '' }, { decode: () => 0 }, []],
  attempts: [0, ...notWhole],
  backoff: [null, 5, 'fixed', {}, [], { type: 'other' }],
  'backoff.delay': notDuration.map((delay) => ({ type: 'fixed', delay })),
  'backoff.base': notDuration.map((base) => ({ type: 'exponential', base, cap: 1 })),
  'backoff.cap': notDuration.map((cap) => ({ type: 'exponential', base: 1, cap })),
  visibility: [0, ...notDuration],
  maxTime: [0, ...notDuration],
  onExhausted: none,
  groupConcurrency: [0, ...notWhole],
  limit: [0, ...notWhole],
  whenFull: none,
  retention: notObject,
  'retention.done': notObject.map((done) => ({ done })),
  'retention.dead': notObject.map((dead) => ({ dead })),
  'retention.dead.age': [0, ...notDuration].map((age) => ({ dead: { age } })),
  'retention.done.count': notWhole.map((count) => ({ done: { count } })),
  maxBytes: [0, ...notWhole],
  keepResults: notFlag,
};

const ofRepeat = {
  priority: [10, ...notWhole],
  orderKey: ['\ud800', ...notText],
  group: ['\ud800', ...notText],
  attempts: [0, ...notWhole],
  ttl: [0, ...notDuration],
  onExpiry: none,
  ...waits,
};

const ofJob = {
  ...ofRepeat,
  id: ['\ud800', ...notText],
  dedupe: notObject,
  'dedupe.key': ['\ud800', ...notText].map((key) => ({ key })),
  'dedupe.window': [0, ...notDuration].map((window) => ({ key: 'x', window })),
  delay: notDuration,
  notBefore: notDate,
};

type Bad = Readonly<Record<string, readonly unknown[]>>;

/** Every wrong value of every option, as options: with the name that is to be told. */
function options(bad: Bad): [string, object][] {
  return Object.entries(bad).flatMap(([name, wrong]) =>
    wrong.map((value): [string, object] => [name, { [name.split('.')[0] as string]: value }]),
  );
}

/** Every wrong value of one argument. */
function values(name: string, bad: readonly unknown[]): [string, unknown][] {
  return bad.map((value) => [name, value]);
}

describe('of a queue, bad input is refused before anything is sent, by a message that names', () => {
  /** Sends nothing to etcd from here on. */
  async function setUp(): Promise<{ jobs: Queue<number>; job: Job<number>; shut: () => void }> {
    let isShut = false;
    // What the store itself refuses is not sent.
    async function sent<Reply>(reply: Promise<Reply>): Promise<Reply> {
      const found = await reply;
      if (isShut) throw new Error('something was sent');
      return found;
    }
    const decorate = (store: Store): Store =>
      override(store, {
        commit: (...args) => sent(store.commit(...args)),
        read: (...args) => sent(store.read(...args)),
      });
    const jobs = (await etcd.connect({}, decorate)).queue<number>(etcd.name('queue'), {
      keepResults: true,
    });
    await jobs.put(1);
    const job = await jobs.next();
    return {
      jobs,
      job,
      shut: () => {
        isShut = true;
      },
    };
  }

  async function expectAll<Value>(
    cases: readonly (readonly [string, Value])[],
    call: (value: Value) => unknown,
  ): Promise<void> {
    for (const [name, value] of cases) {
      let error: unknown;
      try {
        await call(value);
      } catch (thrown) {
        error = thrown;
      }
      const what = { [name]: value, call: String(call) };
      expect({ what, error }).toEqual({ what, error: expect.any(ArgumentError) });
      expect((error as Error).message).toContain(`${name} must be `);
    }
  }

  it('each option of the queue', async () => {
    const process = await etcd.connect();
    await expectAll(values('name', notText), (name) => process.queue(name as string));
    await expectAll(options(ofQueue), (each) => process.queue('x', each));
  });

  it('each option of what puts', async () => {
    const { jobs, shut } = await setUp();
    shut();
    await expectAll(options(ofJob), (each) => jobs.put(1, each));
    await expectAll(options(ofJob), (each) => jobs.putMany([1], each));
    const { signal: _, timeout: _timeout, ...steps } = ofJob;
    await expectAll(options(steps), (each) => void jobs.enqueuing(1, each));
    await expectAll(options(ofRepeat), (each) => jobs.repeat('key', '0 0 * * *', 1, each));
    const catching = { timeZone: notText, catchUp: none, catchUpLimit: [0, 1_001, ...notWhole] };
    await expectAll(options(catching), (each) => jobs.repeat('key', '0 0 * * *', 1, each));
    await expectAll(values('key', notText), (key) => jobs.repeat(key as string, '0 0 * * *', 1));
    await expectAll(values('cron', ['x', ...notText]), (cron) =>
      jobs.repeat('key', cron as string, 1),
    );
    await expectAll(values('key', notText), (key) => jobs.unrepeat(key as string));
  });

  it('each option of what takes', async () => {
    const { jobs, job, shut } = await setUp();
    const consumer = jobs.consume(() => {});
    consumer.pause();
    shut();
    await expectAll(options(waits), (each) => jobs.next(each));
    await expectAll(options(waits), (each) => jobs.tryNext(each));
    await expectAll(values('handler', notFunction), (handler) =>
      jobs.consume(handler as () => void),
    );
    const consuming = { concurrency: [0, ...notWhole], signal: notSignal };
    await expectAll(options(consuming), (each) => jobs.consume(() => {}, each));
    await expectAll(values('grace', notDuration), (grace) => consumer.close(grace as number));
    await expectAll(options({ txn: notFunction }), (each) => job.ack(each));
    const unspeakable = [1n, () => {}, Symbol('x')];
    await expectAll(options({ result: unspeakable }), (each) => job.ack(each));
    await expectAll(values('value', unspeakable), (value) => job.progress(value));
    await expectAll(options({ reason: notText, delay: notDuration }), (each) => job.nack(each));
    await expectAll(values('reason', notText), (reason) => job.deadLetter(reason as string));
    expect(job.isHeld).toBe(true);
  });

  it('each option of who looks after it', async () => {
    const { jobs, shut } = await setUp();
    shut();
    const { deadLetters } = jobs;
    const paging = { limit: [0, ...notWhole], after: notText, ...waits };
    await expectAll(options(paging), (each) => jobs.list('ready', each));
    await expectAll(options(paging), (each) => deadLetters.list(each));
    await expectAll(values('state', none), (state) => jobs.list(state as 'ready'));
    await expectAll(options({ exact: notFlag, ...waits }), (each) => jobs.stats(each));
    const every = { every: [0, ...notDuration], exact: notFlag, ...waits };
    await expectAll(options(every), (each) => jobs.watchStats(each).next());
    await expectAll(values('id', notText), (id) => jobs.get(id as string));
    await expectAll(values('id', notText), (id) => deadLetters.get(id as string));
    await expectAll(values('id', notText), (id) => jobs.finished(id as string));
    await expectAll(values('id', notText), (id) => jobs.cancel(id as string));
    const cancelling = { reason: notText, keep: notFlag, ...waits };
    await expectAll(options(cancelling), (each) => jobs.cancel('x', each));
    await expectAll(values('reason', notText), (reason) => jobs.pause(reason as string));
    const clearing = { dead: notFlag, claimed: notFlag, done: notFlag, ...waits };
    await expectAll(options(clearing), (each) => jobs.clear(each));
    await expectAll(values('which', none), (which) => deadLetters.purge(which as 'all'));
    await expectAll(values('which', none), (which) => deadLetters.redrive(which as 'all'));
    await expectAll(values('id', notText), (id) => deadLetters.redrive([id as string]));
    const redriving = { limit: [0, ...notWhole], ...waits };
    await expectAll(options(redriving), (each) => deadLetters.redrive('all', each));
    await expectAll(values('orderKey', notText), (key) => jobs.unblock(key as string, 'skip'));
    await expectAll(values('how', none), (how) => jobs.unblock('x', how as 'skip'));
    await expectAll(options({ signal: notSignal }), (each) => void jobs.watch(each));
  });

  it('the limits of each call', async () => {
    const { jobs, shut } = await setUp();
    shut();
    const { deadLetters } = jobs;
    const calls: ((limits: object) => unknown)[] = [
      (limits) => jobs.resume(limits),
      (limits) => jobs.pause('why', limits),
      (limits) => jobs.paused(limits),
      (limits) => jobs.get('x', limits),
      (limits) => jobs.repeats(limits),
      (limits) => jobs.unrepeat('x', limits),
      (limits) => jobs.blockedKeys(limits),
      (limits) => jobs.unblock('x', 'skip', limits),
      (limits) => jobs.drained(limits),
      (limits) => jobs.finished('x', limits),
      (limits) => deadLetters.get('x', limits),
      (limits) => deadLetters.purge(['x'], limits),
      (limits) => deadLetters.purge('all', limits),
    ];
    for (const call of calls) await expectAll(options(waits), call);
  });
});
