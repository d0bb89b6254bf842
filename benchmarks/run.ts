import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Benchmark } from './benchmark.js';
import { describe, findServer, withEtcd } from './environment.js';
import { mutexHandOff } from './mutex-handoff.js';
import { mutexPassing } from './mutex-passing.js';
import { mutexRpcs } from './mutex-rpcs.js';
import { mutexUncontended } from './mutex-uncontended.js';
import { type BenchOptions, readOptions, usage } from './options.js';
import { buildPrograms } from './programs.js';
import { type Entry, lineOf, markdownOf, publish, save, tableOf } from './report.js';

const benchmarks: readonly Benchmark[] = [
  ...mutexPassing,
  ...mutexHandOff,
  ...mutexUncontended,
  mutexRpcs,
];

async function main(options: BenchOptions, dir: string): Promise<void> {
  const server = await findServer();
  const programs = await buildPrograms(dir);
  if (!programs.go) console.error('no Go here: what is measured against it is not measured');
  const entries: Entry[] = [];
  for (const benchmark of chosen(options)) {
    const environment = describe(server.version, programs.goVersion);
    const outcome = await withEtcd(server.binary, (endpoint) =>
      benchmark.run({ endpoint, programs, options }),
    );
    const entry = { benchmark, outcome, environment };
    entries.push(entry);
    console.error(lineOf(entry));
    if (!options.quick) await save(entry);
  }
  await conclude(entries, options);
}

function chosen({ only }: BenchOptions): readonly Benchmark[] {
  if (only.length === 0) return benchmarks;
  const names = benchmarks.map(({ name }) => name);
  const isMeant = (name: string, asked: string): boolean =>
    names.includes(asked) ? name === asked : name.startsWith(asked);
  const found = benchmarks.filter(({ name }) => only.some((asked) => isMeant(name, asked)));
  if (found.length > 0) return found;
  throw new Error(`there are: ${names.join(', ')}`);
}

async function conclude(entries: readonly Entry[], options: BenchOptions): Promise<void> {
  const markdown = markdownOf(entries, options);
  console.log(`${markdown}\n\n${tableOf(entries)}`);
  // A page with some rows of today and others of last year would compare nothing.
  if (entries.length === benchmarks.length && !options.quick) await publish(markdown);
  const missed = entries.filter(({ outcome }) => outcome.reached === false);
  for (const { benchmark } of missed) {
    console.log(`TARGET MISSED: ${benchmark.what} (${benchmark.target})`);
  }
  const judged = entries.filter(({ outcome }) => outcome.reached !== undefined);
  console.log(`${judged.length - missed.length} of ${judged.length} targets reached`);
}

try {
  const options = readOptions(process.argv.slice(2));
  const dir = await mkdtemp(join(tmpdir(), 'etcd-recipes-bench-'));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  process.once('SIGINT', () => process.exit(130));
  await main(options, dir);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.error(usage);
  process.exitCode = 1;
}
