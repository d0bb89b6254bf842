import type { Command } from 'commander';
import { ConflictError } from '../core/store/errors.js';
import type { Quota, Stamp, TenantIsolation } from '../tenants/tenant-record.js';
import type {
  TenantChangeOptions,
  TenantCredentials,
  TenantInfo,
  Tenants,
} from '../tenants/tenants.js';
import { atPlace } from './at-place.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { labelOption } from './lock-options.js';
import { whole } from './numbers.js';
import { type Done, print, printable, printFacts } from './output.js';

/** What the command line says about a tenant. */
interface TenantFlags extends ConnectionFlags {
  readonly json?: boolean;
  readonly keys?: number;
  readonly bytes?: number;
  readonly isolation?: TenantIsolation;
  readonly reason?: string;
  readonly label?: string;
}

/** Does one thing, and prints what comes of it. */
type Act = (
  tenants: Tenants,
  name: string,
  flags: TenantFlags,
  signal: AbortSignal,
) => Promise<unknown>;

/** How a command came about. */
interface Verb {
  readonly description: string;
  /** Whether it is about one tenant, or about one or all. @defaultValue about all */
  readonly about?: '<NAME>' | '[NAME]';
  readonly options?: (command: Command) => Command;
  readonly act: Act;
}

/** The largest quota. */
const most = Number.MAX_SAFE_INTEGER;

const HELP = `
Connect as a user with the role root: --user, or $ETCDCTL_USER and $ETCDCTL_PASSWORD.

Examples:
  etcd-recipes tenant create acme --keys 10000 --bytes 67108864 --json > acme.json
  etcd-recipes tenant list
  etcd-recipes tenant suspend acme --reason 'runs wild'
  etcd-recipes tenant audit acme

What was interrupted is shown as unfinished: run the same again.

Exit status: ${EXIT.unavailable} also where there is no such tenant, or one already; the others as in etcd-recipes lock --help`;

/** For what changes a tenant: who and why, for the audit. */
const withReason = (command: Command): Command =>
  command.option('--reason <text>', 'why, for the audit').addOption(labelOption());
const withQuota = (command: Command): Command =>
  withReason(command)
    .option('--keys <n>', 'how many keys it may have; default: any', whole('--keys', 0, most))
    .option(
      '--bytes <n>',
      'how many bytes, of keys and values; default: any',
      whole('--bytes', 0, most),
    );

function quotaOf({ keys, bytes }: TenantFlags): Quota {
  return { ...(keys !== undefined && { keys }), ...(bytes !== undefined && { bytes }) };
}

function optionsOf({ reason }: TenantFlags, signal: AbortSignal): TenantChangeOptions {
  return { signal, ...(reason !== undefined && { reason }) };
}

/** The only time that anybody sees the password. */
function printCredentials(
  { prefix, auth }: TenantCredentials,
  flags: TenantFlags,
): Promise<boolean> {
  return printFacts({ prefix, ...auth }, flags);
}

