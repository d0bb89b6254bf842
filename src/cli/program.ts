import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { ArgumentError } from '../core/errors.js';
import { withConnectionOptions } from './connection-options.js';
import { EXIT, EXIT_HELP } from './exit-codes.js';
import { type InspectFlags, inspect } from './inspect-command.js';
import { InterruptedError } from './interrupts.js';
import { lock } from './lock-command.js';
import { type LockFlags, layoutOption, withLockOptions } from './lock-options.js';
import { lineOf, say } from './output.js';
import { serve } from './serve-command.js';
import { type ServeFlags, withServeOptions } from './serve-options.js';
import { statusOfError } from './status-of-error.js';

const LOCK_HELP = `
The command gets ETCD_RECIPES_LOCK_KEY and ETCD_RECIPES_TOKEN (the fencing token: later holders
have larger ones), and our signals. It is stopped when the lock is lost, and when we are killed.

Examples:
  etcd-recipes lock backup -- pg_dump -f /backups/all.sql
  etcd-recipes lock backup --try -- ./backup.sh || echo 'not now'
  etcd-recipes lock deploy --wait 60000 --label "$USER" -- sh -c 'make deploy && make check'
  etcd-recipes lock maintenance            # until Ctrl-C

${EXIT_HELP}`;

const INSPECT_HELP = `
Examples:
  etcd-recipes inspect backup
  etcd-recipes inspect backup --json | jq -r '.holder.host'

Exit status: 0 whether it is held or not; the others as in etcd-recipes lock --help`;

const MAIN_HELP = `
Examples:
  etcd-recipes lock backup -- ./backup.sh
  etcd-recipes inspect backup
  etcd-recipes serve                       # an etcd for development, in memory
  etcd-recipes lock --help`;

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

type Done = (status: number) => void;

function makeProgram(command: readonly string[] | undefined, done: Done): Command {
  const program = new Command('etcd-recipes')
    .description(
      'Coordination on etcd: hold a lock while a command runs, see who holds it, and an etcd to develop with.',
    )
    .version(version())
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'etcd-recipes: ')),
    })
    .addHelpText('after', MAIN_HELP);
  addLock(program, command, done);
  addInspect(program, command, done);
  addServe(program, command, done);
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
      done(await lock(name, flags, command));
    })
    .addHelpText('after', LOCK_HELP);
}

function addInspect(program: Command, command: readonly string[] | undefined, done: Done): void {
  withConnectionOptions(program.command('inspect'))
    .description('Show who holds a lock and who waits for it.')
    .usage('NAME [options]')
    .argument('<NAME>', 'the lock')
    .option('--json', 'print JSON')
    .addOption(layoutOption())
    .action(async (name: string, flags: InspectFlags) => {
      if (command) throw new ArgumentError('inspect', 'used without a command', command);
      done(await inspect(name, flags));
    })
    .addHelpText('after', INSPECT_HELP);
}

function addServe(program: Command, command: readonly string[] | undefined, done: Done): void {
  withServeOptions(program.command('serve'))
    .description('Run an etcd for development in this process, with all data in memory.')
    .action(async (flags: ServeFlags) => {
      if (command) throw new ArgumentError('serve', 'used without a command', command);
      done(await serve(flags));
    });
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
