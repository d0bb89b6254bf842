import type { Bench, Benchmark, Outcome } from './benchmark.js';
import { viewsAtMost, viewsOutcome } from './views.js';
import type { DiscoveryReport, DiscoveryTask } from './workers/discovery.js';

const instances = 10_000;
const directories = 50;

/** How far behind a service its directories are. */
export const discoveryBenchmarks: readonly Benchmark[] = [
  {
    name: 'discovery-views',
    what: `From a put until ${directories} directories of ${instances.toLocaleString('en')} instances list it, 100 changes a second, p99`,
    target: `≤ ${viewsAtMost} × the put itself, one watch at etcd`,
    run: views,
  },
];

async function views({ endpoint, programs, options }: Bench): Promise<Outcome> {
  const { seconds, scale } = options;
  const task: DiscoveryTask = { endpoint, instances: instances * scale, directories, seconds };
  const rounds: DiscoveryReport[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    rounds.push(await programs.ours<DiscoveryReport>('discovery', task));
  }
  return {
    ...viewsOutcome(rounds),
    rounds: rounds.map(({ watches: set, puts, views: seen }) => ({
      watches: set,
      puts: puts.length,
      views: seen.length,
    })),
  };
}
