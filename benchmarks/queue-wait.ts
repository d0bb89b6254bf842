import { alternate, type Bench, type Benchmark, type Outcome } from './benchmark.js';
import { percentile, ratios, summarize } from './statistics.js';
import type { QueueWaitReport, QueueWaitTask } from './workers/queue-wait.js';

const waits = 40;

/** A job on its way to a consumer that has nothing to do. */
export const queueWaitBenchmark: Benchmark = {
  name: 'queue-wait',
  what: 'From `put` to the handler of an idle consumer, p50',
  target: '≤ 3 × put',
  run: measure,
};

async function measure({ endpoint, programs, options }: Bench): Promise<Outcome> {
  const { go } = programs;
  const rounds = Math.ceil(waits * options.scale);
  const task: QueueWaitTask = { where: { endpoint }, rounds };
  const found = await alternate(
    options.rounds,
    () => programs.ours<QueueWaitReport>('queueWait', task),
    go && (() => go<{ p50us: number }>('wait', { endpoint, rounds, wait: 0, jitter: 500 })),
  );
  const p50 = (kind: keyof QueueWaitReport): number[] =>
    found.ours.map((report) => percentile(report[kind], 0.5));
  const ratio = summarize(ratios(p50('waits'), p50('writes')));
  const p99 = found.ours.map((report) => percentile(report.waits, 0.99));
  const goes = found.control?.map(({ p50us }) => p50us);
  return {
    ours: summarize(p50('waits')),
    unit: 'µs',
    control: { name: 'put after the same pause', figure: summarize(p50('writes')) },
    ratio,
    reached: ratio.median <= 3,
    asides: [
      { what: 'to the answer of `put`', figure: summarize(p50('puts')), unit: 'µs' },
      { what: 'p99', figure: summarize(p99), unit: 'µs' },
      ...(goes ? [{ what: 'Go: p50', figure: summarize(goes), unit: 'µs' as const }] : []),
    ],
    rounds: found,
  };
}
