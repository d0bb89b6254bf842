import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Job, Queue } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { play, type Stage } from '../support/stage.js';

const etcd = useEtcd();

/** A job that is not done. */
interface Known {
  readonly value: number;
  readonly priority: number;
  /** How often it was begun. */
  tried: number;
  /** Which call has it. */
  by: number | undefined;
}

/** A call that waits for a job, or has one. */
interface Taker {
  readonly id: number;
  readonly who: number;
  job: Known | undefined;
}

interface Model {
  puts: number;
  takes: number;
  /** In the order in which they are to be taken. */
  jobs: Known[];
  takers: Taker[];
}

type End = 'ack' | 'nack' | 'release' | 'dead' | 'abort';
type Step =
  | { readonly do: 'put'; readonly who: number; readonly priority: number; readonly times: number }
  | { readonly do: 'take' | 'try'; readonly who: number }
  | { readonly do: 'end'; readonly how: End; readonly nth: number }
  | { readonly do: 'lose'; readonly who: number };

function stepsFor(processes: number): fc.Arbitrary<Step> {
  const constant = <T extends string>(value: T): fc.Arbitrary<T> => fc.constant(value);
  const who = fc.nat(processes - 1);
  const priority = fc.constantFrom(5, 5, 5, 1, 9);
  const times = fc.constantFrom(1, 1, 3);
  const end = fc.constantFrom<End[]>('ack', 'ack', 'nack', 'release', 'dead', 'abort');
  return fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: constant('put'), who, priority, times }) },
    { weight: 6, arbitrary: fc.record({ do: constant('take'), who }) },
    { weight: 2, arbitrary: fc.record({ do: constant('try'), who }) },
    { weight: 8, arbitrary: fc.record({ do: constant('end'), how: end, nth: fc.nat(7) }) },
    { weight: 1, arbitrary: fc.record({ do: constant('lose'), who }) },
  );
}

const free = ({ jobs }: Model): Known[] => jobs.filter(({ by }) => by === undefined);

/** Those whom an end can be of: who waits may be aborted, all others have a job. */
function target({ takers }: Model, { how, nth }: { how: End; nth: number }): Taker | undefined {
  const all = takers.filter(({ job }) => (job === undefined) === (how === 'abort'));
  return all[nth % all.length];
}

function apply(model: Model, step: Step): Taker | undefined {
  switch (step.do) {
    case 'put':
      for (let i = 0; i < step.times; i += 1) {
        const { priority } = step;
        model.jobs.push({ value: model.puts, priority, tried: 0, by: undefined });
        model.puts += 1;
      }
      model.jobs.sort((a, b) => a.priority - b.priority || a.value - b.value);
      return undefined;
    case 'take': {
      const taker: Taker = { id: model.takes, who: step.who, job: undefined };
      model.takes += 1;
      model.takers.push(taker);
      return taker;
    }
    case 'try': {
      const [job] = free(model);
      const taker: Taker = { id: model.takes, who: step.who, job };
      model.takes += 1;
      if (!job) return taker;
      job.by = taker.id;
      job.tried += 1;
      model.takers.push(taker);
      return taker;
    }
    case 'lose':
      for (const taker of model.takers) {
        if (taker.who === step.who && taker.job) taker.job.by = undefined;
      }
      model.takers = model.takers.filter(({ who, job }) => who !== step.who || !job);
      return undefined;
    default: {
      const taker = target(model, step) as Taker;
      const { job } = taker;
      model.takers = model.takers.filter((each) => each !== taker);
      if (!job) return taker;
      job.by = undefined;
      if (step.how === 'release') job.tried -= 1;
      if (step.how === 'ack' || step.how === 'dead') {
        model.jobs = model.jobs.filter((each) => each !== job);
      }
      return taker;
    }
  }
}

/** A call of `next`. */
class Taking {
  readonly #abort = new AbortController();
  job: Job<number> | undefined;
  error: unknown;

  constructor(queue: Queue<number>) {
    void this.#take(queue);
  }

  abort(): void {
    this.#abort.abort();
  }

  async #take(queue: Queue<number>): Promise<void> {
    try {
      this.job = await queue.next({ signal: this.#abort.signal });
    } catch (error) {
      this.error = error;
    }
  }
}

/** The same steps on a queue. */
class System {
  readonly name: string = etcd.name('queue');
  readonly stage: Stage;
  readonly #queues: readonly Queue<number>[];
  readonly #jobs = new Map<number, Job<number>>();
  readonly #waiting = new Map<number, Taking>();

