import type { Bench, Benchmark, Outcome } from './benchmark.js';
import { ratios, summarize } from './statistics.js';
import { viewsAtMost, viewsOutcome } from './views.js';
import type { MirrorReport, MirrorTask } from './workers/mirror.js';

const keys = 10_000;
const mirrors = 50;
const getsAtLeast = 1_000_000;

/** What a copy in this process saves, and how far behind it is. */
export const mirrorBenchmarks: readonly Benchmark[] = [
  {
    name: 'mirror-gets',
    what: `Reads of one key of a mirror of ${keys.toLocaleString('en')}`,
    target: `≥ ${getsAtLeast.toLocaleString('en')}/s`,
    run: gets,
  },
  {
    name: 'mirror-views',
    what: `From a put until ${mirrors} mirrors of ${keys.toLocaleString('en')} keys show it, 100 puts a second, p99`,
    target: `≤ ${viewsAtMost} × the put itself, one watch at etcd`,
    run: views,
  },
];

async function gets(bench: Bench): Promise<Outcome> {
  const rounds = await measured(bench);
  const all = (pick: (report: MirrorReport) => number): ReturnType<typeof summarize> =>
    summarize(rounds.map(pick));
  const ours = all(({ getsPerSecond }) => getsPerSecond);
  return {
    ours,
    unit: 'per second',
    control: { name: 'a `Map`', figure: all(({ mapGetsPerSecond }) => mapGetsPerSecond) },
    ratio: summarize(
      ratios(
        rounds.map(({ getsPerSecond }) => getsPerSecond),
        rounds.map(({ mapGetsPerSecond }) => mapGetsPerSecond),
      ),
    ),
    reached: ours.median >= getsAtLeast,
    asides: [
      { what: 'until it is ready', figure: all(({ first }) => first), unit: 'ms' },
      {
        what: 'heap for each key, of 40 bytes with a value of 70',
        figure: all(({ bytesPerKey }) => bytesPerKey),
        unit: 'bytes',
      },
      {
        what: `the same for ${mirrors - 1} more mirrors, all together`,
        figure: all(({ bytesPerKeyOfOthers }) => bytesPerKeyOfOthers),
        unit: 'bytes',
      },
    ],
    rounds: rounds.map(withoutSamples),
  };
}

async function views(bench: Bench): Promise<Outcome> {
  const rounds = await measured(bench);
  return { ...viewsOutcome(rounds), rounds: rounds.map(withoutSamples) };
}

async function measured({ endpoint, programs, options }: Bench): Promise<MirrorReport[]> {
  const { seconds, scale } = options;
  const task: MirrorTask = { endpoint, keys: keys * scale, mirrors, seconds };
  const rounds: MirrorReport[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    rounds.push(await programs.ours<MirrorReport>('mirror', task, ['--expose-gc']));
  }
  return rounds;
}

function withoutSamples({ puts, views: seen, ...report }: MirrorReport): object {
  return { ...report, puts: puts.length, views: seen.length };
}
