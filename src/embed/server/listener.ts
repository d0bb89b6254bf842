import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { ServerCredentials } from '@grpc/grpc-js';
import type { EtcdTlsFiles } from '../shared-options.js';

/** Takes connections at one URL. It does not keep this process alive, nor do its connections. */
export class Listener {
  /** Where clients connect, with the port that was found. */
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  /**
   * Listens.
   *
   * @throws Error with `code` `EADDRINUSE` when somebody else does.
   */
  static async open(url: string, accept: (socket: Socket) => void): Promise<Listener> {
    const server = createServer({ noDelay: true });
    const where = url.startsWith('unix:')
      ? { path: url.replace(/^unix:(\/\/)?/, '') }
      : { host: new URL(url).hostname.replace(/^\[|\]$/g, ''), port: portOf(url) };
    server.listen(where);
    await once(server, 'listening');
    server.unref();
    const address = server.address() as AddressInfo | string;
    const found = typeof address === 'string' ? url : url.replace(/:\d*\/?$/, `:${address.port}`);
    const listener = new Listener(server, found);
    server.on('connection', (socket) => {
      socket.unref();
      listener.#sockets.add(socket);
      socket.once('close', () => listener.#sockets.delete(socket));
      accept(socket);
    });
    return listener;
  }

  /** How many are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Takes no more connections and ends those that there are. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** What a server shows to its clients. */
export async function credentials(tls: EtcdTlsFiles | undefined): Promise<ServerCredentials> {
  if (!tls) return ServerCredentials.createInsecure();
  const [cert, key, ca] = await Promise.all(
    [tls.cert, tls.key, tls.ca ?? tls.cert].map((file) => readFile(file)),
  );
  const pair = { cert_chain: cert as Buffer, private_key: key as Buffer };
  return ServerCredentials.createSsl(ca as Buffer, [pair], tls.clientCertAuth ?? false);
}

/** `URL` leaves out a port that is usual for the scheme. */
function portOf(url: string): number {
  return Number(/:(\d+)\/?$/.exec(url)?.[1] ?? 0);
}
