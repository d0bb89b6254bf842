import { type Command, Option } from 'commander';
import { ArgumentError } from '../core/store/errors.js';
import { nonEmpty } from '../core/validate.js';
import type { JobState, JobView } from '../queue/job-view.js';
import type { Queue } from '../queue/queue.js';
import type { JobEvent } from '../queue/queue-watch.js';
import { atPlace } from './at-place.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { statusOf } from './interrupts.js';
import { most } from './lock-options.js';
import { whole } from './numbers.js';
import { type Done, lineOf, print, printable, printFacts } from './output.js';
import { asText } from './work-command.js';

/** What the command line says about a queue to be looked at, or looked after. */
interface ViewFlags extends ConnectionFlags {
  readonly state: JobState;
  readonly limit: number;
  readonly all?: boolean;
  readonly exact?: boolean;
  readonly reason?: string;
  readonly json?: boolean;
}

/** Where something is to be done, and to which jobs. */
interface Meant {
  readonly queue: Queue<string>;
  readonly ids: readonly string[];
  readonly flags: ViewFlags;
  readonly signal: AbortSignal;
}

/** How a command came about. */
interface Verb {
  readonly description: string;
  /** Whether jobs are named: some, or one at least; `undefined` for none. */
  readonly ids?: 'some' | 'any';
  readonly options?: (command: Command) => Command;
  /** Whether it goes on until interrupted. */
  readonly isEndless?: true;
  readonly act: (meant: Meant) => Promise<unknown>;
}

const withAll = (command: Command): Command => command.option('--all', 'all of them');

const withReason = (command: Command): Command =>
  command.option('--reason <text>', 'why, for those who are concerned', 'by hand');

const verbs: Readonly<Record<string, Verb>> = {
  stats: {
    description: 'Count its jobs.',
    options: (command) => command.option('--exact', 'look at all of them, however many'),
    act: async ({ queue, flags, signal }) => {
      const {
        revision,
        oldestAge = null,
        ...stats
      } = await queue.stats({
        signal,
        exact: flags.exact ?? false,
      });
      await printFacts({ ...stats, oldestAge, revision: String(revision) }, flags);
    },
  },
  list: {
    description: 'Show jobs of one state, in about the order in which they come.',
    options: (command) =>
      command
        .addOption(
          new Option('--state <state>', 'which')
            .choices(['ready', 'claimed', 'resting', 'delayed', 'dead', 'done'])
            .default('ready'),
        )
        .option('--limit <number>', 'how many at most', whole('--limit', 1, most), 100),
    act: async ({ queue, flags, signal }) => {
      const { state, limit, json } = flags;
      let left = limit;
      let after: string | undefined;
      do {
        const page = await queue.list(state, {
          limit: Math.min(left, 100),
          ...(after !== undefined && { after }),
          signal,
        });
        for (const job of page.jobs) {
          if (!(await print(json ? JSON.stringify(plain(job)) : jobLine(job)))) return;
        }
        left -= page.jobs.length;
        after = page.next;
      } while (after !== undefined && left > 0);
    },
  },
  redrive: {
    description: 'Put jobs that were given up into the queue again.',
    ids: 'some',
    options: (command) =>
      withAll(command).option(
        '--limit <number>',
        'how many at most',
        whole('--limit', 1, most),
        most,
      ),
    act: async (meant) => {
      const { queue, flags, signal } = meant;
      const { limit } = flags;
      const redriven = await queue.deadLetters.redrive(lettersOf(meant), { limit, signal });
      await printFacts({ redriven }, flags);
    },
  },
  purge: {
    description: 'Delete jobs that were given up.',
    ids: 'some',
    options: withAll,
    act: async (meant) => {
      const { queue, flags, signal } = meant;
      const purged = await queue.deadLetters.purge(lettersOf(meant), { signal });
      await printFacts({ purged }, flags);
    },
  },
  cancel: {
    description: 'Cancel jobs, wherever they are; who works on one is told.',
    ids: 'any',
    options: withReason,
    act: async ({ queue, ids, flags, signal }) => {
      const { reason = 'by hand' } = flags;
      for (const id of ids) {
        const was = await queue.cancel(id, { reason, signal });
        await printFacts({ id, was: was ?? null }, flags);
      }
    },
  },
  pause: {
    description: 'Have nobody take jobs from now on; those that are worked on go on.',
    options: withReason,
    act: async ({ queue, flags, signal }) =>
      printFacts({ changed: await queue.pause(flags.reason, { signal }) }, flags),
  },
  resume: {
    description: 'Have jobs taken again.',
    act: async ({ queue, flags, signal }) =>
      printFacts({ changed: await queue.resume({ signal }) }, flags),
  },
  watch: {
    description: 'Print what happens to its jobs, until interrupted.',
    act: async ({ queue, flags, signal }) => {
      for await (const event of queue.watch({ signal })) {
        if (!(await print(toldOf(event, flags)))) return;
      }
    },
    isEndless: true,
  },
};

function toldOf({ revision, id, type, ...more }: JobEvent, { json }: ViewFlags): string {
  if (json) return JSON.stringify({ revision: String(revision), id, type, ...more });
  const said = Object.keys(more).length === 0 ? '' : JSON.stringify(more);
  return printable(`${type.padEnd(9)} ${id} ${said}`);
}

/** Adds what is seen of a queue, and done about it, to the command `queue`. */
export function addQueueViews(parent: Command, done: Done): void {
  for (const [verb, { description, ids, options, isEndless, act }] of Object.entries(verbs)) {
    const command = withConnectionOptions(parent.command(verb))
      .description(description)
      .usage(ids ? 'NAME ID... [options]' : 'NAME [options]')
      .argument('<NAME>', 'the queue');
    options?.(command);
    if (ids) command.argument(ids === 'any' ? '<ID...>' : '[ID...]', 'the jobs');
    command.option('--json', 'print JSON').action(async (name: string, ...rest: unknown[]) => {
      const given = ids ? (rest[0] as string[]) : [];
      const flags = rest[ids ? 1 : 0] as ViewFlags;
      nonEmpty('NAME', name);
      const acted = atPlace(flags, async (place, signal) => {
        await act({ queue: place.queue(name, asText), ids: given, flags, signal });
        return EXIT.done;
      });
      done(await statusOf(acted, isEndless === true));
    });
  }
}

function lettersOf({ ids, flags }: Meant): readonly string[] | 'all' {
  if ((ids.length === 0) !== (flags.all === true)) {
    throw new ArgumentError('the jobs', 'named, or --all of them', ids);
  }
  return flags.all ? 'all' : ids;
}

/** A job as JSON has it. */
function plain({ claim, error, ...job }: JobView<string>): object {
  return {
    ...job,
    ...(claim && { claim: { ...claim, token: String(claim.token) } }),
    ...(error !== undefined && { error: lineOf(error) }),
  };
}

function jobLine({ id, attempts, value = '', claim, reason, due }: JobView<string>): string {
  const who = claim?.owner && `${claim.owner.label ?? claim.owner.pid}@${claim.owner.host}`;
  const more = [who, reason, due?.toISOString()].filter((each) => each !== undefined);
  return printable([id, `${attempts}x`, ...more, value].join('  '));
}
