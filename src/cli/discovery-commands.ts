import { type Command, Option } from 'commander';
import { ArgumentError } from '../core/store/errors.js';
import { nonEmpty } from '../core/validate.js';
import type { Directory } from '../discovery/directory.js';
import type { DirectoryChange, DirectoryOptions } from '../discovery/directory-options.js';
import type { ServiceLayout } from '../discovery/layout.js';
import { instanceStates } from '../discovery/service-instance.js';
import { atPlace } from './at-place.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { statusOf } from './interrupts.js';
import { killAfterOption, labelOption, ttlOption } from './lock-options.js';
import { number } from './numbers.js';
import { type Done, lineOf, print, printable, say } from './output.js';
import { type RegisterFlags, register } from './register-command.js';

/** What the command line says about instances to look for. */
interface DiscoverFlags extends ConnectionFlags {
  readonly layout: ServiceLayout;
  readonly tag?: readonly string[];
  readonly zone?: string;
  readonly version?: string;
  readonly all?: boolean;
  readonly watch?: boolean;
  readonly json?: boolean;
}

const REGISTER_HELP = `
The command gets ETCD_RECIPES_INSTANCE_ID, and our signals; when it is to end, the instance is drained. It goes on where the
registration is lost, which comes back by itself; it is stopped when we are killed.

Examples:
  etcd-recipes register web 10.0.0.7:8080 --tag blue --zone eu -- ./server
  etcd-recipes register web 10.0.0.7:8080                # until Ctrl-C
  etcd-recipes register services/web 10.0.0.7:8080 --layout go --metadata '{"zone":"eu"}'

Exit status: ${EXIT.unavailable} if somebody else has the ID; the others as in etcd-recipes lock --help`;

const DISCOVER_HELP = `
Prints an address a line; with --watch a line for each change, beginning with all that there are:
  added    ADDRESS  ID
  changed  ADDRESS  ID
  removed  ADDRESS  ID

Examples:
  curl "http://$(etcd-recipes discover web | shuf -n 1)/"
  etcd-recipes discover web --zone eu --all --json | jq -r '[.id, .state] | @tsv'
  etcd-recipes discover web --watch

Exit status: ${EXIT.notAcquired} if there is nobody; ${EXIT.done} after an interrupt (--watch); the others as in etcd-recipes lock --help`;

const several = (value: string, others: readonly string[] = []): readonly string[] => [
  ...others,
  value,
];
const layout = (): Option =>
  new Option(
    '--layout <layout>',
    'how it is kept: our own way, or that of etcd’s Go resolver, or of go-kit',
  )
    .choices(['recipes', 'go', 'go-kit'])
    .default('recipes');

/** Adds `register` and `discover`. */
export function addDiscovery(
  program: Command,
  command: readonly string[] | undefined,
  done: Done,
): void {
  addRegister(program, command, done);
  addDiscover(program, done);
}

function addRegister(program: Command, command: readonly string[] | undefined, done: Done): void {
  withConnectionOptions(program.command('register'))
    .description(
      'Be found as an instance of a service while a command runs; without one, until interrupted.',
    )
    .usage('SERVICE ADDRESS [options] [-- command args...]')
    .argument('<SERVICE>', 'the service')
    .argument('<ADDRESS>', 'where the instance is reached')
    .allowExcessArguments()
    .option('--id <id>', 'what tells it from others; default: a new one')
    .option('--tag <tag>', 'what else it is known by; may be given several times', several)
    .option('--zone <zone>', 'where it runs')
    .option('--version <version>', 'the release that it runs')
    .option('--weight <number>', 'its share of the work, against the others’', number('--weight'))
    .option('--metadata <json>', 'anything else: an object of JSON')
    .addOption(layout())
    .addOption(ttlOption())
    .addOption(killAfterOption('from SIGTERM to SIGKILL if we are killed'))
    .addOption(labelOption())
    .option('--json', 'print ID and key as JSON (without a command)')
    .action(async (name: string, address: string, flags: RegisterFlags, { args }: Command) => {
      if (args[2]) throw new ArgumentError('the command', 'given after --', args[2]);
      done(await register(nonEmpty('SERVICE', name), address, flags, command));
    })
    .addHelpText('after', REGISTER_HELP);
}

function addDiscover(program: Command, done: Done): void {
  withConnectionOptions(program.command('discover'))
    .description('Show the instances of a service that take work.')
    .usage('SERVICE [options]')
    .argument('<SERVICE>', 'the service')
    .option('--tag <tag>', 'those that have it; may be given several times', several)
    .option('--zone <zone>', 'those that run there')
    .option('--version <version>', 'those of this version, or of one that begins with these parts')
    .option('--all', 'also those that drain or are unhealthy')
    .addOption(layout())
    .option('--watch', 'go on with every change, until interrupted')
    .option('--json', 'print a line of JSON for each')
    .action(async (name: string, flags: DiscoverFlags) => {
      nonEmpty('SERVICE', name);
      done(await statusOf(discover(name, flags), flags.watch === true));
    })
    .addHelpText('after', DISCOVER_HELP);
}

async function discover(name: string, flags: DiscoverFlags): Promise<number> {
  const { tag: tags, zone, version, all, watch, json = false } = flags;
  const options: DirectoryOptions = {
    ...(tags && { tags }),
    ...(zone !== undefined && { zone }),
    ...(version !== undefined && { version }),
    ...(all && { states: instanceStates }),
  };
  return atPlace(flags, async (place, signal) => {
    const directory = place.service(name, { layout: flags.layout }).directory(options);
    directory.on('error', (error, id) => {
      if (id !== undefined) say(`instance ${id} is left out: ${lineOf(error)}`);
      // Before there is anything to see it ends us.
      else if (directory.revision > 0n) say(lineOf(error));
    });
    await directory.ready({ signal });
    return watch ? await follow(directory, json, signal) : await list(directory, json);
  });
}

async function list(directory: Directory, json: boolean): Promise<number> {
  const instances = directory.instances();
  for (const instance of instances) {
    if (!(await print(json ? JSON.stringify(instance) : printable(instance.address)))) break;
  }
  return instances.length > 0 ? EXIT.done : EXIT.notAcquired;
}

async function follow(directory: Directory, json: boolean, signal: AbortSignal): Promise<number> {
  for await (const { changes } of directory.watch({ signal })) {
    for (const change of changes) {
      if (!(await print(json ? JSON.stringify(change) : wordsOf(change)))) return EXIT.done;
    }
  }
  return EXIT.done;
}

function wordsOf({ type, instance, previous }: DirectoryChange): string {
  const { address, id } = instance ?? previous;
  return printable(`${type.padEnd(7)}  ${address}  ${id}`);
}
