import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import type { Coordinator } from '../coordinator.js';
import { ArgumentError } from '../core/store/errors.js';
import { addBarriers } from './barrier-commands.js';
import { addDiscovery } from './discovery-commands.js';
import { addElect, addObserve } from './election-commands.js';
import { EXIT, EXIT_HELP } from './exit-codes.js';
import { type Acquirable, holdWhile } from './hold-command.js';
import { type InspectFlags, inspect } from './inspect-command.js';
import { InterruptedError } from './interrupts.js';
import { withKindOptions } from './kinds.js';
import {
  type LockFlags,
  type SemaphoreFlags,
  withLockOptions,
  withSemaphoreOptions,
} from './lock-options.js';
import { addJoin, addMembers } from './membership-commands.js';
import { addNamespaces } from './namespace-commands.js';
import type { Done } from './output.js';
import { lineOf, say } from './output.js';
import { addQueue } from './queue-commands.js';
import { type RevokeFlags, revoke } from './revoke-command.js';
import { serve } from './serve-command.js';
import { type ServeFlags, withServeOptions } from './serve-options.js';
import { statusOfError } from './status-of-error.js';
import { addTenants } from './tenant-commands.js';

const LOCK_HELP = `
The command gets ETCD_RECIPES_LOCK_KEY and ETCD_RECIPES_TOKEN (the fencing token: later holders
have larger ones), and our signals. It is stopped when the lock is lost, and when we are killed.

Examples:
  etcd-recipes lock backup -- pg_dump -f /backups/all.sql
  etcd-recipes lock backup --try -- ./backup.sh || echo 'not now'
  etcd-recipes lock deploy --wait 60000 --label "$USER" -- sh -c 'make deploy && make check'
  etcd-recipes lock maintenance            # until Ctrl-C

${EXIT_HELP}`;

const SEMAPHORE_HELP = `
Examples:
  etcd-recipes semaphore encoders --limit 4 -- ./encode.sh film.mkv
  etcd-recipes semaphore memory --limit 64 --permits 16 --wait 60000 -- ./big-job.sh

Environment and exit status: as in etcd-recipes lock --help`;

const REVOKE_HELP = `
Examples:
  etcd-recipes revoke backup --reason 'maintenance at 3'
  etcd-recipes revoke encoders --kind semaphore --force --reason 'they hang'
  etcd-recipes revoke scheduler --kind election --force

Exit status: 0 whether it was held or not; the others as in etcd-recipes lock --help`;

const INSPECT_HELP = `
Examples:
  etcd-recipes inspect backup
  etcd-recipes inspect backup --json | jq -r '.holder.host'
  etcd-recipes inspect encoders --kind semaphore
  etcd-recipes inspect scheduler --kind election
  etcd-recipes inspect jobs --kind counter --json | jq -r '.value'

Exit status: 0 whatever there is to see; the others as in etcd-recipes lock --help`;

const MAIN_HELP = `
Examples:
  etcd-recipes lock backup -- ./backup.sh
  etcd-recipes elect scheduler "$HOSTNAME" -- ./scheduler.sh
  etcd-recipes inspect backup
  etcd-recipes serve                       # an etcd for development, in memory
  etcd-recipes lock --help`;

/** Those that run a command. */
const running = new Set(['lock', 'semaphore', 'elect', 'work', 'register', 'join']);

/** Runs a command line, without the name of the program; resolves to the exit status. Says every error. */
export async function run(argv: readonly string[]): Promise<number> {
  // Split by ourselves: a command's own options must never be taken for ours.
  const dashes = argv.indexOf('--');
  const own = dashes === -1 ? argv : argv.slice(0, dashes);
  const command = dashes === -1 ? undefined : argv.slice(dashes + 1);
  let status: number = EXIT.done;
  const program = makeProgram(command, (code) => {
    status = code;
  });
  try {
    await program.parseAsync(own, { from: 'user' });
    return status;
  } catch (error) {
    // Commander has said its own, and who interrupts us knows.
    if (!(error instanceof CommanderError || error instanceof InterruptedError)) say(lineOf(error));
    return statusOfError(error);
  }
}

