import type { Aside, Bench, Benchmark, Outcome } from './benchmark.js';
import { ratios, type Summary, summarize } from './statistics.js';
import type {
  EmbedMillionReport,
  EmbedMillionTask,
  MemoryReport,
  ReadReport,
  Reads,
} from './workers/embed-million.js';

const sizes = [100_000, 300_000, 1_000_000];
const versions = 10;
const few = 10_000;
const growth = 1.1;
const slowdown = 2;
const megabyte = 1_000_000;

let filled: Promise<EmbedMillionReport> | undefined;

/** Filling a store takes long: what it costs, and reads from it, are measured on the same one. */
function fill({ programs, options }: Bench): Promise<EmbedMillionReport> {
  const { rounds, scale } = options;
  const task: EmbedMillionTask = {
    sizes: sizes.map((size) => size * scale),
    versions,
    few: few * scale,
    rounds,
  };
  filled ??= programs.ours('embedMillion', task, ['--expose-gc', '--max-old-space-size=16000']);
  return filled;
}

/** Memory, and reads of 100 keys, with a million keys of ten versions each. */
export const embedMillion: readonly Benchmark[] = [
  {
    name: 'embed-memory',
    what: `Heap for each of ${text(1_000_000)} keys with ${versions} versions`,
    target: `≤ ${growth} × of ${text(100_000)} keys`,
    alone: true,
    run: async (bench) => memoryOf(await fill(bench)),
  },
  {
    name: 'embed-range',
    what: `Reading 100 keys from one to another through \`store()\`, of ${text(1_000_000)}`,
    target: `≤ ${slowdown} × of ${text(few)}`,
    alone: true,
    run: async (bench) => readOf((await fill(bench)).range),
  },
  {
    name: 'embed-prefix',
    what: `Reading the first 100 keys of a prefix through \`store()\`, of ${text(1_000_000)}`,
    target: `≤ ${slowdown} × of ${text(few)}`,
    alone: true,
    run: async (bench) => readOf((await fill(bench)).prefix),
  },
];

function memoryOf(report: EmbedMillionReport): Outcome {
  const { memory, compaction, bytes } = report;
  const [smallest, largest] = [memory[0], memory.at(-1)];
  if (!smallest || !largest) throw new Error('nothing was measured');
  const ratio = once(largest.perKeyInAll / smallest.perKeyInAll);
  return {
    ours: once(largest.perKeyInAll),
    unit: 'bytes',
    control: { name: `${text(smallest.keys)} keys`, figure: once(smallest.perKeyInAll) },
    ratio,
    reached: ratio.median <= growth,
    asides: [
      { what: 'bytes of a key', figure: once(bytes.key), unit: 'bytes' },
      { what: 'bytes of a value', figure: once(bytes.value), unit: 'bytes' },
      ...memory.flatMap(asidesOf),
      { what: 'compaction of all but the last', figure: once(compaction.ms), unit: 'ms' },
      { what: 'heap after it', figure: once(compaction.heap / megabyte), unit: 'MB' },
      { what: 'resident memory after it', figure: once(compaction.rss / megabyte), unit: 'MB' },
    ],
    rounds: report,
  };
}

function asidesOf({ keys, perKey, perVersion, heap, rss, perPut }: MemoryReport): Aside[] {
  const size = `${text(keys)} keys: `;
  return [
    { what: `${size}a key with its first version`, figure: once(perKey), unit: 'bytes' },
    { what: `${size}each version after that`, figure: once(perVersion), unit: 'bytes' },
    { what: `${size}heap`, figure: once(heap / megabyte), unit: 'MB' },
    { what: `${size}resident memory`, figure: once(rss / megabyte), unit: 'MB' },
    { what: `${size}a put through \`store()\``, figure: once(perPut), unit: 'µs' },
  ];
}

function readOf(report: Reads): Outcome {
  const { direct, socket } = report;
  const over = ({ many, few: control }: ReadReport): Summary => summarize(ratios(many, control));
  const ratio = over(direct);
  return {
    ours: summarize(direct.many),
    unit: 'µs',
    control: { name: `of ${text(few)}`, figure: summarize(direct.few) },
    ratio,
    reached: ratio.median <= slowdown,
    asides: [
      { what: 'over a connection', figure: summarize(socket.many), unit: 'µs' },
      { what: `over a connection, of ${text(few)}`, figure: summarize(socket.few), unit: 'µs' },
      { what: 'over a connection, ratio', figure: over(socket), unit: 'times' },
    ],
    rounds: report,
  };
}

function once(figure: number): Summary {
  return summarize([figure]);
}

function text(count: number): string {
  return count.toLocaleString('en');
}
