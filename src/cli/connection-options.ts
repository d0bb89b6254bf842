import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { type ConnectOptions, type Coordinator, connect } from '../coordinator.js';
import { checkEtcd3Options, type Etcd3Options, type TlsOptions } from '../core/etcd3/options.js';
import { ArgumentError } from '../core/store/errors.js';

/** What the command line says about how to reach etcd. */
export interface ConnectionFlags {
  readonly endpoints?: string;
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly user?: string;
  readonly namespace?: string;
}

/** Adds the options that all commands have. */
export function withConnectionOptions(command: Command): Command {
  return command
    .option(
      '--endpoints <list>',
      'members as host:port, URLs or unix:/path, with commas between; default: $ETCDCTL_ENDPOINTS, else 127.0.0.1:2379',
    )
    .option('--cacert <file>', "who signed the members' certificates (PEM); $ETCDCTL_CACERT")
    .option('--cert <file>', 'our own certificate (PEM); $ETCDCTL_CERT')
    .option('--key <file>', 'the private key of --cert (PEM); $ETCDCTL_KEY')
    .option(
      '--user <name:password>',
      'user and password; $ETCDCTL_USER, and $ETCDCTL_PASSWORD if there is no colon',
    )
    .option('--namespace <prefix>', 'put this before every key');
}

/**
 * Turns the command line and the environment into options of the library; the command line comes first.
 *
 * @throws ArgumentError naming the first option that is not usable.
 */
export function connectionOptions(flags: ConnectionFlags): Etcd3Options {
  const tls = tlsOptions(flags);
  const auth = credentials(flags.user ?? env('ETCDCTL_USER'));
  const list = flags.endpoints ?? env('ETCDCTL_ENDPOINTS') ?? '127.0.0.1:2379';
  const options: Etcd3Options = {
    endpoints: list.split(',').map((endpoint) => endpoint.trim()),
    ...(tls && { tls }),
    ...(auth && { auth }),
  };
  checkEtcd3Options(options);
  if (flags.namespace === '') throw new ArgumentError('--namespace', 'a non-empty prefix', '');
  return options;
}

/** Connects as the command line says, and as `more` does. @throws as `connect`. */
export async function open(
  flags: ConnectionFlags,
  more?: Pick<ConnectOptions, 'session' | 'signal'>,
): Promise<Coordinator> {
  return connect({ ...connectionOptions(flags), ...more });
}

/** What the command line wants to see of it: all, or a namespace. */
export function viewOf(coordinator: Coordinator, { namespace }: ConnectionFlags): Coordinator {
  return namespace === undefined ? coordinator : coordinator.namespace(namespace);
}

function tlsOptions(flags: ConnectionFlags): TlsOptions | undefined {
  const ca = pem('--cacert', flags.cacert ?? env('ETCDCTL_CACERT'));
  const cert = pem('--cert', flags.cert ?? env('ETCDCTL_CERT'));
  const key = pem('--key', flags.key ?? env('ETCDCTL_KEY'));
  if (!ca && !cert && !key) return undefined;
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

/** Reads a file that an option names, if it does. @throws ArgumentError naming the option if it cannot be read. */
export function pem(option: string, file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ArgumentError(option, `a readable file (${code})`, file);
  }
}

function credentials(given: string | undefined): Etcd3Options['auth'] {
  if (given === undefined) return undefined;
  const [, user = given, password = env('ETCDCTL_PASSWORD')] = /^([^:]*):(.*)$/s.exec(given) ?? [];
  if (user && password) return { user, password };
  // The value may be half of a secret.
  throw new ArgumentError('--user', 'name:password, or a name with ETCDCTL_PASSWORD set', '...');
}

/** A variable that is set to nothing counts as not set, as with etcdctl. */
function env(name: string): string | undefined {
  return process.env[name] || undefined;
}
