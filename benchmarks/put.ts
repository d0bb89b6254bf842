import type { Aside, Bench, Benchmark, Outcome } from './benchmark.js';
import { ratios, summarize } from './statistics.js';
import type { PutFigures, PutReport, PutTask } from './workers/put.js';

/** What of the figures is compared, and what must come of it. */
interface Spec {
  readonly callers: number;
  readonly way: keyof typeof ways;
  readonly figure: keyof PutFigures;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const units = { pace: 'per second', cpu: 'µs' } as const;

/** How a put is made. */
const ways = {
  store: 'each by itself, idempotent',
  client: '`client.put`: exactly once, in groups',
  typed: "etcd3's typed client on our connection",
} as const;

/** Puts of 100 bytes, by one caller and by many, as each of them would call: how many, and what they cost the client. */
export const putBenchmarks: readonly Benchmark[] = [
  benchmark('put-1', 'Puts one after the other', {
    callers: 1,
    way: 'store',
    figure: 'pace',
    atLeast: 1.1,
  }),
  benchmark('put-64', 'Puts, 64 callers', {
    callers: 64,
    way: 'client',
    figure: 'pace',
    atLeast: 1.8,
  }),
  benchmark('put-cpu-1', 'CPU of the client for a put, one after the other', {
    callers: 1,
    way: 'store',
    figure: 'cpu',
    atMost: 0.5,
  }),
  benchmark('put-cpu-64', 'CPU of the client for a put, 64 callers', {
    callers: 64,
    way: 'client',
    figure: 'cpu',
    atMost: 0.5,
  }),
];

function benchmark(name: string, what: string, spec: Spec): Benchmark {
  const { atLeast, atMost } = spec;
  const limit = atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`;
  return {
    name,
    what: `${what}; ${ways[spec.way]}`,
    target: `${limit} × bare @grpc/grpc-js`,
    run: (bench) => measure(bench, spec),
  };
}

async function measure({ endpoint, programs, options }: Bench, spec: Spec): Promise<Outcome> {
  const { callers, way, figure, atLeast = 0, atMost = Infinity } = spec;
  const task: PutTask = { endpoint, callers, seconds: options.seconds };
  const rounds: PutReport[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    rounds.push(await programs.ours<PutReport>('put', task));
  }
  const all = (who: keyof PutReport): number[] => rounds.map((report) => report[who][figure]);
  const ratio = summarize(ratios(all(way), all('raw')));
  const unit = units[figure];
  const others = (['store', 'client', 'typed'] as const).filter((other) => other !== way);
  return {
    ours: summarize(all(way)),
    unit,
    control: { name: 'bare @grpc/grpc-js', figure: summarize(all('raw')) },
    ratio,
    reached: ratio.median >= atLeast && ratio.median <= atMost,
    asides: others.flatMap((who): Aside[] => [
      { what: ways[who], figure: summarize(all(who)), unit },
      {
        what: `${ways[who]}: over bare @grpc/grpc-js`,
        figure: summarize(ratios(all(who), all('raw'))),
        unit: 'times',
      },
    ]),
    rounds,
  };
}