  constructor(stage: Stage) {
    this.stage = stage;
    const options = { visibility: 3_600_000, attempts: 1_000 };
    this.#queues = stage.processes.map((each) => each.queue<number>(this.name, options));
  }

  async run(step: Step, model: Model, taker: Taker | undefined): Promise<void> {
    switch (step.do) {
      case 'put': {
        const values = Array.from({ length: step.times }, (_, i) => model.puts - step.times + i);
        await this.#of(step.who).putMany(values, { priority: step.priority });
        break;
      }
      case 'take':
        this.#waiting.set((taker as Taker).id, new Taking(this.#of(step.who)));
        break;
      case 'try': {
        const job = await this.#of(step.who).tryNext();
        expect(job?.value).toBe(taker?.job?.value);
        if (job) this.#begun(taker as Taker, job);
        break;
      }
      case 'lose': {
        await this.stage.end(step.who, 'revoke');
        const held = new Set(model.takers.map(({ id }) => id));
        for (const [id, job] of this.#jobs) {
          if (held.has(id)) continue;
          this.#jobs.delete(id);
          await expect(job.ack()).rejects.toThrow();
        }
        break;
      }
      default:
        await this.#end(step.how, (taker as Taker).id);
    }
  }

  async check(model: Model, isExact: boolean): Promise<void> {
    const given = model.takers.flatMap((taker) => {
      const taking = this.#waiting.get(taker.id);
      expect(taking?.error).toBeUndefined();
      const known = free(model).find(({ value }) => value === taking?.job?.value);
      expect(known === undefined).toBe(taking?.job === undefined);
      return taking?.job && known ? [{ taker, known, job: taking.job }] : [];
    });
    // Those who wait at the same time get the first jobs in any order.
    const first = free(model).slice(0, given.length);
    if (isExact) expect(first.every((job) => given.some(({ known }) => known === job))).toBe(true);
    for (const { taker, known, job } of given) {
      taker.job = known;
      known.by = taker.id;
      known.tried += 1;
      this.#waiting.delete(taker.id);
      this.#begun(taker, job);
    }
    const isWaiting = model.takers.some(({ job }) => job === undefined);
    expect(isWaiting && free(model).length > 0).toBe(false);
    for (const [id, job] of this.#jobs) expect([id, job.isHeld]).toEqual([id, true]);
    await Promise.resolve();
  }

  async finish(model: Model): Promise<void> {
    for (const taking of this.#waiting.values()) taking.abort();
    for (const job of this.#jobs.values()) await job.ack();
    await this.stage.settle(() => {});
    const left = model.jobs.filter(({ by }) => by === undefined);
    for (const { value, tried } of left) {
      const job = await this.#of(0).tryNext();
      expect(job).toMatchObject({ value, attempt: tried + 1 });
      await job?.ack();
    }
    expect(await this.#of(0).tryNext()).toBeUndefined();
  }

  #begun(taker: Taker, job: Job<number>): void {
    expect(job).toMatchObject({ value: taker.job?.value, attempt: taker.job?.tried });
    this.#jobs.set(taker.id, job);
  }

  async #end(how: End, id: number): Promise<void> {
    const job = this.#jobs.get(id);
    this.#jobs.delete(id);
    if (how === 'abort') {
      this.#waiting.get(id)?.abort();
      this.#waiting.delete(id);
    } else if (how === 'ack') await job?.ack();
    else if (how === 'nack') await job?.nack({ delay: 0 });
    else if (how === 'dead') await job?.deadLetter('no use');
    else await job?.release();
  }

  #of(i: number): Queue<number> {
    return this.#queues[i] as Queue<number>;
  }
}

for (const [processes, what] of [
  [1, 'in their order'],
  [3, 'so that none waits while somebody does'],
] as const) {
  it(`a queue gives ${processes} as a model of one thread does, ${what}, in any order of steps`, {
    timeout: 120_000,
  }, async () => {
    await play<Step, Model, System>(
      etcd,
      { processes, runs: 1_000 },
      {
        step: stepsFor(processes),
        model: () => ({ puts: 0, takes: 0, jobs: [], takers: [] }),
        system: (stage) => new System(stage),
        can(model, step) {
          if (step.do === 'end') return target(model, step) !== undefined;
          return step.do !== 'take' || model.takers.length < 6;
        },
        apply,
        run: (system, step, model, taker) => system.run(step, model, taker as Taker),
        check: (system, model) => system.check(model, processes === 1),
        finish: (system, model) => system.finish(model),
        leftovers: ({ name }) => ({ key: `queue/${name}/ready/`, end: `queue/${name}/ready0` }),
      },
    );
  });
}
