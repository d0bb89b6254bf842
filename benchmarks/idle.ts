import type { Bench, Benchmark, Outcome } from './benchmark.js';
import { summarize } from './statistics.js';
import type { IdleReport, IdleTask } from './workers/idle.js';

const holds = 10_000;
/** Microseconds in a second: a hundredth of a core. */
const atMost = 10_000;
/** A window of this benchmark is so many of the others': at most every renewal of a lease is seen several times. */
const windows = 12;

/** What a client costs that holds much and does nothing. */
export const idleBenchmark: Benchmark = {
  name: 'idle',
  what: `CPU in a second of a client that holds ${holds.toLocaleString('en')} locks and does nothing`,
  target: `≤ ${atMost.toLocaleString('en')} µs, one stream for leases and one for watches`,
  run: measure,
};

async function measure({ endpoint, programs, options }: Bench): Promise<Outcome> {
  const window = windows * options.seconds * 1_000;
  const task: IdleTask = { endpoint, holds: Math.ceil(holds * options.scale), window };
  const found: IdleReport[] = [];
  const idle: IdleReport[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    found.push(await programs.ours('idle', task, ['--expose-gc']));
    idle.push(await programs.ours('idle', { ...task, holds: 1 }, ['--expose-gc']));
  }
  const all = (pick: (report: IdleReport) => number): ReturnType<typeof summarize> =>
    summarize(found.map(pick));
  const cpu = all(inASecond);
  const oneStream = found.every(
    ({ leaseStreams, watchStreams, lost }) => leaseStreams === 1 && watchStreams === 1 && !lost,
  );
  return {
    ours: cpu,
    unit: 'µs',
    control: { name: 'with one lock', figure: summarize(idle.map(inASecond)) },
    ratio: undefined,
    reached: cpu.median <= atMost && oneStream,
    asides: [
      { what: 'memory for all', figure: all((report) => report.memory), unit: 'MB' },
      { what: 'leases', figure: all((report) => report.leases), unit: 'number' },
      { what: 'watches at etcd', figure: all((report) => report.watches), unit: 'number' },
      { what: 'messages', figure: all((report) => report.messages), unit: 'per second' },
      { what: 'taking all locks', figure: all((report) => report.taken), unit: 'ms' },
    ],
    rounds: found,
  };
}

/** Microseconds. */
function inASecond({ cpu }: IdleReport): number {
  return cpu * 1_000_000;
}
