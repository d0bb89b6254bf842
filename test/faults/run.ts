import { writeFile } from 'node:fs/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { describe } from '../../benchmarks/environment.js';
import { ensureEtcd } from '../../scripts/get-etcd.js';
import type { Episode } from './episode.js';
import { faults } from './fault.js';
import { measure } from './figures.js';
import { complaints, Sites } from './matrix.js';
import { figuresOf, publish, tableOf } from './report.js';

const whole = (text: string): number => {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('expected a whole number above 0');
  return Number(text);
};
const command = new Command('faults')
  .description('has every fault happen to every verb, and writes docs/reliability.md')
  .option('--only <text>', 'only faults with this in their names, and nothing is written')
  .addOption(
    new Option(
      '--transport <name>',
      'what carries the calls of clients; with grpc nothing is written',
    )
      .choices(['http2', 'grpc'])
      .default('http2'),
  )
  .option('--figures', 'measures failover and loss instead')
  .option('--rounds <number>', 'how often each of these', whole, 20)
  .parse();
interface Options {
  readonly only?: string;
  readonly transport: 'http2' | 'grpc';
  readonly figures?: true;
  readonly rounds: number;
}
const options = command.opts<Options>();
process.env['ETCD_BIN'] ||= (await ensureEtcd('newest')).etcd;
const wrong = options.figures ? await figures(options.rounds) : await matrix(options);
process.exit(wrong ? 1 : 0);

/** Says whether something was wrong. */
async function matrix({ only, transport }: Options): Promise<boolean> {
  const episodes: Episode[] = [];
  {
    await using sites = new Sites(transport);
    for (const fault of faults.filter(({ name }) => name.includes(only ?? ''))) {
      const episode = await sites.run(fault);
      episodes.push(episode);
      console.log(fault.name);
      for (const line of complaints(episode)) console.log(`  ${line}`);
    }
  }
  const table = tableOf(episodes);
  console.log(table);
  if (only === undefined && transport === 'http2') await publish('faults', table);
  return episodes.some((episode) => complaints(episode).length > 0);
}

async function figures(rounds: number): Promise<boolean> {
  const found = await measure(rounds, console.log);
  const file = new URL('../../benchmarks/results/faults.json', import.meta.url);
  const result = { environment: describe('newest', undefined), figures: found };
  await writeFile(file, `${JSON.stringify(result, undefined, 2)}\n`);
  await publish('figures', figuresOf(found));
  return found.some(({ p99, target = Infinity }) => p99 > target);
}
