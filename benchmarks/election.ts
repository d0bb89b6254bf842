import { alternate, type Bench, type Benchmark, compare, type Outcome } from './benchmark.js';
import { percentile, ratios, summarize } from './statistics.js';
import type { HandOffReport, HandOffTask } from './workers/hand-off.js';
import type { TakeOverReport, TakeOverTask } from './workers/take-over.js';

const handOffs = 60;
/** etcd looks at late watchers every 100 ms: a pause of up to that before each hand-off meets it at any phase. */
const jitter = 100;
const atMost = 2.5;
const kills = 5;
const soonest = 50_000;

/** From `resign` called to the next one's `campaign` resolved; and from the end of a dead leader's key to that. */
export const electionBenchmarks: readonly Benchmark[] = [
  ...[10, 50, 300].map((wait) => ({
    name: `election-hand-off-${wait}`,
    what: `Election: hand-off p50, after ${wait} ms of waiting`,
    target: `≤ ${atMost} × put`,
    run: (bench: Bench) => measureHandOff(bench, wait),
  })),
  {
    name: 'election-take-over',
    what: 'Election: next leader after the key of a killed one is removed, longest',
    target: '≤ 50 ms',
    run: measureTakeOver,
  },
];

async function measureHandOff(
  { endpoint, programs, options }: Bench,
  wait: number,
): Promise<Outcome> {
  const { go } = programs;
  const rounds = Math.ceil(handOffs * options.scale);
  const task: HandOffTask = { endpoint, recipe: 'election', wait, jitter, rounds };
  const found = await alternate(
    options.rounds,
    () => programs.ours<HandOffReport>('handOff', task),
    go && (() => go<{ handoffP50us: number }>('elect', { endpoint, wait, jitter, rounds })),
  );
  const ours = found.ours.map((report) => percentile(report.handOffs, 0.5));
  const put = found.ours.map(({ coldPuts }) => percentile(coldPuts, 0.5));
  const goes = found.control?.map(({ handoffP50us }) => handoffP50us);
  const fasterThanGo = compare(goes ?? [], goes && ours);
  const ratio = summarize(ratios(ours, put));
  return {
    ours: summarize(ours),
    unit: 'µs',
    control: { name: 'put after the same pause', figure: summarize(put) },
    ratio,
    reached: ratio.median <= atMost,
    asides: [
      ...(goes
        ? [{ what: 'Go: hand-off, p50', figure: summarize(goes), unit: 'µs' as const }]
        : []),
      ...(fasterThanGo
        ? [{ what: 'Go over ours', figure: fasterThanGo, unit: 'times' as const }]
        : []),
    ],
    rounds: found,
  };
}

async function measureTakeOver({ endpoint, programs, options }: Bench): Promise<Outcome> {
  const task: TakeOverTask = { endpoint, rounds: Math.ceil(kills * options.scale) };
  const { takeOvers } = await programs.ours<TakeOverReport>('takeOver', task);
  const worst = summarize([Math.max(...takeOvers)]);
  return {
    ours: worst,
    unit: 'µs',
    control: { name: 'removal of the key', figure: undefined },
    ratio: undefined,
    reached: worst.median <= soonest,
    asides: [],
    rounds: takeOvers,
  };
}
