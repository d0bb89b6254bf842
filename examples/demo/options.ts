import { Command, InvalidArgumentError, Option } from 'commander';

/** What the user asked for. */
export interface DemoOptions {
  /** How long the workers work at least, in seconds. */
  readonly seconds: number;
  /** What to play on if no cluster is given: an etcd in this process, or a real one. */
  readonly engine: 'in-process' | 'etcd';
  /** A cluster to use; without it an etcd is started. */
  readonly endpoints?: readonly string[];
}

/** Reads the command line; prints help or what is wrong with it, and exits, if there is nothing to run. */
export function readOptions(argv: readonly string[]): DemoOptions {
  const command = new Command('demo')
    .description(
      'Four processes count under one lock while its holders are killed and stopped. Shows that the counter ' +
        'written through the hold loses nothing, and what happens to one that is not.',
    )
    .option('-s, --seconds <n>', 'how long to work; the faults need about nine', seconds, 12)
    .addOption(
      new Option('--engine <engine>', 'an etcd in this process, or a real one')
        .choices(['in-process', 'etcd'])
        .default('in-process'),
    )
    .addOption(
      new Option('-e, --endpoints <host:port,...>', 'use this cluster instead of starting an etcd')
        .argParser(list)
        .conflicts('engine'),
    )
    .addHelpText('after', '\nExit status: 0 if everything promised was true, 1 if not.')
    .parse(argv);
  return command.opts<DemoOptions>();
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 86_400))
    throw new InvalidArgumentError('It is not a number of seconds.');
  return value;
}

function list(text: string): string[] {
  return text.split(',').map((endpoint) => endpoint.trim());
}
