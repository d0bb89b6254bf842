import type { Command } from 'commander';
import { ArgumentError } from '../core/store/errors.js';
import { nonEmpty } from '../core/validate.js';
import type { Group } from '../membership/group.js';
import type { Member } from '../membership/member.js';
import { atPlace } from './at-place.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { statusOf } from './interrupts.js';
import { type JoinFlags, join } from './join-command.js';
import { type Place, placeOf, rowOf, tableOf } from './line-table.js';
import { killAfterOption, labelOption, ttlOption, waitOption } from './lock-options.js';
import { type Done, lineOf, print, printable, say } from './output.js';

/** What the command line says about which members to show. */
interface MembersFlags extends ConnectionFlags {
  readonly watch?: boolean;
  readonly json?: boolean;
}

const MEMBERS_HELP = `
Examples:
  etcd-recipes members workers
  etcd-recipes members workers --json | jq -r '.members[].id'
  etcd-recipes members workers --watch

Exit status: 0 whoever is there; the others as in etcd-recipes lock --help`;

const JOIN_HELP = `
The command gets ETCD_RECIPES_MEMBER_ID, and our signals. It goes on where the membership is lost, which comes back by itself; it is
stopped when we are killed.

Examples:
  etcd-recipes join workers '{"address":"10.0.0.7:8080"}' -- ./worker
  etcd-recipes join workers --id worker-1 --wait 20000 -- ./worker
  etcd-recipes join workers                # until Ctrl-C

Exit status: ${EXIT.notAcquired} if another has the ID for longer than --wait; the others as in etcd-recipes lock --help`;

/** Adds `join`. */
export function addJoin(
  program: Command,
  command: readonly string[] | undefined,
  done: Done,
): void {
  withConnectionOptions(program.command('join'))
    .description('Be a member of a group while a command runs; without one, until interrupted.')
    .usage('GROUP [PAYLOAD] [options] [-- command args...]')
    .argument('<GROUP>', 'the group')
    .argument('[PAYLOAD]', 'what others see of us, as JSON; default: null')
    .allowExcessArguments()
    .option('--id <id>', 'what tells us from others; default: a new one')
    .addOption(waitOption())
    .addOption(ttlOption())
    .addOption(killAfterOption('from SIGTERM to SIGKILL if we are killed'))
    .addOption(labelOption())
    .option('--json', 'print ID and token as JSON (without a command)')
    .action(
      async (name: string, payload: string | undefined, flags: JoinFlags, { args }: Command) => {
        if (args[2]) throw new ArgumentError('the command', 'given after --', args[2]);
        done(await join(nonEmpty('GROUP', name), payload, flags, command));
      },
    )
    .addHelpText('after', JOIN_HELP);
}

/** Adds `members`. */
export function addMembers(program: Command, done: Done): void {
  withConnectionOptions(program.command('members'))
    .description(
      'Show who is in a group, and with --watch every change of that, until interrupted.',
    )
    .usage('GROUP [options]')
    .argument('<GROUP>', 'the group')
    .option('--watch', 'show who is there, and then who joins, changes and leaves')
    .option('--json', 'print it as JSON; with --watch a line for each change')
    .action(async (name: string, flags: MembersFlags) => {
      nonEmpty('GROUP', name);
      const shown = atPlace(flags, (place, signal) => show(place.group(name), flags, signal));
      done(await statusOf(shown, flags.watch === true));
    })
    .addHelpText('after', MEMBERS_HELP);
}

async function show(
  group: Group<unknown>,
  { watch, json, namespace }: MembersFlags,
  signal: AbortSignal,
): Promise<number> {
  const placesOf = (members: readonly Member<unknown>[]): Place[] =>
    members.map((member) => placeIn(member, namespace));
  if (!watch) {
    const members = placesOf(await group.inspect({ signal }));
    const rows = members.map((member, i) => rowOf(i + 1, member));
    const text = rows.length > 0 ? tableOf(rows) : `nobody is in ${group.name}`;
    await print(json ? JSON.stringify({ name: group.name, members }, undefined, 2) : text);
    return EXIT.done;
  }
  using view = group.members();
  view.on('error', (error) => {
    // Before there is anything to see it ends us.
    if (view.revision > 0n) say(lineOf(error));
  });
  for await (const { revision, members, ...changes } of view.watch({ signal })) {
    const parts = Object.entries(changes);
    const told = Object.fromEntries(parts.map(([part, some]) => [part, placesOf(some)]));
    const lines = parts.flatMap(([part, some]) => some.map((member) => changeOf(part, member)));
    const record = { revision: String(revision), members: members.length, ...told };
    const text = json ? JSON.stringify(record) : lines.join('\n') || 'nobody';
    if (!(await print(text))) break;
  }
  return EXIT.done;
}

function placeIn({ writtenAt, payload, ...member }: Member<unknown>, prefix?: string): Place {
  const age = writtenAt === undefined ? undefined : Math.max(0, Date.now() - writtenAt);
  return placeOf({ ...member, age, value: textOf(payload) }, prefix);
}

function changeOf(part: string, { id, token, payload }: Member<unknown>): string {
  return [part.padEnd(7), token, printable(id), printable(textOf(payload))].join('  ');
}

/** As JSON; nothing where there is none. */
function textOf(payload: unknown): string {
  return JSON.stringify(payload) ?? '';
}
