import { alternate, type Bench, type Benchmark, type Outcome, type Rounds } from './benchmark.js';
import { ratios, type Summary, summarize } from './statistics.js';
import type { QueueProcessesReport, QueueProcessesTask } from './workers/queue-processes.js';

const teams = [4, 16] as const;
const concurrency = 8;
const warmUp = 500;
const jobs = 5_000;
const singles = 200;
/** Milliseconds that handlers wait for something else, where they are not measured for themselves. */
const handling = 20;

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
  const by = (processes: number, ms: number): Promise<QueueProcessesReport> => {
    const task: QueueProcessesTask = { endpoint, processes, concurrency, handling: ms, ...scaled };
    return programs.ours<QueueProcessesReport>('queueProcesses', task);
  };
  const compared = async (ms: number): Promise<Compared> => {
    const rounds = await alternate(
      options.rounds,
      () => by(teams[1], ms),
      () => by(teams[0], ms),
    );
    const [ours, control] = [paces(rounds.ours), paces(rounds.control)];
    return { rounds, ours, control, ratio: summarize(ratios(ours, control)) };
  };
  const { rounds: found, ours, control, ratio } = await compared(0);
  const waiting = await compared(handling);
  const [wasted, wastedSingle] = (['wasted', 'wastedSingle'] as const).map((kind) =>
    summarize(found.ours.map((report) => report[kind] ?? Number.NaN)),
  );
  if (!wasted || !wastedSingle) throw new Error('nothing was measured');
  const told = wasted.median + wastedSingle.median;
  const thrifty = Math.max(wasted.median, wastedSingle.median) <= 0.1;
  return {
    ours: summarize(ours),
    unit: 'per second',
    control: { name: `${teams[0]} processes`, figure: summarize(control) },
    ratio,
    reached: Number.isNaN(told) ? undefined : thrifty && ratio.median >= 1,
    asides: [
      { what: 'claims wasted, of 1', figure: wasted, unit: 'number' },
      {
        what: 'claims wasted, of 1, where jobs come one by one',
        figure: wastedSingle,
        unit: 'number',
      },
      {
        what: `where a handler waits for ${handling} ms`,
        figure: summarize(waiting.ours),
        unit: 'per second',
      },
      {
        what: `the same over ${teams[0]} processes`,
        figure: waiting.ratio,
        unit: 'times',
      },
    ],
    rounds: { ...found, waiting: waiting.rounds },
  };
}

/** How much was done, round by round, by more processes and by fewer. */
interface Compared {
  readonly rounds: Rounds<QueueProcessesReport, QueueProcessesReport>;
  readonly ours: readonly number[];
  readonly control: readonly number[];
  readonly ratio: Summary;
}

function paces(reports: readonly QueueProcessesReport[] = []): number[] {
  return reports.map(({ perSecond }) => perSecond);
}
