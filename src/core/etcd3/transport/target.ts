import { connect as connectTcp, isIP, type Socket } from 'node:net';
import {
  checkServerIdentity,
  connect as connectTls,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';

/** What TLS needs, as PEM. */
export interface TlsMaterial {
  /** Who signed the server's certificate. @defaultValue the authorities that Node trusts */
  readonly ca?: Buffer;
  /** Our own certificate; needs `key`. */
  readonly cert?: Buffer;
  /** The private key of `cert`. */
  readonly key?: Buffer;
  /** The name asked for, and expected in the server's certificate. @defaultValue the host connected to */
  readonly serverName?: string;
}

/** Where a server is, and how it is connected to. */
export class Target {
  /** As requests name the server. */
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  readonly #where: { readonly path: string } | { readonly host: string; readonly port: number };
  readonly #serverName: string | undefined;
  readonly #context: SecureContext | undefined;

  /**
   * @param address - `host:port`, or `unix:` and a path
   * @throws Error if certificates cannot be read.
   */
  constructor(address: string, tls: TlsMaterial | undefined) {
    const [, host = 'localhost', port] = /^\[?(.+?)\]?:(\d+)$/.exec(address) ?? [];
    const isPath = address.startsWith('unix:');
    this.#where = isPath
      ? { path: address.replace(/^unix:(\/\/)?/, '') }
      : { host, port: Number(port) };
    this.authority = isPath ? 'localhost' : address;
    this.scheme = tls ? 'https' : 'http';
    const name = isPath ? 'localhost' : host;
    this.#serverName = tls && (tls.serverName ?? name);
    const { ca, cert, key } = tls ?? {};
    this.#context =
      tls && createSecureContext({ ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) });
  }

  /** Begins to connect. */
  connect(): Socket | TLSSocket {
    const serverName = this.#serverName;
    if (serverName === undefined) return connectTcp({ ...this.#where, noDelay: true });
    const socket = connectTls({
      ...this.#where,
      ...(this.#context && { secureContext: this.#context }),
      ALPNProtocols: ['h2'],
      // The name that is asked for in TLS must not be an address.
      ...(isIP(serverName) ? {} : { servername: serverName }),
      checkServerIdentity: (_, certificate) => checkServerIdentity(serverName, certificate),
    });
    socket.setNoDelay(true);
    return socket;
  }
}
