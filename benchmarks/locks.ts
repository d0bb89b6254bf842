import { alternate, type Bench, type Benchmark, compare, type Outcome } from './benchmark.js';
import { summarize } from './statistics.js';
import type { LocksReport, LocksTask } from './workers/locks.js';

interface GoReport {
  readonly perSecond: number;
}

const atLeast = 3;

/** Many callers of one process take and release locks, each its own: what travelling together is worth. */
export const lockBenchmarks: readonly Benchmark[] = [64, 256].map((callers) => ({
  name: `locks-${callers}`,
  what: `Acquire + release by ${callers} callers, each on its own lock`,
  target: `≥ ${atLeast} × Go`,
  run: (bench) => measure(bench, callers),
}));

async function measure({ endpoint, programs, options }: Bench, callers: number): Promise<Outcome> {
  const { rounds, seconds } = options;
  const { go } = programs;
  const ours = (batching: boolean): Promise<LocksReport> => {
    const task: LocksTask = { endpoint, callers, batching, seconds };
    return programs.ours<LocksReport>('locks', task);
  };
  const found = await alternate(
    rounds,
    async () => ({ together: await ours(true), apart: await ours(false) }),
    go && (() => go<GoReport>('locks', { endpoint, callers, seconds })),
  );
  const pace = found.ours.map(({ together }) => together.perSecond);
  const apart = found.ours.map((round) => round.apart.perSecond);
  const control = found.control?.map(({ perSecond }) => perSecond);
  const ratio = compare(pace, control);
  return {
    ours: summarize(pace),
    unit: 'per second',
    control: { name: 'Go', figure: control && summarize(control) },
    ratio,
    reached: ratio && ratio.median >= atLeast,
    asides: [
      { what: 'each transaction by itself', figure: summarize(apart), unit: 'per second' },
      {
        what: 'CPU of our process for a pair',
        figure: summarize(found.ours.map(({ together }) => together.cpu)),
        unit: 'µs',
      },
    ],
    rounds: found,
  };
}
