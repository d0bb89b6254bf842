import { alternate, type Bench, type Benchmark, type Outcome } from './benchmark.js';
import { percentile, ratios, summarize } from './statistics.js';
import type { UncontendedReport, UncontendedTask } from './workers/uncontended.js';

interface GoReport {
  readonly p50us: number;
}

const pairs = 2_000;
const atMost = 1.3;
const used = 20_000;

/** One caller takes and releases a lock nobody else wants: a new one, and one that was in use for long. */
export const mutexUncontended: readonly Benchmark[] = [
  {
    name: 'uncontended',
    what: 'Acquire + release alone, p50',
    target: `≤ ${atMost} × two raw transactions`,
    run: (bench) => measure(bench, 0, atMost),
  },
  {
    name: 'uncontended-used',
    what: `The same, after ${used.toLocaleString('en')} times on one lock`,
    target: undefined,
    run: (bench) => measure(bench, used),
  },
];

async function measure(
  { endpoint, programs, options }: Bench,
  usedBefore: number,
  limit?: number,
): Promise<Outcome> {
  // Go's program knows no use before.
  const go = usedBefore === 0 ? programs.go : undefined;
  const rounds = Math.ceil(pairs * options.scale);
  const before = usedBefore * options.scale;
  const task: UncontendedTask = { endpoint, pairs: rounds, before };
  const found = await alternate(
    options.rounds,
    () => programs.ours<UncontendedReport>('uncontended', task),
    go && (() => go<GoReport>('uncontended', { endpoint, rounds })),
  );
  const middle = (pick: (report: UncontendedReport) => readonly number[], p = 0.5): number[] =>
    found.ours.map((report) => percentile(pick(report), p));
  const ours = middle((report) => report.ours);
  const raw = middle((report) => report.raw);
  const ratio = summarize(ratios(ours, raw));
  const p99 = summarize(middle((report) => report.ours, 0.99));
  const rawP99 = summarize(middle((report) => report.raw, 0.99));
  const goP50 = found.control && summarize(found.control.map(({ p50us }) => p50us));
  return {
    ours: summarize(ours),
    unit: 'µs',
    control: { name: 'bare @grpc/grpc-js', figure: summarize(raw) },
    ratio,
    reached: limit === undefined ? undefined : ratio.median <= limit,
    asides: [
      { what: 'p99', figure: p99, unit: 'µs' },
      { what: 'bare @grpc/grpc-js: p99', figure: rawP99, unit: 'µs' },
      ...(goP50 ? [{ what: 'Go: p50', figure: goP50, unit: 'µs' } as const] : []),
    ],
    rounds: { ours: found.ours.map((_, i) => ({ p50: ours[i], raw: raw[i] })), go: found.control },
  };
}
