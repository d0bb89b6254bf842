import { alternate, type Bench, type Benchmark, compare, type Outcome, once } from './benchmark.js';
import { queueDepthBenchmark } from './queue-depth.js';
import { queueProcessesBenchmark } from './queue-processes.js';
import { queueWaitBenchmark } from './queue-wait.js';
import { summarize } from './statistics.js';
import type { QueueDrainReport, QueueDrainTask } from './workers/queue-drain.js';
import type { QueuePutReport, QueuePutTask } from './workers/queue-put.js';

interface GoPace {
  readonly perSecond: number;
}

const jobs = 5_000;
const consumers = 8;
const many = 64;
const callers = 64;

/** Our queue against Go's, against a put, and against itself. */
export const queueBenchmarks: readonly Benchmark[] = [
  drain('queue-drain', '', 'single', 40),
  drain('queue-drain-64', `, ${many} at once each`, 'batched', 300),
  {
    name: 'queue-put',
    what: `Jobs put by ${callers} callers`,
    target: '≥ 2 × puts of Go',
    run: measurePut,
  },
  queueWaitBenchmark,
  queueDepthBenchmark,
  queueProcessesBenchmark,
];

function drain(name: string, how: string, way: 'single' | 'batched', atLeast: number): Benchmark {
  return {
    name,
    what: `${jobs.toLocaleString('en')} jobs done by ${consumers} consumers${how}`,
    target: `≥ ${atLeast} × Go`,
    async run(bench) {
      const found = await drains(bench);
      const ours = found.ours.map((round) => round[way].perSecond);
      const control = found.control?.map(({ perSecond }) => perSecond);
      const ratio = compare(ours, control);
      const filled = found.ours.map((round) => round[way].filledPerSecond);
      return {
        ours: summarize(ours),
        unit: 'per second',
        control: { name: 'Go', figure: control && summarize(control) },
        ratio,
        reached: ratio && ratio.median >= atLeast,
        asides: [{ what: 'put before, in groups', figure: summarize(filled), unit: 'per second' }],
        rounds: found,
      };
    },
  };
}

/** Go takes a minute for it. */
const drains = once(async ({ endpoint, programs, options }: Bench) => {
  const { go } = programs;
  const scaled = Math.ceil(jobs * options.scale);
  const ours = (concurrency: number): Promise<QueueDrainReport> => {
    const task: QueueDrainTask = { where: { endpoint }, jobs: scaled, consumers, concurrency };
    return programs.ours<QueueDrainReport>('queueDrain', task);
  };
  return await alternate(
    options.rounds,
    async () => ({ single: await ours(1), batched: await ours(many) }),
    go && (() => go<GoPace>('drain', { endpoint, jobs: scaled, callers: consumers })),
  );
});

async function measurePut({ endpoint, programs, options }: Bench): Promise<Outcome> {
  const { go } = programs;
  const { rounds, seconds } = options;
  const task: QueuePutTask = { where: { endpoint }, callers, seconds };
  const found = await alternate(
    rounds,
    () => programs.ours<QueuePutReport>('queuePut', task),
    go &&
      (async () => ({
        puts: await go<GoPace>('puts', { endpoint, callers, seconds }),
        enqueues: await go<GoPace>('enqueues', { endpoint, callers, seconds }),
      })),
  );
  const ours = found.ours.map(({ perSecond }) => perSecond);
  const control = found.control?.map(({ puts }) => puts.perSecond);
  const ratio = compare(ours, control);
  const enqueues = found.control?.map((round) => round.enqueues.perSecond);
  const cpu = summarize(found.ours.map((report) => report.cpu));
  return {
    ours: summarize(ours),
    unit: 'per second',
    control: { name: 'Go', figure: control && summarize(control) },
    ratio,
    reached: ratio && ratio.median >= 2,
    asides: [
      { what: 'CPU of our process for one', figure: cpu, unit: 'µs' },
      ...(enqueues
        ? [{ what: 'Go: into its queue', figure: summarize(enqueues), unit: 'per second' as const }]
        : []),
    ],
    rounds: found,
  };
}
