import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Table from 'cli-table3';
import type { Benchmark, Outcome, Suite, Unit } from './benchmark.js';
import type { Environment } from './environment.js';
import type { BenchOptions } from './options.js';
import type { Summary } from './statistics.js';

/** A benchmark that was run. */
export interface Entry {
  readonly benchmark: Benchmark;
  readonly outcome: Outcome;
  readonly environment: Environment;
}

const results = new URL('results/', import.meta.url);
const page = new URL('../docs/performance.md', import.meta.url);
const biome = new URL('../node_modules/.bin/biome', import.meta.url);
const head = ['', 'ours', 'against', 'ratio', 'target', 'reached'];

/** The table for a terminal. */
export function tableOf(entries: readonly Entry[]): string {
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const entry of entries) table.push(rowOf(entry));
  return table.toString();
}

/** One line of it, to show while the others are still to come. */
export function lineOf(entry: Entry): string {
  return [entry.benchmark.name, ...rowOf(entry).slice(1)].filter(Boolean).join(' | ');
}

/** The same as Markdown, with what was measured beside it. */
export function markdownOf(entries: readonly Entry[], options: BenchOptions): string {
  const asides = entries.flatMap(({ benchmark, outcome }) =>
    outcome.asides.map(({ what, figure, unit }) => [benchmark.what, what, text(figure, unit)]),
  );
  return [
    captionOf(entries, options),
    markdownTable(head, entries.map(rowOf)),
    'Beside these:',
    markdownTable(['', '', ''], asides),
  ].join('\n\n');
}

/** Keeps what one benchmark found. */
export async function save(
  { benchmark, outcome, environment }: Entry,
  { name: suite, files }: Suite,
): Promise<void> {
  const { name, what, target } = benchmark;
  const result = { name, what, target, ...outcome, environment };
  const file = new URL(`${files === 'one' ? suite : name}.json`, results);
  await mkdir(results, { recursive: true });
  const content = files === 'one' ? { ...(await readResults(file)), [name]: result } : result;
  await writeFile(file, `${JSON.stringify(content, rounded, 2)}\n`);
}

/** Of what was measured, more digits mean nothing. */
const rounded = (_: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;

/** Rows that are not measured this time keep what they had. */
async function readResults(file: URL): Promise<Readonly<Record<string, unknown>>> {
  const old = await readFile(file, 'utf8').catch(() => '{}');
  return JSON.parse(old) as Record<string, unknown>;
}

/** Puts the figures into the page about performance. */
export async function publish(markdown: string, { name }: Suite): Promise<void> {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const old = await readFile(page, 'utf8');
  const [before, rest] = old.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined)
    throw new Error(`no place for the figures of ${name} in ${page.href}`);
  await writeFile(page, `${before}${begin}\n\n${markdown}\n\n${end}${after}`);
  // Columns are to be aligned as in all our pages.
  await promisify(execFile)(fileURLToPath(biome), ['format', '--write', fileURLToPath(page)]);
}

function rowOf({ benchmark, outcome }: Entry): string[] {
  const { ours, unit, control, ratio, reached } = outcome;
  const figure = control.figure ? `: ${text(control.figure, unit)}` : '';
  const unmeasured = control.name === 'Go' && !control.figure;
  return [
    benchmark.what,
    text(ours, unit),
    unmeasured ? 'no Go here: not measured' : `${control.name}${figure}`,
    ratio ? text(ratio, 'times') : '',
    benchmark.target ?? '',
    reached === undefined ? '' : reached ? 'yes' : 'NO',
  ];
}

function captionOf(entries: readonly Entry[], { rounds, seconds }: BenchOptions): string {
  const [first] = entries;
  if (!first) return 'Nothing was measured.';
  const { date, cpu, cores, node, etcd, go, inMemory } = first.environment;
  const load = entries.map(({ environment }) => environment.load.toFixed(1));
  return `Measured on ${date.slice(0, 10)}: ${cpu}, ${cores} cores shared by clients and etcd; Node ${node.slice(1)},
etcd ${etcd} with its data ${inMemory ? 'in memory' : 'on disk, without fsync'}, ${go ? `Go ${go.replace('go', '')}` : 'no Go'}; load average
before each row ${load.join(', ')}. Medians of ${rounds} rounds (windows of ${seconds} s), and lowest to highest.`;
}

function markdownTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(titles), line(titles.map(() => '---')), ...rows.map(line)].join('\n');
}

const suffixes: Readonly<Record<Unit, string>> = {
  'per second': '/s',
  ms: ' ms',
  µs: ' µs',
  bytes: ' bytes',
  MB: ' MB',
  times: ' ×',
  number: '',
};

function text({ median, min, max }: Summary, unit: Unit): string {
  const digits = unit === 'times' || unit === 'number' || median < 10 ? 2 : 0;
  const number = (value: number): string =>
    value.toLocaleString('en', { minimumFractionDigits: 0, maximumFractionDigits: digits });
  const range = min === max ? '' : ` (${number(min)} – ${number(max)})`;
  return `${number(median)}${suffixes[unit]}${range}`;
}
