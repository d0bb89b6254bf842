import type { Bench, Benchmark, Outcome } from './benchmark.js';
import { percentile, ratios, summarize } from './statistics.js';
import type { EmbedStartReport, EmbedStartTask } from './workers/embed-start.js';

const atLeast = 10;
/** Starts in each round, of each kind. */
const starts = 3;

type Kind = EmbedStartTask['what'];

/** From before `start()` until the first put is answered, in a process that has done nothing before. */
export const embedStart: Benchmark = {
  name: 'embed-start',
  what: '`start()` to the first put answered',
  target: `≥ ${atLeast} × as fast as etcd`,
  alone: true,
  run: measure,
};

async function measure({ binary, programs, options }: Bench): Promise<Outcome> {
  const found: Record<Kind, EmbedStartReport[][]> = { etcd: [], 'in-process': [], store: [] };
  const kinds = Object.keys(found) as Kind[];
  for (let round = 0; round < options.rounds; round += 1) {
    for (const kind of kinds) found[kind].push([]);
    for (let i = 0; i < starts; i += 1) {
      for (const what of (round + i) % 2 === 0 ? kinds : kinds.toReversed()) {
        const task: EmbedStartTask = { what, binary };
        found[what].at(-1)?.push(await programs.ours<EmbedStartReport>('embedStart', task));
      }
    }
  }
  const of = (kind: Kind, figure: keyof EmbedStartReport): number[] =>
    found[kind].map((reports) =>
      percentile(
        reports.map((report) => report[figure]),
        0.5,
      ),
    );
  const [ours, etcd, store] = [
    of('in-process', 'answered'),
    of('etcd', 'answered'),
    of('store', 'answered'),
  ];
  const ratio = summarize(ratios(etcd, ours));
  return {
    ours: summarize(ours),
    unit: 'ms',
    control: { name: 'etcd', figure: summarize(etcd) },
    ratio,
    reached: ratio.median >= atLeast,
    asides: [
      { what: '`start()` alone', figure: summarize(of('in-process', 'started')), unit: 'ms' },
      { what: 'first put through `store()`', figure: summarize(store), unit: 'ms' },
      {
        what: 'so many times as fast as etcd, through `store()`',
        figure: summarize(ratios(etcd, store)),
        unit: 'times',
      },
      { what: 'etcd: ready', figure: summarize(of('etcd', 'started')), unit: 'ms' },
    ],
    rounds: found,
  };
}
