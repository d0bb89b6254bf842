import { alternate, type Bench, type Benchmark, type Outcome } from './benchmark.js';
import { ratios, summarize } from './statistics.js';
import type { QueueProcessesReport, QueueProcessesTask } from './workers/queue-processes.js';

const teams = [4, 16] as const;
const concurrency = 8;
const warmUp = 500;
const jobs = 5_000;
const singles = 200;

/** Many processes that all want the first job. */
export const queueProcessesBenchmark: Benchmark = {
  name: 'queue-processes',
  what: `Jobs done by ${teams[1]} processes`,
  target: `≥ 1 × ${teams[0]} processes, ≤ 10 % of claims wasted`,
  run: measure,
};

async function measure({ endpoint, programs, options }: Bench): Promise<Outcome> {
  const scaled = {
    warmUp: Math.ceil(warmUp * options.scale),
    jobs: Math.ceil(jobs * options.scale),
    single: Math.ceil(singles * options.scale),
  };
  const by = (processes: number): Promise<QueueProcessesReport> => {
    const task: QueueProcessesTask = { endpoint, processes, concurrency, ...scaled };
    return programs.ours<QueueProcessesReport>('queueProcesses', task);
  };
  const found = await alternate(
    options.rounds,
    () => by(teams[1]),
    () => by(teams[0]),
  );
  const pace = (reports: readonly QueueProcessesReport[] = []): number[] =>
    reports.map(({ perSecond }) => perSecond);
  const ratio = summarize(ratios(pace(found.ours), pace(found.control)));
  const [wasted, wastedSingle] = (['wasted', 'wastedSingle'] as const).map((kind) =>
    summarize(found.ours.map((report) => report[kind] ?? Number.NaN)),
  );
  if (!wasted || !wastedSingle) throw new Error('nothing was measured');
  const told = wasted.median + wastedSingle.median;
  const thrifty = Math.max(wasted.median, wastedSingle.median) <= 0.1;
  return {
    ours: summarize(pace(found.ours)),
    unit: 'per second',
    control: { name: `${teams[0]} processes`, figure: summarize(pace(found.control)) },
    ratio,
    reached: Number.isNaN(told) ? undefined : thrifty && ratio.median >= 1,
    asides: [
      { what: 'claims wasted, of 1', figure: wasted, unit: 'number' },
      {
        what: 'claims wasted, of 1, where jobs come one by one',
        figure: wastedSingle,
        unit: 'number',
      },
    ],
    rounds: found,
  };
}
