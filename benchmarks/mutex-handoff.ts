import { type Aside, alternate, type Bench, type Benchmark, type Outcome } from './benchmark.js';
import { mean, percentile, ratios, summarize } from './statistics.js';
import type { HandOffReport, HandOffTask } from './workers/hand-off.js';

interface GoReport {
  readonly handoffP50us: number;
  readonly handoffP99us: number;
  readonly handoffMeanus: number;
  readonly putP50us: number;
  readonly ratio: number;
}

const handOffs = 60;
/** etcd looks at late watchers every 100 ms: a pause of up to that before each hand-off meets it at any phase. */
const jitter = 100;
const atMost = 2.5;

/** From `release` called to the next one's `acquire` resolved, after that one has waited so many milliseconds. */
export const mutexHandOff: readonly Benchmark[] = [10, 50, 300].map((wait) => ({
  name: `hand-off-${wait}`,
  what: `Hand-off p50, after ${wait} ms in line`,
  target: `≤ ${atMost} × put`,
  run: (bench) => measure(bench, wait),
}));

async function measure({ endpoint, programs, options }: Bench, wait: number): Promise<Outcome> {
  const { go } = programs;
  const rounds = Math.ceil(handOffs * options.scale);
  const task: HandOffTask = { endpoint, recipe: 'mutex', wait, jitter, rounds };
  const found = await alternate(
    options.rounds,
    () => programs.ours<HandOffReport>('handOff', task),
    go && (() => go<GoReport>('handoff', { endpoint, wait, jitter, rounds })),
  );
  const handOff = found.ours.map(({ handOffs: each }) => percentile(each, 0.5));
  const put = found.ours.map(({ coldPuts }) => percentile(coldPuts, 0.5));
  const ratio = summarize(ratios(handOff, put));
  return {
    ours: summarize(handOff),
    unit: 'µs',
    control: { name: 'put after the same pause', figure: summarize(put) },
    ratio,
    reached: ratio.median <= atMost,
    asides: [...ourAsides(found.ours, handOff), ...goAsides(found.control)],
    rounds: found,
  };
}

function ourAsides(found: readonly HandOffReport[], handOff: readonly number[]): Aside[] {
  const warm = found.map(({ warmPuts }) => percentile(warmPuts, 0.5));
  const worst = found.map(({ handOffs: each }) => percentile(each, 0.99));
  const average = found.map(({ handOffs: each }) => mean(each));
  return [
    { what: 'put after put', figure: summarize(warm), unit: 'µs' },
    {
      what: 'hand-off over put after put',
      figure: summarize(ratios(handOff, warm)),
      unit: 'times',
    },
    { what: 'hand-off, mean', figure: summarize(average), unit: 'µs' },
    { what: 'hand-off, p99', figure: summarize(worst), unit: 'µs' },
  ];
}

function goAsides(found: readonly GoReport[] = []): Aside[] {
  if (found.length === 0) return [];
  const of = (pick: (report: GoReport) => number): Aside['figure'] => summarize(found.map(pick));
  return [
    { what: 'Go: hand-off, mean', figure: of((go) => go.handoffMeanus), unit: 'µs' },
    { what: 'Go: hand-off, p50', figure: of((go) => go.handoffP50us), unit: 'µs' },
    { what: 'Go: hand-off, p99', figure: of((go) => go.handoffP99us), unit: 'µs' },
    { what: 'Go: put right after a hand-off', figure: of((go) => go.putP50us), unit: 'µs' },
  ];
}
