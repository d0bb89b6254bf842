import type { Aside, Bench, Benchmark, Outcome } from './benchmark.js';
import { percentile, ratios, summarize } from './statistics.js';
import type { QueueDepthSamples, QueueDepthTask } from './workers/queue-depth.js';

const depths = [10, 100_000] as const;
const steps = 500;

/** What one job costs while few or many wait. */
export const queueDepthBenchmark: Benchmark = {
  name: 'queue-depth',
  what: `\`put\`, \`next\` or \`ack\`, whichever grows most, with ${depths[1].toLocaleString('en')} jobs waiting, p50`,
  target: `≤ 1.5 × with ${depths[0]}`,
  run: measure,
};

async function measure({ endpoint, programs, options }: Bench): Promise<Outcome> {
  const scaled = [depths[0], Math.ceil(depths[1] * options.scale)];
  const task: QueueDepthTask = {
    endpoint,
    depths: scaled,
    rounds: Math.ceil(steps * options.scale),
  };
  const found: QueueDepthSamples[][] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    found.push(await programs.ours<QueueDepthSamples[]>('queueDepth', task));
  }
  const all = (['put', 'next', 'ack'] as const).map((kind) => {
    const p50 = (queue: number): number[] =>
      found.map((queues) => percentile(queues[queue]?.[kind] ?? [], 0.5));
    const [few, deep] = [p50(0), p50(1)];
    return {
      kind,
      few: summarize(few),
      deep: summarize(deep),
      growth: summarize(ratios(deep, few)),
    };
  });
  const [worst] = all.toSorted((a, b) => b.growth.median - a.growth.median);
  if (!worst) throw new Error('nothing was measured');
  return {
    ours: worst.deep,
    unit: 'µs',
    control: { name: `\`${worst.kind}\` with ${depths[0]}`, figure: worst.few },
    ratio: worst.growth,
    reached: worst.growth.median <= 1.5,
    asides: all.flatMap(({ kind, few, deep, growth }): Aside[] => [
      { what: `\`${kind}\`, ${depths[0]} waiting`, figure: few, unit: 'µs' },
      { what: `\`${kind}\`, many waiting`, figure: deep, unit: 'µs' },
      { what: `\`${kind}\`, many over ${depths[0]}`, figure: growth, unit: 'times' },
    ]),
    rounds: found,
  };
}
