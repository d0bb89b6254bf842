import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { start } from '../src/embed/index.js';
import { type Aside, alternate, type Bench, type Benchmark, compare, once } from './benchmark.js';
import { placeOf, startInMemory } from './environment.js';
import { type ServerKind, servers } from './servers.js';
import { percentile, summarize } from './statistics.js';
import type { QueueDrainReport, QueueDrainTask } from './workers/queue-drain.js';
import type { QueuePutReport, QueuePutTask } from './workers/queue-put.js';
import type { QueueWaitReport, QueueWaitTask } from './workers/queue-wait.js';
import type { Where } from './workers/work-queue.js';

const run = promisify(execFile);
const jobs = 5_000;
const consumers = 8;
const concurrencies = [1, 64] as const;
const callers = 64;
const waits = 20;

interface Peer {
  /** Of its package, and of its directory in `peers`. */
  readonly name: string;
  readonly title: string;
  readonly server: ServerKind;
  readonly atLeast: number;
}

interface Report {
  readonly put: QueuePutReport;
  readonly wait: QueueWaitReport;
  readonly drains: readonly QueueDrainReport[];
}

type Place = 'memory' | 'disk';

const peers: readonly Peer[] = [
  { name: 'bullmq', title: 'BullMQ', server: servers.redis, atLeast: 0.5 },
  { name: 'pg-boss', title: 'pg-boss', server: servers.postgresql, atLeast: 1 },
];

/** Our queue against others of Node, whose servers keep their data on the same kind of disk and write it as they would in earnest. */
export const queuePeerBenchmarks: readonly Benchmark[] = peers.flatMap((peer) =>
  (['memory', 'disk'] as const).flatMap((place) => {
    const measured = once((bench) => measure(bench, peer, place));
    return concurrencies.map((concurrency, index) =>
      row(peer, place, concurrency, index, measured),
    );
  }),
);

type Measured = Awaited<ReturnType<typeof measure>>;

function row(
  { name, title, atLeast }: Peer,
  place: Place,
  concurrency: number,
  index: number,
  measured: (bench: Bench) => Promise<Measured>,
): Benchmark {
  const atOnce = concurrency === 1 ? '' : `, ${concurrency} at once each`;
  return {
    name: `queue-${name}-${concurrency}${place === 'disk' ? '-disk' : ''}`,
    what: `Beside ${title}: ${jobs.toLocaleString('en')} jobs done by ${consumers} consumers${atOnce}; ${place === 'disk' ? 'all on disk, with fsync' : 'data in memory'}`,
    target: place === 'disk' ? undefined : `≥ ${atLeast} × ${title}`,
    alone: true,
    async run(bench) {
      const { rounds, control: controlName } = await measured(bench);
      const pace = (reports: readonly Report[]): number[] =>
        reports.map(({ drains }) => drains[index]?.perSecond ?? Number.NaN);
      const ours = pace(rounds.ours);
      const control = rounds.control && pace(rounds.control);
      const ratio = compare(ours, control);
      return {
        ours: summarize(ours),
        unit: 'per second',
        control: { name: controlName, figure: control && summarize(control) },
        ratio,
        reached: place === 'memory' && ratio ? ratio.median >= atLeast : undefined,
        // Once is enough for what does not depend on how many there are at once.
        asides: index > 0 ? [] : [...asides('ours', rounds.ours), ...asides(title, rounds.control)],
        rounds: index > 0 ? [] : rounds,
      };
    },
  };
}

function asides(who: string, reports: readonly Report[] = []): Aside[] {
  if (reports.length === 0) return [];
  const of = (pick: (report: Report) => number): Aside['figure'] => summarize(reports.map(pick));
  const p50 = (kind: keyof QueueWaitReport) => of(({ wait }) => percentile(wait[kind], 0.5));
  const filled = of(({ drains }) => drains.at(-1)?.filledPerSecond ?? Number.NaN);
  return [
    {
      what: `${who}: put by ${callers} callers`,
      figure: of(({ put }) => put.perSecond),
      unit: 'per second',
    },
    { what: `${who}: put in groups of 500`, figure: filled, unit: 'per second' },
    { what: `${who}: from put to an idle handler, p50`, figure: p50('waits'), unit: 'µs' },
    { what: `${who}: plain write, p50`, figure: p50('writes'), unit: 'µs' },
  ];
}

async function measure(bench: Bench, peer: Peer, place: Place) {
  const { binary, options } = bench;
  await using etcd = await (place === 'disk'
    ? start({ engine: 'etcd', binary, logLevel: 'error' })
    : startInMemory(binary));
  const found = await peer.server.find();
  const adapter = found && (await install(peer.name));
  await using server = adapter ? await peer.server.start(placeOf(place)) : undefined;
  const rounds = await alternate(
    options.rounds,
    () => measureOne(bench, { endpoint: etcd.endpoints[0] ?? '' }),
    server && (() => measureOne(bench, { endpoint: server.endpoint, adapter })),
  );
  const control = adapter
    ? `${peer.title} ${await versionOf(peer.name)} on ${found}`
    : `no ${peer.title} here: not measured`;
  return { rounds, control };
}

async function measureOne({ programs, options }: Bench, where: Where): Promise<Report> {
  const { scale, seconds } = options;
  const putting: QueuePutTask = { where, callers, seconds: seconds / 2 };
  const put = await programs.ours<QueuePutReport>('queuePut', putting);
  const waiting: QueueWaitTask = { where, rounds: Math.ceil(waits * scale) };
  const wait = await programs.ours<QueueWaitReport>('queueWait', waiting);
  const drains: QueueDrainReport[] = [];
  for (const concurrency of concurrencies) {
    const task: QueueDrainTask = { where, jobs: Math.ceil(jobs * scale), consumers, concurrency };
    drains.push(await programs.ours<QueueDrainReport>('queueDrain', task));
  }
  return { put, wait, drains };
}

const home = new URL('peers/', import.meta.url);

/** The URL of a peer's adapter, with what that needs fetched if it is not there; `undefined` if it cannot be. */
async function install(name: string): Promise<string | undefined> {
  const dir = new URL(`${name}/`, home);
  const quiet = ['--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund'];
  try {
    await run('npm', ['install', ...quiet], { cwd: fileURLToPath(dir) });
    return new URL('adapter.js', dir).href;
  } catch (error) {
    console.error(`${name} could not be installed:`, error);
    return undefined;
  }
}

async function versionOf(name: string): Promise<string> {
  const file = await readFile(new URL(`${name}/node_modules/${name}/package.json`, home), 'utf8');
  return (JSON.parse(file) as { version: string }).version;
}
