import type { Bench, Benchmark, Outcome } from './benchmark.js';
import { percentile, ratios, summarize } from './statistics.js';
import type { WatchLatencyReport, WatchLatencyTask } from './workers/watch-latency.js';
import type { WatchResyncReport, WatchResyncTask } from './workers/watch-resync.js';

const keys = 100_000;
const resyncAtMost = 3_000;
const latencyAtMost = 1.5;

/** How long a loop over a watch is behind, in the worst case and as a rule. */
export const watchBenchmarks: readonly Benchmark[] = [
  {
    name: 'watch-resync',
    what: `Resync of ${keys.toLocaleString('en')} watched keys after compaction`,
    target: `≤ ${resyncAtMost.toLocaleString('en')} ms, no change missed`,
    run: (bench) => resync(bench, bench.endpoint),
  },
  {
    name: 'watch-resync-in-process',
    what: `The same on the in-process etcd, through \`store()\``,
    target: `≤ ${resyncAtMost.toLocaleString('en')} ms, no change missed`,
    alone: true,
    run: (bench) => resync(bench, undefined),
  },
  {
    name: 'watch-latency',
    what: 'From a put to its event in the loop, p50',
    target: `≤ ${latencyAtMost} × bare @grpc/grpc-js`,
    run: latency,
  },
];

async function resync(
  { programs, options }: Bench,
  endpoint: string | undefined,
): Promise<Outcome> {
  const task: WatchResyncTask = { ...(endpoint && { endpoint }), keys: keys * options.scale };
  const rounds: WatchResyncReport[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    rounds.push(await programs.ours<WatchResyncReport>('watchResync', task));
  }
  const ours = rounds.map((report) => report.resync);
  const control = rounds.map((report) => report.read);
  const figure = summarize(ours);
  return {
    ours: figure,
    unit: 'ms',
    control: { name: 'one read of all of it', figure: summarize(control) },
    ratio: summarize(ratios(ours, control)),
    reached: figure.median <= resyncAtMost && rounds.every(({ wrong }) => wrong === 0),
    asides: [
      {
        what: 'changes told, all of them right',
        figure: summarize(rounds.map(({ told }) => told)),
        unit: 'number',
      },
      {
        what: 'the initial state, until the loop has it',
        figure: summarize(rounds.map(({ initial }) => initial)),
        unit: 'ms',
      },
    ],
    rounds,
  };
}

async function latency({ endpoint, programs, options }: Bench): Promise<Outcome> {
  const task: WatchLatencyTask = { endpoint, seconds: options.seconds };
  const rounds: WatchLatencyReport[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    rounds.push(await programs.ours<WatchLatencyReport>('watchLatency', task));
  }
  const at = (who: keyof WatchLatencyReport, p: number): number[] =>
    rounds.map((report) => percentile(report[who], p));
  const ratio = summarize(ratios(at('ours', 0.5), at('raw', 0.5)));
  return {
    ours: summarize(at('ours', 0.5)),
    unit: 'µs',
    control: { name: 'bare @grpc/grpc-js', figure: summarize(at('raw', 0.5)) },
    ratio,
    reached: ratio.median <= latencyAtMost,
    asides: [
      { what: 'p99', figure: summarize(at('ours', 0.99)), unit: 'µs' },
      { what: 'bare @grpc/grpc-js: p99', figure: summarize(at('raw', 0.99)), unit: 'µs' },
    ],
    rounds: rounds.map(({ ours, raw }) => ({ ours: ours.length, raw: raw.length })),
  };
}
