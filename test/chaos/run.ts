import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { ensureEtcd } from '../../scripts/get-etcd.js';
import { type CampaignOptions, campaign } from './campaign.js';
import { type Defect, defects } from './defects.js';
import { judge } from './judge.js';
import { ENTER, hasNamespaces } from './network.js';
import { planOf } from './plan.js';
import { report } from './report.js';
import { WORKLOADS, type Workload } from './workloads/names.js';

interface Options {
  readonly seconds: number;
  readonly seed: number;
  readonly members: number;
  readonly workers: number;
  readonly profile: CampaignOptions['profile'];
  readonly network: 'auto' | 'netns' | 'proxy' | 'inside';
  readonly rate: number;
  readonly etcd: string;
  readonly transport: CampaignOptions['transport'];
  readonly only?: string;
  readonly workloads: readonly Workload[];
  readonly jobs?: number;
  readonly out?: string;
  readonly defect?: Defect;
  readonly judge?: string;
}

const TTL = 2_000;
const CODES = { green: 0, violations: 1, inconclusive: 2, broken: 3 };

const whole = (text: string): number => {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected a whole number');
  return Number(text);
};
const workloadsIn = (text: string): readonly Workload[] =>
  text.split(',').map((name) => {
    const found = WORKLOADS.find((each) => each === name);
    if (!found) throw new InvalidArgumentError(`expected some of ${WORKLOADS.join(', ')}`);
    return found;
  });
const command = new Command('chaos')
  .description('has processes use a cluster that fails in every way, and judges what they saw')
  .option('--seconds <number>', 'how long faults go on', whole, 300)
  .option('--seed <number>', 'which faults, in which order', whole, Date.now() % 1_000_000)
  .option('--members <number>', 'of the cluster', whole, 3)
  .option('--workers <number>', 'processes that use it', whole, 8)
  .addOption(
    new Option('--profile <profile>', 'short election timers, or those of production')
      .choices(['fast', 'prod'])
      .default('fast'),
  )
  .addOption(
    new Option('--network <kind>', 'namespaces and packet filters, or proxies')
      .choices(['auto', 'netns', 'proxy', 'inside'])
      .default('auto'),
  )
  .option('--rate <number>', 'reads and writes a second that are aimed at', whole, 200)
  .option('--etcd <release>', 'a line such as 3.4', 'newest')
  .addOption(
    new Option('--transport <name>', 'what carries the calls of workers')
      .choices(['http2', 'grpc'])
      .default('http2'),
  )
  .option('--only <kinds>', 'nothing but these faults, with commas between')
  .addOption(
    new Option('--workloads <names>', 'does nothing but these, with commas between')
      .argParser(workloadsIn)
      .default(WORKLOADS, 'all'),
  )
  .option(
    '--jobs <number>',
    'ends, before its seconds are over, once so many jobs were done',
    whole,
  )
  .option('--out <directory>', 'where history and report go')
  .addOption(
    new Option('--defect <name>', 'makes a mistake on purpose').choices(Object.keys(defects)),
  )
  .option('--judge <directory>', 'only judges the history of a run with the same options')
  .addHelpText('after', () => {
    const lines = Object.entries(defects).map(([name, what]) => `  ${name.padEnd(18)}${what}`);
    return `\nDefects:\n${lines.join('\n')}\n\nExit codes: 0 green, 1 violations, 2 too little happened, 3 could not run`;
  })
  .parse();

let code: number;
try {
  code = await main(command.opts<Options>());
} catch (error) {
  console.error(error instanceof Error && error.name === 'AbortError' ? 'stopped' : error);
  code = Number(process.exitCode ?? CODES.broken);
}
// What is left open in here, such as a channel to who started us, is of no interest.
process.exit(code);

async function main(options: Options): Promise<number> {
  const { network } = options;
  if (options.judge === undefined && network !== 'proxy' && network !== 'inside') {
    // Fetched here: inside there is no other network.
    await ensureEtcd(options.etcd);
    if (hasNamespaces()) return inside(options);
    if (network === 'netns') throw new Error('--network netns takes Linux, root, ip and iptables');
  }
  const kind = network === 'inside' ? 'netns' : 'proxy';
  const root = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const out = resolve(options.judge ?? options.out ?? (await mkdtemp(join(tmpdir(), 'chaos-'))));
  const { seed, members, workers, profile, rate, defect, seconds, transport } = options;
  const { workloads, jobs } = options;
  const hasLocks = workloads.includes('sessions');
  const plan = planOf(seed, seconds * 1_000, TTL, options.only?.split(','), hasLocks);
  const history = join(out, 'history');
  const again = `npx tsx test/chaos/run.ts --seconds ${seconds} --seed ${seed} --members ${members} --workers ${workers} --profile ${profile} --rate ${rate} --network ${kind} --etcd ${options.etcd} --transport ${transport}${options.only ? ` --only ${options.only}` : ''}${workloads === WORKLOADS ? '' : ` --workloads ${workloads.join()}`}${jobs === undefined ? '' : ` --jobs ${jobs}`}${defect ? ` --defect ${defect}` : ''}`;
  let ran = { etcd: 'of that run', torn: false };
  if (options.judge === undefined) {
    console.log(`${again} --out ${out}`);
    if (existsSync(history)) throw new Error(`${history} is there already`);
    await mkdir(out, { recursive: true });
    const { etcd: binary } = await ensureEtcd(options.etcd);
    const begun = performance.now();
    const tell = (what: string): void => {
      console.log(`${((performance.now() - begun) / 1_000).toFixed(1).padStart(7)} s  ${what}`);
    };
    const scratch = await mkdtemp(join(root, 'chaos-'));
    const whose = { seed, members, workers, profile, rate, transport, ttl: TTL, defect };
    const settings = { ...whose, workloads, jobs };
    const place = { network: kind, binary, scratch, history } as const;
    ran = await campaign({ ...settings, ...place }, plan, interrupt(), tell);
  }
  const verdict = judge(history, TTL, { plan, workloads, jobs }, ran.torn);
  const run = { command: again, etcd: ran.etcd, network: kind, options: { ...options } };
  console.log(await report(out, run, verdict));
  return CODES[verdict.outcome];
}

/** Aborts when somebody wants us to end; who asks twice does not want to wait. */
function interrupt(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      const status = 128 + constants.signals[signal];
      if (controller.signal.aborted) process.exit(status);
      process.exitCode = status;
      controller.abort(new Error('stopped'));
    });
  }
  // Whoever entered the namespaces for us is gone.
  process.once('disconnect', () => controller.abort(new Error('stopped')));
  return controller.signal;
}

/** Runs the same in namespaces of its own. */
async function inside({ out, ...options }: Options): Promise<number> {
  const [enter = '', ...rest] = ENTER;
  const own = Object.entries({ ...options, network: 'inside', ...(out && { out: resolve(out) }) });
  const args = own.flatMap(([name, value]) => [`--${name}`, String(value)]);
  const script = fileURLToPath(import.meta.url);
  const again = [process.execPath, ...process.execArgv, script, ...args];
  const child = spawn(enter, [...rest, ...again], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // From a terminal it has got the signal by itself.
    process.on(signal, () => void (process.stdin.isTTY || child.kill(signal)));
  }
  const [status] = (await once(child, 'exit')) as [number | null];
  return status ?? CODES.broken;
}
