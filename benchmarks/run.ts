import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Benchmark, Outcome, Suite } from './benchmark.js';
import { discoveryBenchmarks } from './discovery.js';
import { electionBenchmarks } from './election.js';
import { embedDirect } from './embed-direct.js';
import { embedMillion } from './embed-million.js';
import { embedSocket } from './embed-socket.js';
import { embedStart } from './embed-start.js';
import { embedWatches } from './embed-watches.js';
import { describe, findServer, withEtcd } from './environment.js';
import { idleBenchmark } from './idle.js';
import { lockBenchmarks } from './locks.js';
import { mirrorBenchmarks } from './mirror.js';
import { mutexHandOff } from './mutex-handoff.js';
import { mutexPassing } from './mutex-passing.js';
import { mutexRpcs } from './mutex-rpcs.js';
import { mutexUncontended } from './mutex-uncontended.js';
import { namespaceBenchmarks } from './namespace.js';
import { type BenchOptions, readOptions, usage } from './options.js';
import { picksBenchmark } from './picks.js';
import { buildPrograms, type Programs } from './programs.js';
import { putBenchmarks } from './put.js';
import { queueBenchmarks } from './queue.js';
import { queuePeerBenchmarks } from './queue-peers.js';
import { recipeBenchmarks } from './recipes.js';
import { type Entry, lineOf, markdownOf, publish, save, tableOf } from './report.js';
import { watchBenchmarks } from './watch-resync.js';

const suites: readonly Suite[] = [
  {
    name: 'mutex',
    benchmarks: [...mutexPassing, ...mutexHandOff, ...mutexUncontended, mutexRpcs],
    files: 'each',
  },
  { name: 'election', benchmarks: electionBenchmarks, files: 'one' },
  {
    name: 'recipes',
    benchmarks: [...lockBenchmarks, ...recipeBenchmarks],
    files: 'one',
  },
  { name: 'queue', benchmarks: [...queueBenchmarks, ...queuePeerBenchmarks], files: 'one' },
  { name: 'idle', benchmarks: [idleBenchmark], files: 'one' },
  { name: 'client', benchmarks: putBenchmarks, files: 'one' },
  { name: 'namespace', benchmarks: namespaceBenchmarks, files: 'one' },
  { name: 'watch', benchmarks: watchBenchmarks, files: 'one' },
  {
    name: 'cache',
    benchmarks: [...mirrorBenchmarks, ...discoveryBenchmarks, picksBenchmark],
    files: 'one',
  },
  {
    name: 'embed',
    benchmarks: [embedStart, ...embedSocket, ...embedDirect, ...embedMillion, ...embedWatches],
    files: 'one',
  },
];
const names = suites.flatMap(({ benchmarks }) => benchmarks.map(({ name }) => name));

async function main(options: BenchOptions, dir: string): Promise<void> {
  const chosen = suites.map((suite) => ({ suite, benchmarks: choose(suite, options) }));
  if (chosen.every(({ benchmarks }) => benchmarks.length === 0)) {
    throw new Error(`there are: ${names.join(', ')}`);
  }
  const server = await findServer();
  const programs = await buildPrograms(dir);
  if (!programs.go) console.error('no Go here: what is measured against it is not measured');
  const all: Entry[] = [];
  for (const { suite, benchmarks } of chosen) {
    const entries: Entry[] = [];
    for (const benchmark of benchmarks) {
      const environment = describe(server.version, programs.goVersion);
      const outcome = await run(benchmark, server.binary, programs, options);
      const entry = { benchmark, outcome, environment };
      entries.push(entry);
      console.error(lineOf(entry));
      if (!options.quick) await save(entry, suite);
    }
    if (entries.length > 0) await conclude(suite, entries, options);
    all.push(...entries);
  }
  judge(all);
}

function choose({ benchmarks }: Suite, { only }: BenchOptions): readonly Benchmark[] {
  if (only.length === 0) return benchmarks;
  const isMeant = (name: string, asked: string): boolean =>
    names.includes(asked) ? name === asked : name.startsWith(asked);
  return benchmarks.filter(({ name }) => only.some((asked) => isMeant(name, asked)));
}

function run(
  benchmark: Benchmark,
  binary: string,
  programs: Programs,
  options: BenchOptions,
): Promise<Outcome> {
  const onEndpoint = (endpoint: string): Promise<Outcome> =>
    benchmark.run({ endpoint, binary, programs, options });
  return benchmark.alone ? onEndpoint('') : withEtcd(binary, onEndpoint);
}

async function conclude(
  suite: Suite,
  entries: readonly Entry[],
  options: BenchOptions,
): Promise<void> {
  const markdown = markdownOf(entries, options);
  console.log(`${markdown}\n\n${tableOf(entries)}`);
  // A table with some rows of today and others of last year would compare nothing.
  const isComplete = entries.length === suite.benchmarks.length;
  if (isComplete && !options.quick) await publish(markdown, suite);
}

function judge(entries: readonly Entry[]): void {
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
