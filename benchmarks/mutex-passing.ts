import { alternate, type Bench, type Benchmark, compare, type Outcome } from './benchmark.js';
import { ratios, summarize } from './statistics.js';
import type { PassingReport, PassingTask } from './workers/passing.js';

interface GoReport {
  readonly perSecond: number;
}

/** Sessions that all want one lock, and give it back at once. */
function passing(
  sessions: number,
  connections: PassingTask['connections'],
  atLeast?: number,
): Benchmark {
  const own = connections === 'own';
  return {
    name: `passing-${sessions}${own ? '-own' : ''}`,
    what: `Hand-offs among ${sessions} sessions${own ? ' on connections of their own' : ''}`,
    target: atLeast === undefined ? undefined : `≥ ${atLeast} × Go`,
    run: (bench) => measure(bench, { sessions, connections }, atLeast),
  };
}

/** From two sessions to many; one connection for all of them unless said otherwise. */
export const mutexPassing: readonly Benchmark[] = [
  passing(2, 'shared', 10),
  passing(16, 'shared', 1.5),
  passing(64, 'shared', 1.5),
  passing(2, 'own'),
  passing(16, 'own'),
  passing(64, 'own'),
];

async function measure(
  { endpoint, programs, options }: Bench,
  { sessions, connections }: Pick<PassingTask, 'sessions' | 'connections'>,
  atLeast: number | undefined,
): Promise<Outcome> {
  const { rounds, seconds } = options;
  const { go } = programs;
  const task: PassingTask = { endpoint, sessions, connections, seconds };
  const found = await alternate(
    rounds,
    () => programs.ours<PassingReport>('passing', task),
    go && (() => go<GoReport>('pingpong', { endpoint, sessions, seconds, clients: connections })),
  );
  const ours = found.ours.map(({ handOffsPerSecond }) => handOffsPerSecond);
  const control = found.control?.map(({ perSecond }) => perSecond);
  const ratio = compare(ours, control);
  const acquired = found.ours.map(({ acquiredPerSecond }) => acquiredPerSecond);
  const late = ratios(
    found.ours.map(({ secondHalf }) => secondHalf),
    found.ours.map(({ firstHalf }) => firstHalf),
  );
  return {
    ours: summarize(ours),
    unit: 'per second',
    control: { name: 'Go', figure: control && summarize(control) },
    ratio,
    reached: ratio && atLeast !== undefined ? ratio.median >= atLeast : undefined,
    asides: [
      { what: 'acquired, to whomever', figure: summarize(acquired), unit: 'per second' },
      { what: 'second half of the window over the first', figure: summarize(late), unit: 'times' },
    ],
    rounds: found,
  };
}
