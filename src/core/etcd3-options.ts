import { ArgumentError } from './errors.js';
import { milliseconds, nonEmpty } from './validate.js';

/** Certificates for TLS, as PEM. */
export interface TlsOptions {
  /** Who signed the members' certificates. @defaultValue the authorities that Node trusts */
  readonly ca?: string | Uint8Array;
  /** Our own certificate, where members ask for one; needs `key`. */
  readonly cert?: string | Uint8Array;
  /** The private key of `cert`. */
  readonly key?: string | Uint8Array;
}

/** How to reach etcd. */
export interface Etcd3Options {
  /**
   * The members, as `host:port`, `http://host:port`, `https://host:port`, or `unix:/path` for a socket on this
   * machine. The first is used while it answers, the others when it fails.
   */
  readonly endpoints: readonly string[];
  /** TLS for `https` endpoints, for those without a scheme, and for sockets. @defaultValue no TLS without `https` */
  readonly tls?: TlsOptions;
  /** User and password, where etcd asks for them. */
  readonly auth?: { readonly user: string; readonly password: string };
  /** Limit for one call with all its attempts, in milliseconds. @defaultValue 5,000 */
  readonly timeout?: number;
  /** Limit for one attempt before another endpoint is tried, in milliseconds. @defaultValue 1,000 */
  readonly attemptTimeout?: number;
}

const usable = /^((https?:\/\/)?[^/\s]+:\d+\/?|unix:(\/\/)?\/[^/].*)$/;

/** Checks what a user gave. @throws ArgumentError naming the first option that is not usable. */
export function checkEtcd3Options(options: Etcd3Options): void {
  const { endpoints, tls, auth } = options;
  if (!Array.isArray(endpoints) || endpoints.length === 0) {
    throw new ArgumentError('endpoints', 'a non-empty list of host:port', endpoints);
  }
  for (const endpoint of endpoints) {
    if (typeof endpoint !== 'string' || !usable.test(endpoint)) {
      throw new ArgumentError(
        'endpoints',
        'host:port, http://host:port, https://host:port or unix:/path',
        endpoint,
      );
    }
    if (tls && endpoint.startsWith('http://')) {
      throw new ArgumentError('endpoints', 'https://host:port (or no scheme) with tls', endpoint);
    }
  }
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    throw new ArgumentError('tls', 'given both cert and key, or neither', Object.keys(tls ?? {}));
  }
  if (auth) {
    nonEmpty('auth.user', auth.user);
    nonEmpty('auth.password', auth.password);
  }
  milliseconds('timeout', options.timeout ?? 1, 1);
  milliseconds('attemptTimeout', options.attemptTimeout ?? 1, 1);
}
