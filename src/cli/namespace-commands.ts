import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import type { Coordinator } from '../coordinator.js';
import type { Contents } from '../namespace/contents.js';
import { atPlace } from './at-place.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { type Done, linesOf, print, printable, printFacts } from './output.js';

/** What the command line says about a namespace. */
interface NamespaceFlags extends ConnectionFlags {
  readonly json?: boolean;
  readonly overwrite?: boolean;
}

/** Does one thing with what is in there, and prints what comes of it. */
type Act = (contents: Contents, flags: NamespaceFlags, signal: AbortSignal) => Promise<unknown>;

/** How a command came about. */
interface Verb {
  readonly description: string;
  /** Whether all of etcd may be meant. */
  readonly whole: boolean;
  readonly options?: (command: Command) => Command;
  readonly act: Act;
}

const HELP = `
PREFIX is that of the namespace, with its slash; without it all of etcd is meant (or what --namespace says).

Examples:
  etcd-recipes ns list tenants/              # what is directly below: recipes, and what may be namespaces
  etcd-recipes ns usage tenants/acme/
  etcd-recipes ns export tenants/acme/ > acme.jsonl
  etcd-recipes ns import tenants/copy/ < acme.jsonl
  etcd-recipes ns clear tenants/acme/

What is held by processes that are alive, or waits for it, is not exported.

Exit status: ${EXIT.unavailable} if import finds a key with another value; the others as in etcd-recipes lock --help`;

const withJson = (command: Command): Command => command.option('--json', 'print JSON');

const verbs: Readonly<Record<string, Verb>> = {
  list: {
    description:
      'Show what there is: recipes by kind and name, and other keys by their first part.',
    whole: true,
    options: withJson,
    act: async (contents, { json }, signal) => {
      for await (const { kind = null, name, keys } of contents.list({ signal })) {
        const line = `${(kind ?? '-').padEnd(15)}  ${String(keys).padStart(7)}  ${name}`;
        const isRead = await print(json ? JSON.stringify({ kind, name, keys }) : printable(line));
        if (!isRead) return;
      }
    },
  },
  usage: {
    description: 'Count keys and bytes, by kind of recipe.',
    whole: true,
    options: withJson,
    act: async (contents, { json }, signal) => {
      const { kinds, ...all } = await contents.usage({ signal });
      const rows = Object.entries({ ...kinds, all }).map(
        ([kind, { keys, bytes }]) => [kind, `${keys} keys, ${bytes} bytes`] as const,
      );
      await print(json ? JSON.stringify({ ...all, kinds }) : linesOf(Object.fromEntries(rows)));
    },
  },
  clear: {
    description: 'Delete everything in it, whoever uses it.',
    whole: false,
    options: withJson,
    act: async (contents, flags, signal) =>
      printFacts({ cleared: await contents.clear({ signal }) }, flags),
  },
  export: {
    description: 'Print all keys and values of one revision, a line of JSON for each.',
    whole: true,
    act: async (contents, _, signal) => {
      for await (const line of contents.export({ signal })) if (!(await print(line))) return;
    },
  },
  import: {
    description: 'Write what export has printed, from standard input.',
    whole: true,
    options: (command) =>
      withJson(command).option('--overwrite', 'replace values that are there, rather than refuse'),
    act: async (contents, { overwrite = false, ...flags }, signal) => {
      const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
      await printFacts({ ...(await contents.import(lines, { overwrite, signal })) }, flags);
    },
  },
};

/** Adds `ns`. */
export function addNamespaces(program: Command, done: Done): void {
  const parent = program
    .command('ns')
    .description('See what is in a namespace, or all of etcd; clear, export and import it.')
    .addHelpText('after', HELP);
  for (const [name, verb] of Object.entries(verbs)) addVerb(parent, name, verb, done);
}

function addVerb(
  parent: Command,
  name: string,
  { description, whole, options = (each) => each, act }: Verb,
  done: Done,
): void {
  withConnectionOptions(options(parent.command(name)))
    .description(description)
    .argument(whole ? '[PREFIX]' : '<PREFIX>', 'of the namespace')
    .action(async (prefix: string | undefined, flags: NamespaceFlags) => {
      const inside = (place: Coordinator): Coordinator =>
        prefix === undefined ? place : place.namespace(prefix);
      await atPlace(flags, (place, signal) => act(inside(place).contents, flags, signal));
      done(EXIT.done);
    });
}
