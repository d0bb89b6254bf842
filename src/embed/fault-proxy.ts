import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { ArgumentError } from '../core/errors.js';
import { FaultFlow, type FlowRules } from './fault-flow.js';

/** How a fault proxy is started. */
export interface FaultProxyOptions {
  /**
   * Port to listen on at 127.0.0.1.
   * @defaultValue a free one
   */
  readonly port?: number;
}

/** Which way a fault applies: what clients send, what the server sends, or both. */
export type FaultDirection = 'both' | 'to-server' | 'to-client';

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  readonly flows: readonly FaultFlow[];
}

/**
 * A TCP proxy on 127.0.0.1 that can make the network between clients and one server fail. It does not keep this
 * process alive.
 */
export class FaultProxy {
  /** Where clients connect, as `127.0.0.1:<port>`. */
  readonly endpoint: string;
  readonly #listener: Server;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #toServer: FlowRules = { withheld: false, delay: 0 };
  readonly #toClient: FlowRules = { withheld: false, delay: 0 };
  readonly #links = new Set<Link>();
  #cut = false;

  private constructor(listener: Server, target: { host: string; port: number }) {
    this.#listener = listener;
    this.#target = target;
    this.endpoint = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
    listener.on('connection', (client) => this.#accept(client));
    listener.unref();
  }

  /**
   * Starts a proxy to `target`, which is `host:port` or a URL with a port; it need not answer yet.
   * @throws ArgumentError when `target` is neither
   * @throws Error with `code` `EADDRINUSE` when the port is taken
   */
  static async start(target: string, options: FaultProxyOptions = {}): Promise<FaultProxy> {
    const address = parse(target);
    const listener = createServer({ allowHalfOpen: true, noDelay: true });
    listener.listen({ host: '127.0.0.1', port: options.port ?? 0 });
    await once(listener, 'listening');
    return new FaultProxy(listener, address);
  }

  /** Client connections that are open now. */
  get connections(): number {
    return this.#links.size;
  }

  /** Resets every connection, and each new one as soon as it is made, until `heal()`. */
  cut(): void {
    this.#cut = true;
    this.#reset();
  }

  /**
   * Lets nothing pass, as in a network partition: connections stay open and silent, and so do new ones. What is
   * sent meanwhile is not lost: as TCP would retransmit it, it arrives after `heal()`.
   */
  blackhole(direction: FaultDirection = 'both'): void {
    this.#toServer.withheld = direction !== 'to-client';
    this.#toClient.withheld = direction !== 'to-server';
    this.#update();
  }

  /** Makes everything take this many milliseconds in each direction, until `heal()` or another delay. */
  delay(latency: number): void {
    if (!Number.isFinite(latency) || latency < 0) {
      throw new ArgumentError('latency', 'a finite number of milliseconds >= 0', latency);
    }
    this.#toServer.delay = latency;
    this.#toClient.delay = latency;
    this.#update();
  }

  /** Ends every fault: new connections work, and what was withheld or delayed is delivered at once, in order. */
  heal(): void {
    this.#cut = false;
    Object.assign(this.#toServer, { withheld: false, delay: 0 });
    Object.assign(this.#toClient, { withheld: false, delay: 0 });
    this.#update();
  }

  /** Resets every connection and listens no more. */
  async close(): Promise<void> {
    if (this.#listener.listening) {
      const closed = once(this.#listener, 'close');
      this.#listener.close();
      this.#reset();
      await closed;
    }
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #accept(client: Socket): void {
    if (this.#cut) {
      client.on('error', () => {}).resetAndDestroy();
      return;
    }
    const server = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    const link = {
      client,
      server,
      flows: [
        new FaultFlow(client, server, this.#toServer),
        new FaultFlow(server, client, this.#toClient),
      ],
    };
    client.unref();
    server.unref();
    this.#links.add(link);
    client.once('close', () => this.#links.delete(link));
  }

  #update(): void {
    for (const flow of [...this.#links].flatMap((link) => link.flows)) {
      flow.update();
    }
  }

  #reset(): void {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }
}

function parse(target: string): { host: string; port: number } {
  const text = target.includes('://') ? target : `tcp://${target}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === '' || url.port === '') {
    throw new ArgumentError('target', 'host:port or a URL with a port', target);
  }
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) };
}
