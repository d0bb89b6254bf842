import type { Command } from 'commander';
import type { Coordinator } from '../coordinator.js';
import { ArgumentError } from '../core/store/errors.js';
import { nonEmpty } from '../core/validate.js';
import type { ElectionOptions } from '../election/election-options.js';
import type { ElectionEntry } from '../election/roll.js';
import { atPlace } from './at-place.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { type Acquirable, holdWhile } from './hold-command.js';
import { statusOf } from './interrupts.js';
import { placeOf } from './line-table.js';
import { type ElectFlags, layoutOption, withElectOptions } from './lock-options.js';
import { type Done, print, printable, say } from './output.js';

/** What the command line says about an election to look at. */
interface ObserveFlags extends ConnectionFlags, Required<Pick<ElectionOptions, 'layout'>> {
  readonly once?: boolean;
  readonly json?: boolean;
}

const ELECT_HELP = `
Without a command, leads until interrupted, and resigns then. With one, runs it while it leads.

Examples:
  etcd-recipes elect scheduler "$HOSTNAME" -- ./scheduler.sh
  etcd-recipes elect scheduler "$HOSTNAME" --again -- ./scheduler.sh   # for as long as it goes well
  etcd-recipes elect scheduler "$HOSTNAME" --layout go                 # as etcdctl elect does

Environment and exit status: as in etcd-recipes lock --help`;

const OBSERVE_HELP = `
Prints a line for the present leader, and for every leader, value and vacancy after that:
  leader  TOKEN  VALUE
  nobody

Examples:
  etcd-recipes observe scheduler
  etcd-recipes observe scheduler --json | jq --unbuffered -r '.leader.value // "nobody"'
  etcd-recipes observe scheduler --once || echo 'nobody leads'

Exit status: ${EXIT.done} after an interrupt, and if somebody leads (--once); ${EXIT.notAcquired} if nobody does (--once);
the others as in etcd-recipes lock --help`;

/** Adds `elect`. */
export function addElect(
  program: Command,
  command: readonly string[] | undefined,
  done: Done,
): void {
  withElectOptions(program.command('elect'))
    .description('Lead while a command runs; without a command, until interrupted.')
    .usage('NAME VALUE [options] [-- command args...]')
    .argument('<NAME>', 'the election; the same name means the same leader for everybody')
    .argument('<VALUE>', 'what others see of us')
    .allowExcessArguments()
    .action(async (name: string, value: string, flags: ElectFlags, { args }: Command) => {
      if (args[2]) throw new ArgumentError('the command', 'given after --', args[2]);
      const { layout, priority } = flags;
      const options = { layout, ...(priority !== undefined && { priority }) };
      const termIn = (place: Coordinator): Acquirable => {
        const election = place.election(name, options);
        return {
          acquire: (wait) => election.campaign(value, wait),
          tryAcquire: (wait) => election.tryCampaign(value, wait),
        };
      };
      done(await holdWhile({ name, in: termIn, facts: { value } }, flags, command));
    })
    .addHelpText('after', ELECT_HELP);
}

/** Adds `observe`. */
export function addObserve(program: Command, done: Done): void {
  withConnectionOptions(program.command('observe'))
    .description('Show who leads, and every change of that, until interrupted.')
    .usage('NAME [options]')
    .argument('<NAME>', 'the election')
    .option('--once', 'show who leads now, and end')
    .option('--json', 'print a line of JSON for each')
    .addOption(layoutOption())
    .action(async (name: string, flags: ObserveFlags) => {
      nonEmpty('NAME', name);
      done(await statusOf(observe(name, flags), !flags.once));
    })
    .addHelpText('after', OBSERVE_HELP);
}

async function observe(name: string, flags: ObserveFlags): Promise<number> {
  const { layout, once, json, namespace } = flags;
  return atPlace(flags, async (place, signal) => {
    for await (const change of place.election(name, { layout }).watch({ signal })) {
      const { leader, revision, missed } = change;
      if (missed) say('etcd had forgotten what happened before: there may have been others');
      const who = leader ? placeOf(leader, namespace) : null;
      const record = { leader: who, revision: String(revision), missed };
      const isRead = await print(json ? JSON.stringify(record) : wordsOf(leader));
      if (once) return leader ? EXIT.done : EXIT.notAcquired;
      if (!isRead) return EXIT.done;
    }
    return EXIT.done;
  });
}

function wordsOf(leader: ElectionEntry | undefined): string {
  return leader ? `leader  ${leader.token}  ${printable(leader.value)}` : 'nobody';
}
