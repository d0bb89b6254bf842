import { againstGo } from './against-go.js';
import { alternate, type Bench, type Benchmark, compare, type Outcome } from './benchmark.js';
import { summarize } from './statistics.js';
import type { PassingReport, PassingTask } from './workers/passing.js';

const contenders = 64;
const permits = 8;

/** What is shared by many: permits, a lock for reading, a number. */
export const recipeBenchmarks: readonly Benchmark[] = [
  ...[0, 1].map((section) => ({
    name: `semaphore-${section}`,
    what: `Hand-offs of ${permits} permits among ${contenders} sessions, each kept for ${section} ms`,
    target: '≥ 4 × a mutex',
    run: (bench: Bench) => measurePermits(bench, section, 4),
  })),
  againstGo({
    name: 'read-lock',
    what: `Acquire + release of one read lock by ${contenders} callers`,
    act: 'read-lock',
    callers: contenders,
    atLeast: 3,
  }),
  againstGo({
    name: 'counter-one-process',
    what: `Additions of 1 to a counter by ${contenders} callers of one process`,
    act: 'counter',
    callers: contenders,
    atLeast: 10,
  }),
  againstGo({
    name: 'counter-processes',
    what: 'The same by 8 callers in each of 8 processes',
    act: 'counter',
    processes: 8,
    callers: 8,
    atLeast: 10,
  }),
];

async function measurePermits(
  { endpoint, programs, options }: Bench,
  section: number,
  atLeast: number,
): Promise<Outcome> {
  const { rounds, seconds } = options;
  const sessions = contenders;
  const shared = { endpoint, sessions, connections: 'shared', seconds, section } as const;
  const passing = async (task: PassingTask): Promise<number> =>
    (await programs.ours<PassingReport>('passing', task)).handOffsPerSecond;
  const found = await alternate(
    rounds,
    () => passing({ ...shared, permits }),
    () => passing(shared),
  );
  const ratio = compare(found.ours, found.control);
  return {
    ours: summarize(found.ours),
    unit: 'per second',
    control: { name: 'our mutex', figure: found.control && summarize(found.control) },
    ratio,
    reached: ratio && ratio.median >= atLeast,
    asides: [],
    rounds: found,
  };
}
