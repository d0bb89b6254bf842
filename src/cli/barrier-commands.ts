import type { Command } from 'commander';
import type { Coordinator } from '../coordinator.js';
import type { WaitOptions } from '../core/time/signals.js';
import { nonEmpty } from '../core/validate.js';
import { atPlace } from './at-place.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { labelOption, most, ttlOption, waitOption, waitOptions } from './lock-options.js';
import { whole } from './numbers.js';
import { type Done, printFacts } from './output.js';

/** What the command line says about a place where processes wait for each other. */
interface BarrierFlags extends ConnectionFlags {
  readonly wait?: number;
  readonly ttl?: number;
  readonly label?: string;
  readonly count: number;
  readonly party?: string;
  readonly json?: boolean;
}

/** Does one thing there; gives what is to be printed of it. */
type Act = (
  place: Coordinator,
  name: string,
  flags: BarrierFlags,
  wait: WaitOptions,
) => Promise<Readonly<Record<string, string | number | boolean>>>;

/** How a command came about. */
interface Verb {
  readonly usage: string;
  readonly description: string;
  readonly options?: (command: Command) => Command;
  readonly act: Act;
}

const BARRIER_HELP = `
Examples:
  etcd-recipes barrier start --count 3 --wait 60000 && ./begin.sh    # on three machines

Exit status: ${EXIT.notAcquired} if the others did not come within --wait, or the round broke because one of them left;
the others as in etcd-recipes lock --help`;

const GATE_HELP = `
Examples:
  etcd-recipes gate raise maintenance        # and elsewhere, before each job:
  etcd-recipes gate wait maintenance && ./job.sh
  etcd-recipes gate lift maintenance`;

const LATCH_HELP = `
Examples:
  etcd-recipes latch count-down warm --count 3 --party "$HOSTNAME"
  etcd-recipes latch wait warm --count 3 --wait 60000 && ./begin.sh`;

const withWait = (command: Command): Command => command.addOption(waitOption());

const withCount = (command: Command): Command =>
  command.requiredOption(
    '--count <number>',
    'how many there are to be; all have to say the same',
    whole('--count', 1, most),
  );

const gate: Readonly<Record<string, Verb>> = {
  raise: {
    usage: 'NAME [options]',
    description: 'Have everybody wait from now on, until it is lifted.',
    act: async (place, name, _, options) => ({
      raised: true,
      changed: await place.gate(name).raise(options),
    }),
  },
  lift: {
    usage: 'NAME [options]',
    description: 'Let everybody pass.',
    act: async (place, name, _, options) => ({
      raised: false,
      changed: await place.gate(name).lift(options),
    }),
  },
  wait: {
    usage: 'NAME [options]',
    description: 'Wait while it is raised.',
    options: withWait,
    act: async (place, name, _, wait) => {
      await place.gate(name).wait(wait);
      return { raised: false };
    },
  },
};

const latch: Readonly<Record<string, Verb>> = {
  'count-down': {
    usage: 'NAME --count N [options]',
    description: 'Count down.',
    options: (command) =>
      withCount(command).option('--party <name>', 'who counts down; counts once'),
    act: async (place, name, { count, party }, options) => ({
      left: await place.latch(name, count).countDown(party, options),
    }),
  },
  wait: {
    usage: 'NAME --count N [options]',
    description: 'Wait until so many have counted down.',
    options: (command) => withWait(withCount(command)),
    act: async (place, name, { count }, wait) => {
      await place.latch(name, count).wait(wait);
      return { left: 0 };
    },
  },
  reset: {
    usage: 'NAME --count N [options]',
    description: 'Begin anew: nobody has counted down.',
    options: withCount,
    act: async (place, name, { count }, options) => {
      await place.latch(name, count).reset(options);
      return { left: count };
    },
  },
};

const barrier: Verb = {
  usage: 'NAME --count N [options]',
  description: 'Wait for each other: ends when so many are there.',
  options: (command) =>
    withWait(withCount(command)).addOption(ttlOption()).addOption(labelOption()),
  act: async (place, name, { count }, wait) => ({
    ...(await place.cyclicBarrier(name, count).wait(wait)),
  }),
};

/** Adds `barrier`, `gate` and `latch`. */
export function addBarriers(program: Command, done: Done): void {
  const add = (parent: Command, verb: string, spec: Verb): Command =>
    addVerb(parent, verb, spec, done);
  add(program, 'barrier', barrier).addHelpText('after', BARRIER_HELP);
  const families = [
    ['gate', 'Have everybody wait, and let them pass.', gate, GATE_HELP],
    ['latch', 'Wait until so many have counted down.', latch, LATCH_HELP],
  ] as const;
  for (const [family, description, verbs, help] of families) {
    const parent = program.command(family).description(description).addHelpText('after', help);
    for (const [verb, spec] of Object.entries(verbs)) add(parent, verb, spec);
  }
}

function addVerb(
  parent: Command,
  verb: string,
  { usage, description, options = (each) => each, act }: Verb,
  done: Done,
): Command {
  return withConnectionOptions(options(parent.command(verb)))
    .description(description)
    .usage(usage)
    .argument('<NAME>', 'the same name means the same for everybody')
    .option('--json', 'print JSON')
    .action(async (name: string, flags: BarrierFlags) => {
      nonEmpty('NAME', name);
      const facts = await atPlace(flags, (place, signal) =>
        act(place, name, flags, waitOptions(flags, signal)),
      );
      await printFacts(facts, flags, { name });
      done(EXIT.done);
    });
}
