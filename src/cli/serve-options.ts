import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { ArgumentError } from '../core/store/errors.js';
import type { InProcessOptions } from '../embed/index.js';
import { LONGEST_SOCKET_PATH } from '../embed/validate.js';
import { EXIT } from './exit-codes.js';
import { whole } from './numbers.js';
import { type ServeTlsFlags, tlsFiles } from './serve-tls.js';

/** What the command line says about what to serve. */
export interface ServeFlags extends ServeTlsFlags {
  readonly port: number;
  readonly host: string;
  readonly socket?: string;
  readonly keepRevisions: number;
}

const HELP = `
Prints the endpoint on a line of its own when it serves. By default that is where the other commands,
and etcdctl, look for etcd by themselves; otherwise give it to them with --endpoints or ETCDCTL_ENDPOINTS.

Examples:
  etcd-recipes serve                          # elsewhere: etcd-recipes lock backup -- ./backup.sh
  etcd-recipes serve --port 2390              # elsewhere, with ETCDCTL_ENDPOINTS=http://127.0.0.1:2390
  etcd-recipes serve --socket /tmp/etcd.sock  # elsewhere, with ETCDCTL_ENDPOINTS=unix:/tmp/etcd.sock

Exit status:
  ${EXIT.done}   ended by SIGINT, SIGTERM, SIGHUP or SIGQUIT; a second one ends it at once, with 128+n for signal n
  ${EXIT.usage}  wrong usage
  ${EXIT.unavailable}  cannot listen there, because somebody else does or the system does not allow it
  ${EXIT.internal}  a defect in etcd-recipes`;

/** Adds the options of `serve`. */
export function withServeOptions(command: Command): Command {
  return command
    .option('--port <n>', 'where to listen; 0 for a free port', whole('--port', 0, 65_535), 2379)
    .option('--host <address>', 'an IP address of this machine, or localhost', '127.0.0.1')
    .addOption(
      new Option('--socket <path>', 'listen on a Unix socket instead').conflicts(['port', 'host']),
    )
    .option('--cert <file>', 'our certificate (PEM): turns TLS on')
    .option('--key <file>', 'the private key of --cert (PEM)')
    .option('--cacert <file>', 'who signed the certificates (PEM); default: --cert itself')
    .option('--client-cert-auth', 'ask clients for a certificate signed by --cacert')
    .option(
      '--keep-revisions <n>',
      'how much history to keep; 0 for all of it',
      whole('--keep-revisions', 0, Number.MAX_SAFE_INTEGER),
      100_000,
    )
    .addHelpText('after', HELP);
}

/**
 * Turns the command line into options of the server.
 *
 * @throws ArgumentError naming the first option that is not usable.
 */
export function serveOptions(flags: ServeFlags): InProcessOptions {
  const tls = tlsFiles(flags);
  const { keepRevisions: retention } = flags;
  return {
    listenClientUrls: [urlOf(flags, tls ? 'https' : 'http')],
    ...(tls && { tls }),
    ...(retention > 0 && { autoCompaction: { mode: 'revision', retention } }),
  };
}

function urlOf({ socket, host, port }: ServeFlags, scheme: string): string {
  if (socket !== undefined) return `unix:${socketPath(socket)}`;
  const version = isIP(host);
  if ((version === 0 && host !== 'localhost') || host.includes('%')) {
    throw new ArgumentError('--host', 'an IP address or localhost', host);
  }
  return `${scheme}://${version === 6 ? `[${host.toLowerCase()}]` : host}:${port}`;
}

/** Clients may have another working directory. */
function socketPath(given: string): string {
  const path = resolve(given);
  if (given === '' || Buffer.byteLength(path) > LONGEST_SOCKET_PATH) {
    throw new ArgumentError(
      '--socket',
      `a path of at most ${LONGEST_SOCKET_PATH} bytes`,
      given && path,
    );
  }
  if (!existsSync(dirname(path))) {
    throw new ArgumentError('--socket', 'a path in a directory that exists', path);
  }
  return path;
}
