import { buffer } from 'node:stream/consumers';
import type { Command } from 'commander';
import { ArgumentError } from '../core/store/errors.js';
import { nonEmpty } from '../core/validate.js';
import { atPlace } from './at-place.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import {
  killAfterOption,
  labelOption,
  ttlOption,
  waitOption,
  waitOptions,
} from './lock-options.js';
import { milliseconds, whole } from './numbers.js';
import { type Done, print, printFacts } from './output.js';
import { addQueueViews } from './queue-views.js';
import { asText, type WorkFlags, work } from './work-command.js';

/** What the command line says about a job to be put. */
interface PutFlags extends ConnectionFlags {
  readonly priority?: number;
  readonly attempts?: number;
  readonly json?: boolean;
}

/** What it says about one to be taken. */
interface NextFlags extends ConnectionFlags {
  readonly try?: boolean;
  readonly wait?: number;
  readonly ttl: number;
  readonly label?: string;
  readonly json?: boolean;
}

const QUEUE_HELP = `
Examples:
  etcd-recipes queue put mails '{"to":"ann@example.org"}'
  find . -name '*.wav' -print0 | xargs -0 -n1 etcd-recipes queue put sounds
  etcd-recipes queue next mails --wait 60000 | jq -r .to
  etcd-recipes queue work sounds --concurrency 4 -- sh -c 'read -r file; lame "$file"'
  etcd-recipes queue stats sounds
  etcd-recipes queue list sounds --state dead --json | jq -r .reason
  etcd-recipes queue redrive sounds --all

Exit status of put and next: ${EXIT.notAcquired} if there was no job (--try), or none within --wait; the others as in
etcd-recipes lock --help`;

const WORK_HELP = `
The command is run once for each job, and gets the value of the job on standard input, and ETCD_RECIPES_JOB_ID,
ETCD_RECIPES_ATTEMPT and ETCD_RECIPES_TOKEN (the fencing token). Its exit status decides: 0 and the job is done; 65 (bad data)
and it is given up at once; any other and it is tried again later, as often as --attempts allows. When the job is lost, or
--max-time is over, the command is stopped.

The first interrupt ends it when the commands that run have ended; the second gives their jobs back, and stops them.

Exit status: 0 after an interrupt, or with --drain when nothing is left to do; the others as in etcd-recipes lock --help`;

/** Adds `queue`. */
export function addQueue(
  program: Command,
  command: readonly string[] | undefined,
  done: Done,
): void {
  const queue = program
    .command('queue')
    .description('Put jobs into a queue, and work on them.')
    .addHelpText('after', QUEUE_HELP);
  addPut(queue, done);
  addNext(queue, done);
  addWork(queue, command, done);
  addQueueViews(queue, done);
}

function addPut(queue: Command, done: Done): void {
  withConnectionOptions(queue.command('put'))
    .description('Put a job into a queue.')
    .usage('NAME [VALUE] [options]')
    .argument('<NAME>', 'the queue')
    .argument('[VALUE]', 'what the job is; without it, what comes on standard input')
    .option('--priority <number>', '0 to 9: lower ones come first', whole('--priority', 0, 9))
    .option(
      '--attempts <number>',
      'how often it is begun at most',
      whole('--attempts', 1, 1_000_000),
    )
    .option('--json', 'print JSON')
    .action(async (name: string, value: string | undefined, flags: PutFlags) => {
      nonEmpty('NAME', name);
      const { priority, attempts } = flags;
      const said = value ?? (await buffer(process.stdin)).toString();
      const options = {
        ...(priority !== undefined && { priority }),
        ...(attempts !== undefined && { attempts }),
      };
      const { id, revision } = await atPlace(flags, (place, signal) =>
        place.queue(name, asText).put(said, { ...options, signal }),
      );
      const facts = { id, revision: String(revision) };
      await printFacts(facts, flags, { name });
      done(EXIT.done);
    });
}

function addNext(queue: Command, done: Done): void {
  withConnectionOptions(queue.command('next'))
    .description('Take the next job, print it, and have it be done.')
    .usage('NAME [options]')
    .argument('<NAME>', 'the queue')
    .option('--try', 'give up at once if there is none')
    .addOption(waitOption())
    .addOption(ttlOption())
    .addOption(labelOption())
    .option('--json', 'print JSON: its name, its value as text, and which attempt it is')
    .action(async (name: string, flags: NextFlags) => {
      nonEmpty('NAME', name);
      done(await atPlace(flags, (place, signal) => next(place.queue(name, asText), flags, signal)));
    });
}

/** Prints a job before it is done: at worst it is printed twice. */
async function next(
  queue: {
    next(wait: object): Promise<Taken>;
    tryNext(wait: object): Promise<Taken | undefined>;
  },
  flags: NextFlags,
  signal: AbortSignal,
): Promise<number> {
  const wait = waitOptions(flags, signal);
  const job = flags.try ? await queue.tryNext(wait) : await queue.next(wait);
  if (!job) return EXIT.notAcquired;
  const { id, value, attempt } = job;
  const isRead = await print(flags.json ? JSON.stringify({ id, value, attempt }) : value);
  if (isRead) await job.ack();
  else await job.release();
  return EXIT.done;
}

/** A job that was taken. */
interface Taken {
  readonly id: string;
  readonly value: string;
  readonly attempt: number;
  ack(): Promise<void>;
  release(): Promise<void>;
}

function addWork(queue: Command, command: readonly string[] | undefined, done: Done): void {
  withConnectionOptions(queue.command('work'))
    .description('Run a command for each job.')
    .usage('NAME [options] -- command args...')
    .argument('<NAME>', 'the queue')
    .allowExcessArguments()
    .option(
      '--concurrency <number>',
      'how many run at a time',
      whole('--concurrency', 1, 10_000),
      1,
    )
    .option(
      '--attempts <number>',
      'how often a job is begun at most',
      whole('--attempts', 1, 1_000_000),
      5,
    )
    .option(
      '--max-time <ms>',
      'stop a command after so many milliseconds',
      milliseconds('--max-time', 1),
    )
    .option('--drain', 'end when nothing is left to do')
    .addOption(killAfterOption('from SIGTERM to SIGKILL'))
    .addOption(ttlOption())
    .addOption(labelOption())
    .action(async (name: string, flags: WorkFlags, { args }: Command) => {
      if (args[1]) throw new ArgumentError('the command', 'given after --', args[1]);
      done(await work(nonEmpty('NAME', name), flags, command));
    })
    .addHelpText('after', WORK_HELP);
}
