import type { Bench, Benchmark, Outcome } from './benchmark.js';
import { ratios, type Summary, summarize } from './statistics.js';
import type { PicksReport, PicksTask } from './workers/picks.js';

const instances = 10_000;
const atLeast = 200_000;

/** What it costs to choose whom to call. */
export const picksBenchmark: Benchmark = {
  name: 'picks',
  what: `Picks of one of ${instances.toLocaleString('en')} instances by load, each done at once`,
  target: `≥ ${atLeast.toLocaleString('en')}/s, and by turns and at random`,
  alone: true,
  run: measure,
};

async function measure({ programs, options }: Bench): Promise<Outcome> {
  const task: PicksTask = { instances, seconds: options.seconds / 5 };
  const rounds: PicksReport[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    rounds.push(await programs.ours<PicksReport>('picks', task));
  }
  const all = (figure: (report: PicksReport) => number): Summary => summarize(rounds.map(figure));
  const ours = all(({ perSecond }) => perSecond['least-loaded']);
  const others = (['round-robin', 'weighted', 'random'] as const).map((policy) => ({
    what: `the same, \`${policy}\``,
    figure: all(({ perSecond }) => perSecond[policy]),
    unit: 'per second' as const,
  }));
  return {
    ours,
    unit: 'per second',
    control: {
      name: 'a random element of an array',
      figure: all(({ barePerSecond }) => barePerSecond),
    },
    ratio: summarize(
      ratios(
        rounds.map(({ perSecond }) => perSecond['least-loaded']),
        rounds.map(({ barePerSecond }) => barePerSecond),
      ),
    ),
    reached: [ours, ...others.map(({ figure }) => figure)].every(({ median }) => median >= atLeast),
    asides: [
      ...others,
      {
        what: 'the same, `sticky`, which looks at all of them',
        figure: all(({ perSecond }) => perSecond.sticky),
        unit: 'per second',
      },
      {
        what: 'the first pick after an instance was replaced',
        figure: all(({ afterChange }) => afterChange),
        unit: 'ms',
      },
    ],
    rounds,
  };
}
