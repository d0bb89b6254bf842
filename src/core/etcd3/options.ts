import { ArgumentError } from '../store/errors.js';
import { milliseconds, nonEmpty, wholeFrom } from '../validate.js';
import type { SrvOptions } from './discovery.js';

/** Certificates for TLS: as PEM, or as files that are read again when they change. */
export interface TlsOptions {
  /** Who signed the members' certificates. @defaultValue the authorities that Node trusts */
  readonly ca?: string | Uint8Array;
  /** Our own certificate, where members ask for one; needs a key. */
  readonly cert?: string | Uint8Array;
  /** The private key of the certificate. */
  readonly key?: string | Uint8Array;
  /** Path of a file to take `ca` from. */
  readonly caFile?: string;
  /** Path of a file to take `cert` from. */
  readonly certFile?: string;
  /** Path of a file to take `key` from. */
  readonly keyFile?: string;
  /** The name that members' certificates must have. @defaultValue the host of the endpoint */
  readonly serverName?: string;
}

/** How to reach etcd. */
export interface Etcd3Options {
  /**
   * The members, as `host:port`, `http://host:port`, `https://host:port`, or `unix:/path` for a socket on this
   * machine. One is used while it answers, the others when it fails. Either this or `discoverySrv` is needed.
   */
  readonly endpoints?: readonly string[] | undefined;
  /** Finds the members by the SRV records of a domain instead. They are looked up again when no member answers. */
  readonly discoverySrv?: string | SrvOptions;
  /** Begins with any endpoint instead of the first, so that many clients spread over the members. @defaultValue `false` */
  readonly shuffle?: boolean;
  /**
   * Asks the cluster every so many milliseconds for its members, and uses the endpoints they tell from then on.
   * @defaultValue 0, never: what members tell may not be reachable from here
   */
  readonly syncInterval?: number;
  /** TLS for `https` endpoints, for those without a scheme, and for sockets. @defaultValue no TLS without `https` */
  readonly tls?: TlsOptions;
  /** User and password, where etcd asks for them. */
  readonly auth?: { readonly user: string; readonly password: string };
  /** Limit for one call with all its attempts, in milliseconds. @defaultValue 5,000 */
  readonly timeout?: number;
  /**
   * Limit for one attempt before another endpoint is tried, in milliseconds; longer once all endpoints have needed
   * more. @defaultValue 500
   */
  readonly attemptTimeout?: number;
  /** Bytes of the largest request that is sent. @defaultValue 2 MiB; etcd itself takes 1.5 MiB unless told otherwise */
  readonly maxSendBytes?: number;
  /**
   * Bytes of the largest reply that is taken. A watch is told in parts of up to 2 MiB what is larger, so it needs as much.
   * @defaultValue no limit; for watches 64 MiB over `http2`
   */
  readonly maxReceiveBytes?: number;
  /** Operations that one transaction may have, as `--max-txn-ops` of the members. @defaultValue 128 */
  readonly maxTxnOps?: number;
  /**
   * What carries calls: `http2` is lean, `grpc` the library of the gRPC project. Watches and leases always use the latter.
   * @defaultValue `'http2'`
   */
  readonly transport?: 'http2' | 'grpc';
}

const usable = /^((https?:\/\/)?[^/\s]+:\d+\/?|unix:(\/\/)?\/[^/].*)$/;

/** Checks what a user gave. @throws ArgumentError naming the first option that is not usable. */
export function checkEtcd3Options(options: Etcd3Options): void {
  checkEndpoints(options);
  checkTls(options.tls);
  const { auth, transport = 'http2' } = options;
  if (auth) {
    nonEmpty('auth.user', auth.user);
    nonEmpty('auth.password', auth.password);
  }
  if (transport !== 'http2' && transport !== 'grpc') {
    throw new ArgumentError('transport', "'http2' or 'grpc'", transport);
  }
  milliseconds('timeout', options.timeout ?? 1, 1);
  milliseconds('attemptTimeout', options.attemptTimeout ?? 1, 1);
  milliseconds('syncInterval', options.syncInterval ?? 0);
  for (const option of ['maxSendBytes', 'maxReceiveBytes', 'maxTxnOps'] as const) {
    const value = options[option];
    if (value !== undefined) wholeFrom(1, option, value);
  }
}

/** Passes an endpoint or throws. @throws ArgumentError unless it is of one of the forms that are known. */
export function checkEndpoint(option: string, endpoint: string, tls: boolean): string {
  if (typeof endpoint !== 'string' || !usable.test(endpoint)) {
    const expected = 'host:port, http://host:port, https://host:port or unix:/path';
    throw new ArgumentError(option, expected, endpoint);
  }
  if (tls && endpoint.startsWith('http://')) {
    throw new ArgumentError(option, 'https://host:port (or no scheme) with tls', endpoint);
  }
  return endpoint;
}

function checkEndpoints({ endpoints, discoverySrv, tls }: Etcd3Options): void {
  if (discoverySrv !== undefined) {
    if (endpoints !== undefined) {
      throw new ArgumentError('endpoints', 'left out with discoverySrv', endpoints);
    }
    const srv = typeof discoverySrv === 'string' ? { domain: discoverySrv } : discoverySrv;
    nonEmpty('discoverySrv', srv?.domain);
    if (srv.name !== undefined) nonEmpty('discoverySrv.name', srv.name);
    return;
  }
  if (!Array.isArray(endpoints) || endpoints.length === 0) {
    throw new ArgumentError('endpoints', 'a non-empty list of host:port', endpoints);
  }
  for (const endpoint of endpoints) checkEndpoint('endpoints', endpoint, tls !== undefined);
}

function checkTls(tls: TlsOptions = {}): void {
  for (const part of ['ca', 'cert', 'key'] as const) {
    const file = `${part}File` as const;
    if (tls[file] === undefined) continue;
    nonEmpty(`tls.${file}`, tls[file]);
    if (tls[part] !== undefined) {
      throw new ArgumentError('tls', `given ${part} or ${file}, not both`, Object.keys(tls));
    }
  }
  if (tls.serverName !== undefined) nonEmpty('tls.serverName', tls.serverName);
  if (((tls.cert ?? tls.certFile) === undefined) !== ((tls.key ?? tls.keyFile) === undefined)) {
    throw new ArgumentError('tls', 'given both cert and key, or neither', Object.keys(tls));
  }
}
