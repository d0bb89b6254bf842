import fc from 'fast-check';
import { expect, it } from 'vitest';
import { prefixRange } from '../../src/core/store/keys.js';
import type { Job, Queue } from '../../src/index.js';
import { QueueKeys, restOf } from '../../src/queue/queue-keys.js';
import { useEtcd } from '../support/etcd.js';
import { play, type Stage } from '../support/stage.js';

const etcd = useEtcd();
const processes = 3;
/** Milliseconds that do not pass here. */
const never = 1_000_000_000;
const options = { attempts: 1_000, visibility: never, groupConcurrency: 2 };

/** A job that is not done, in the order of the puts. */
interface Known {
  readonly id: number;
  readonly order: string | undefined;
  readonly group: string | undefined;
  readonly priority: number | undefined;
  state: 'free' | 'held' | 'rests';
  by: number;
}

interface Model {
  ids: number;
  jobs: Known[];
}

type Step =
  | ({ readonly do: 'put'; readonly who: number } & Pick<Known, 'order' | 'group' | 'priority'>)
  | { readonly do: 'take'; readonly who: number }
  | {
      readonly do: 'finish';
      readonly nth: number;
      readonly how: 'ack' | 'again' | 'rest' | 'release';
    }
  | { readonly do: 'wake'; readonly nth: number }
  | { readonly do: 'end'; readonly who: number; readonly how: 'expire' | 'revoke' };

const who = fc.nat(processes - 1);
const nth = fc.nat(9);
const group = fc.constantFrom(undefined, undefined, 'g');
const putIn = fc.constant('put' as const);
const ordered = fc.record({
  do: putIn,
  who,
  order: fc.constantFrom('a', 'b'),
  group,
  priority: fc.constant(undefined),
});
const loose = fc.record({
  do: putIn,
  who,
  order: fc.constant(undefined),
  group,
  priority: fc.constantFrom(undefined, 1, 9),
});
const finish = fc.record({
  do: fc.constant('finish' as const),
  nth,
  how: fc.constantFrom(
    'ack' as const,
    'ack' as const,
    'again' as const,
    'rest' as const,
    'release' as const,
  ),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: ordered },
  { weight: 3, arbitrary: loose },
  { weight: 9, arbitrary: fc.record({ do: fc.constant('take' as const), who }) },
  { weight: 7, arbitrary: finish },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wake' as const), nth }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('end' as const),
      who,
      how: fc.constantFrom('expire' as const, 'revoke' as const),
    }),
  },
);

function inState(model: Model, state: Known['state']): Known[] {
  return model.jobs.filter((job) => job.state === state);
}

function pick(jobs: readonly Known[], n: number): Known {
  return jobs[n % jobs.length] as Known;
}

/** The one that is to be taken next. */
function next({ jobs }: Model): Known | undefined {
  const isFirst = (job: Known): boolean =>
    job.order === undefined || jobs.find(({ order }) => order === job.order) === job;
  const inGroup = jobs.filter(({ group: g, state }) => g !== undefined && state === 'held').length;
  return jobs
    .toSorted((a, b) => (a.priority ?? 5) - (b.priority ?? 5))
    .find(
      (job) => job.state === 'free' && isFirst(job) && (job.group === undefined || inGroup < 2),
    );
}

/** Does a step to the model; gives the job that it is about. */
function apply(model: Model, given: Step): Known | undefined {
  switch (given.do) {
    case 'put': {
      const { order, group: of, priority } = given;
      const job: Known = { id: model.ids, order, group: of, priority, state: 'free', by: -1 };
      model.ids += 1;
      model.jobs.push(job);
      return job;
    }
    case 'take': {
      const job = next(model);
      if (job) Object.assign(job, { state: 'held', by: given.who });
      return job;
    }
    case 'finish': {
      const job = pick(inState(model, 'held'), given.nth);
      const isAway = given.how === 'ack' || (given.how === 'rest' && job.order === undefined);
      if (isAway) model.jobs = model.jobs.filter((each) => each !== job);
      else job.state = given.how === 'rest' ? 'rests' : 'free';
      return job;
    }
    case 'wake': {
      const job = pick(inState(model, 'rests'), given.nth);
      job.state = 'free';
      return job;
    }
    default:
      for (const job of inState(model, 'held')) if (job.by === given.who) job.state = 'free';
      return undefined;
  }
}

class System {
  readonly keys: QueueKeys;
  readonly stage: Stage;
  readonly queues: readonly Queue<number>[];
  readonly held = new Map<number, Job<number>>();
  readonly #names = new Map<number, string>();

  constructor(stage: Stage) {
    const name = etcd.name('queue');
    this.stage = stage;
    this.keys = new QueueKeys(name);
    this.queues = stage.processes.map((each) => each.queue<number>(name, options));
  }

  async run(given: Step, job: Known | undefined): Promise<void> {
    const { id = -1 } = job ?? {};
    const jobs = this.queues['who' in given ? given.who : 0] as Queue<number>;
    if (given.do === 'put') {
      const { order, group: of, priority } = given;
      const put = await jobs.put(id, {
        ...(order !== undefined && { orderKey: order }),
        ...(of !== undefined && { group: of }),
        ...(priority !== undefined && { priority }),
      });
      this.#names.set(id, put.id);
    } else if (given.do === 'take') {
      const taken = await jobs.tryNext();
      expect(taken?.value).toBe(job?.id);
      if (taken) this.held.set(id, taken);
    } else if (given.do === 'finish') {
      const taken = this.held.get(id) as Job<number>;
      if (given.how === 'ack') await taken.ack();
      else if (given.how === 'release') await taken.release();
      else await taken.nack({ delay: given.how === 'again' ? 0 : never });
    } else if (given.do === 'wake') {
      const name = this.#names.get(id) as string;
      const keys = [this.keys.rests + name, restOf(this.keys.ready + name)];
      await this.stage.admin.commit({ success: keys.map((key) => ({ delete: { key } })) });
    } else {
      await this.stage.end(given.who, given.how);
    }
  }
}

it('jobs with order keys, groups and priorities are given as a model of one thread gives them', {
  timeout: 120_000,
}, async () => {
  await play<Step, Model, System>(
    etcd,
    { processes, runs: 300 },
    {
      step,
      model: () => ({ ids: 0, jobs: [] }),
      system: (stage) => new System(stage),
      can(model, given) {
        if (given.do === 'finish') return inState(model, 'held').length > 0;
        return given.do !== 'wake' || inState(model, 'rests').length > 0;
      },
      apply,
      run: (system, given, _, job) => system.run(given, job as Known | undefined),
      async check(system, model) {
        const { kvs } = await system.stage.admin.read(prefixRange(system.keys.ready));
        const records = kvs.filter(({ key }) => !key.includes('!', system.keys.ready.length));
        expect(records.length).toBe(model.jobs.length);
      },
      async finish(system, model) {
        for (const { id } of inState(model, 'held')) await system.held.get(id)?.ack();
      },
      leftovers: ({ keys }) => prefixRange(keys.ready),
    },
  );
});