function makeProgram(command: readonly string[] | undefined, done: Done): Command {
  const program = new Command('etcd-recipes')
    .description(
      'Coordination on etcd: hold a lock or lead while a command runs, see who does, wait for each other, and an etcd to develop with.',
    )
    .version(version())
    .exitOverride()
    // Commands may have a --version of their own.
    .enablePositionalOptions()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'etcd-recipes: ')),
    })
    .addHelpText('after', MAIN_HELP)
    .hook('preAction', (_, action) => {
      const verb = action.name();
      if (!command || running.has(verb)) return;
      throw new ArgumentError(verb, 'used without a command', command);
    });
  addLock(program, command, done);
  addSemaphore(program, command, done);
  addElect(program, command, done);
  addObserve(program, done);
  addBarriers(program, done);
  addQueue(program, command, done);
  addDiscovery(program, command, done);
  addJoin(program, command, done);
  addMembers(program, done);
  addRevoke(program, done);
  addInspect(program, done);
  addNamespaces(program, done);
  addTenants(program, done);
  addServe(program, done);
  return program;
}

function addLock(program: Command, command: readonly string[] | undefined, done: Done): void {
  withLockOptions(program.command('lock'))
    .description('Hold a lock while a command runs; without a command, until interrupted.')
    .usage('NAME [options] [-- command args...]')
    .argument('<NAME>', 'the lock; the same name means the same lock for everybody')
    .allowExcessArguments()
    .action(async (name: string, flags: LockFlags, { args }: Command) => {
      if (args[1]) throw new ArgumentError('the command', 'given after --', args[1]);
      const { layout, read, write } = flags;
      const lockIn = (place: Coordinator): Acquirable => {
        if (read) return place.readWriteLock(name).read;
        return write ? place.readWriteLock(name).write : place.mutex(name, { layout });
      };
      done(await holdWhile({ name, in: lockIn }, flags, command));
    })
    .addHelpText('after', LOCK_HELP);
}

function addSemaphore(program: Command, command: readonly string[] | undefined, done: Done): void {
  withSemaphoreOptions(program.command('semaphore'))
    .description(
      'Hold permits of a semaphore while a command runs; without one, until interrupted.',
    )
    .usage('NAME [options] [-- command args...]')
    .argument('<NAME>', 'the semaphore; the same name means the same permits for everybody')
    .allowExcessArguments()
    .action(async (name: string, flags: SemaphoreFlags, { args }: Command) => {
      if (args[1]) throw new ArgumentError('the command', 'given after --', args[1]);
      const { permits, limit } = flags;
      const permitsIn = (place: Coordinator): Acquirable => {
        const semaphore = place.semaphore(name, limit === undefined ? {} : { limit });
        return {
          acquire: (wait) => semaphore.acquire({ ...wait, permits }),
          tryAcquire: (wait) => semaphore.tryAcquire({ ...wait, permits }),
        };
      };
      done(await holdWhile({ name, in: permitsIn }, flags, command));
    })
    .addHelpText('after', SEMAPHORE_HELP);
}

function addRevoke(program: Command, done: Done): void {
  withKindOptions(program.command('revoke'), 'revocable')
    .description(
      'Ask who holds a lock, or leads, to give it back; with --force, take it from them.',
    )
    .usage('NAME [options]')
    .argument('<NAME>', 'the lock or election')
    .option('--force', 'end their holds, and write down that it was done')
    .option('--reason <text>', 'why, for the holders and for the record', 'by hand')
    .option('--json', 'print JSON')
    .action(async (name: string, flags: RevokeFlags) => {
      done(await revoke(name, flags));
    })
    .addHelpText('after', REVOKE_HELP);
}

function addInspect(program: Command, done: Done): void {
  withKindOptions(program.command('inspect'), 'all')
    .description('Show who holds something and who waits for it, or what it is.')
    .usage('NAME [options]')
    .argument('<NAME>', 'what to look at')
    .option('--json', 'print JSON')
    .action(async (name: string, flags: InspectFlags) => {
      done(await inspect(name, flags));
    })
    .addHelpText('after', INSPECT_HELP);
}

function addServe(program: Command, done: Done): void {
  withServeOptions(program.command('serve'))
    .description('Run an etcd for development in this process, with all data in memory.')
    .action(async (flags: ServeFlags) => {
      done(await serve(flags));
    });
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
