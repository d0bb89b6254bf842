import type { Bench, Benchmark, Outcome } from './benchmark.js';
import { percentile, ratios, summarize } from './statistics.js';
import type { EmbedWatchesReport, EmbedWatchesTask } from './workers/embed-watches.js';

const many = 10_000;
const few = 10;
const atMost = 2;
/** Over a connection a put takes much longer. */
const puts = { store: 50_000, connection: 4_000 } as const;

type Through = keyof typeof puts;

/** Puts to keys of which each is for one of many watches. */
function watches(of: EmbedWatchesTask['of'], through: Through): Benchmark {
  const where = through === 'store' ? 'through `store()`' : 'on one stream';
  return {
    name: `embed-watch-${of}${through === 'connection' ? '-socket' : ''}`,
    what: `Put and its event with ${many.toLocaleString('en')} watches of ${of}, ${where}`,
    target: `≤ ${atMost} × with ${few}, one told of each`,
    alone: true,
    run: (bench) => measure(bench, of, through),
  };
}

/** Of single keys and of prefixes, with a connection and without. */
export const embedWatches: readonly Benchmark[] = [
  watches('keys', 'store'),
  watches('prefixes', 'store'),
  watches('keys', 'connection'),
  watches('prefixes', 'connection'),
];

async function measure(
  { programs, options }: Bench,
  of: EmbedWatchesTask['of'],
  through: Through,
): Promise<Outcome> {
  const task: EmbedWatchesTask = {
    of,
    keys: many,
    cases: [
      { watched: many, put: few },
      { watched: few, put: few },
      { watched: many, put: many },
    ],
    puts: puts[through] * options.scale,
    callers: through === 'store' ? 1 : 64,
  };
  const run = (more: Partial<EmbedWatchesTask>): Promise<EmbedWatchesReport[]> =>
    programs.ours('embedWatches', { ...task, ...more });
  const rounds: EmbedWatchesReport[][] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    rounds.push(
      await (through === 'store'
        ? run({})
        : programs.serving(task.cases.length, (endpoints) => run({ endpoints }))),
    );
  }
  const cost = (index: number): number[] =>
    rounds.map((reports) => percentile(reports[index]?.microsecondsPerPut ?? [], 0.5));
  const [ours, control, spread] = [cost(0), cost(1), cost(2)];
  const ratio = summarize(ratios(ours, control));
  const all = rounds.flat();
  const exact = all.every((found) => found.wakeUps === found.puts && found.wrong === 0);
  return {
    ours: summarize(ours),
    unit: 'µs',
    control: { name: `with ${few}`, figure: summarize(control) },
    ratio,
    reached: ratio.median <= atMost && exact,
    asides: [
      {
        what: 'watches told of each put',
        figure: summarize(all.map((found) => found.wakeUps / found.puts)),
        unit: 'number',
      },
      {
        what: `puts to all ${many.toLocaleString('en')}, not to the same ${few}`,
        figure: summarize(spread),
        unit: 'µs',
      },
      {
        what: `puts to all, over puts to ${few} with ${few} watches`,
        figure: summarize(ratios(spread, control)),
        unit: 'times',
      },
      {
        what: 'setting the watches',
        figure: summarize(rounds.map(([found]) => found?.setUp ?? Number.NaN)),
        unit: 'ms',
      },
    ],
    rounds,
  };
}