const verbs: Readonly<Record<string, Verb>> = {
  create: {
    description: 'Give a tenant a prefix and a user, and print the password, once.',
    about: '<NAME>',
    options: (command) =>
      withQuota(command).option(
        '--isolation <kind>',
        'server (default); best-effort, for an etcd with known gaps; prefix, for none by etcd itself',
      ),
    act: async (tenants, name, flags, signal) => {
      const { isolation = 'server' } = flags;
      const options = { ...optionsOf(flags, signal), isolation, quota: quotaOf(flags) };
      await printCredentials(await tenants.create(name, options), flags);
    },
  },
  list: {
    description: 'Show all tenants: their state and quota.',
    act: async (tenants, _, { json }, signal) => {
      for await (const tenant of tenants.list({ signal })) {
        if (!(await print(json ? JSON.stringify(tenant) : printable(lineOf(tenant))))) return;
      }
    },
  },
  show: { description: 'Show one tenant, and count what it has.', about: '<NAME>', act: show },
  quota: {
    description: 'Change how much a tenant may have, at once; what is not given has no limit.',
    about: '<NAME>',
    options: withQuota,
    act: (tenants, name, flags, signal) =>
      tenants.setQuota(name, quotaOf(flags), optionsOf(flags, signal)),
  },
  rotate: {
    description: 'Give a tenant another password, and print it, once.',
    about: '<NAME>',
    options: withReason,
    act: async (tenants, name, flags, signal) =>
      printCredentials(await tenants.rotate(name, optionsOf(flags, signal)), flags),
  },
  suspend: {
    description: 'Keep a tenant out, and leave its data.',
    about: '<NAME>',
    options: withReason,
    act: (tenants, name, flags, signal) => tenants.suspend(name, optionsOf(flags, signal)),
  },
  resume: {
    description: 'Let a suspended tenant in again.',
    about: '<NAME>',
    options: withReason,
    act: (tenants, name, flags, signal) => tenants.resume(name, optionsOf(flags, signal)),
  },
  delete: {
    description: 'Delete a tenant with all its data, and say how many keys that were.',
    about: '<NAME>',
    options: withReason,
    act: async (tenants, name, flags, signal) =>
      printFacts({ deleted: await tenants.delete(name, optionsOf(flags, signal)) }, flags),
  },
  audit: {
    description: 'Show what was done to a tenant, or to all, also those that are gone.',
    about: '[NAME]',
    act: async (tenants, name, { json }, signal) => {
      for (const event of await tenants.audit(name || undefined, { signal })) {
        const { tenant, action, reason = '', interrupted } = event;
        const why = interrupted ? `${reason} (interrupted)` : reason;
        const line = `${when(event)}  ${action.padEnd(7)}  ${tenant}  ${why.trimStart()}`;
        if (!(await print(json ? JSON.stringify(event) : printable(line)))) return;
      }
    },
  },
};

async function show(
  tenants: Tenants,
  name: string,
  flags: TenantFlags,
  signal: AbortSignal,
): Promise<void> {
  const tenant = await tenants.get(name, { signal });
  if (!tenant) throw new ConflictError(`there is no tenant ${name}`);
  const usage = await tenants.usage(name, { signal });
  if (flags.json) {
    await print(JSON.stringify({ ...tenant, usage }));
    return;
  }
  const { prefix, user = null, created, quota } = tenant;
  const of = (what: keyof Quota): string =>
    `${usage[what]}${quota[what] === undefined ? '' : ` of ${quota[what]}`}`;
  const facts = { state: stateOf(tenant), prefix, user, created: when(created) };
  await printFacts({ ...facts, keys: of('keys'), bytes: of('bytes') }, flags);
}

/** Adds `tenant`. */
export function addTenants(program: Command, done: Done): void {
  const parent = program
    .command('tenant')
    .description('Those who share one etcd: create, see, suspend and delete them.')
    .addHelpText('after', HELP);
  for (const [
    verb,
    { description, about, options = (each: Command): Command => each, act },
  ] of Object.entries(verbs)) {
    const command = withConnectionOptions(options(parent.command(verb)))
      .description(description)
      .option('--json', 'print JSON');
    if (about) command.argument(about, 'of the tenant');
    command.action(async (...args: readonly unknown[]) => {
      const [name, flags] = about ? args : ['', ...args];
      const given = flags as TenantFlags;
      await atPlace(given, (place, signal) =>
        act(place.tenants, (name as string | undefined) ?? '', given, signal),
      );
      done(EXIT.done);
    });
  }
}

function lineOf(tenant: TenantInfo): string {
  const { name, quota } = tenant;
  const limits = Object.entries(quota).map(([what, limit]) => `${limit} ${what}`);
  return `${name.padEnd(20)}  ${stateOf(tenant).padEnd(10)}  ${limits.join(', ') || '-'}`;
}

function stateOf({ state, unfinished }: TenantInfo): string {
  return unfinished
    ? `${state} (${unfinished.action} unfinished since ${when(unfinished)})`
    : state;
}

function when({ at, by }: Stamp): string {
  return `${new Date(at).toISOString()} by ${by ? (by.label ?? `${by.host}/${by.pid}`) : '-'}`;
}
