import { type Bench, type Benchmark, compare, type Outcome } from './benchmark.js';
import { summarize } from './statistics.js';
import type { NamespaceReport, NamespaceTask } from './workers/namespace.js';

const atMost = 1.05;

/** What three namespaces, one in another, add to what a call costs the client. */
export const namespaceBenchmarks: readonly Benchmark[] = [
  benchmark('put', 'a put'),
  benchmark('get', 'a get'),
  benchmark('txn', 'a transaction of one comparison and three steps'),
];

function benchmark(act: NamespaceTask['act'], what: string): Benchmark {
  return {
    name: `namespace-${act}`,
    what: `CPU of the client for ${what}, three namespaces deep`,
    target: `≤ ${atMost} × without`,
    run: (bench) => measure(bench, act),
  };
}

async function measure(
  { endpoint, programs, options }: Bench,
  act: NamespaceTask['act'],
): Promise<Outcome> {
  const task: NamespaceTask = { endpoint, act, seconds: options.seconds };
  const rounds: NamespaceReport[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    rounds.push(await programs.ours<NamespaceReport>('namespace', task));
  }
  const [nested, plain] = [rounds.map((each) => each.nested), rounds.map((each) => each.plain)];
  const ratio = compare(nested, plain);
  return {
    ours: summarize(nested),
    unit: 'µs',
    control: { name: 'without', figure: summarize(plain) },
    ratio,
    reached: ratio && ratio.median <= atMost,
    asides: [],
    rounds,
  };
}
