import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { ArgumentError } from '../core/store/errors.js';
import { FaultFlow, type FlowRules, HEALTHY, reset } from './fault-flow.js';

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

/** Where a proxy dials: a TCP address or a Unix socket. */
type Address = { readonly host: string; readonly port: number } | { readonly path: string };

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
  readonly #target: Address;
  readonly #toServer: FlowRules = { ...HEALTHY };
  readonly #toClient: FlowRules = { ...HEALTHY };
  readonly #links = new Set<Link>();
  #cut = false;

  private constructor(listener: Server, target: Address) {
    this.#listener = listener;
    this.#target = target;
    this.endpoint = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
    listener.on('connection', (client) => this.#accept(client));
    listener.unref();
  }

  /**
   * Starts a proxy to `target`: `host:port` or a URL with a port, on this machine or any other, or the path of a
   * Unix socket as `unix:/path`. It need not answer yet. The proxy passes TLS through; the server's certificate
   * must then be valid for 127.0.0.1.
   * @throws ArgumentError when `target` is none of these
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
    const withheld = this.#rulesOf(direction);
    for (const rules of this.#rulesOf('both')) rules.withheld = withheld.includes(rules);
    this.#update();
  }

  /**
   * Makes everything take this many milliseconds, until `heal()` or another delay; the direction that is not named
   * stays as it is.
   * @throws ArgumentError when `latency` is not a finite number >= 0
   */
  delay(latency: number, direction: FaultDirection = 'both'): void {
    if (!(Number.isFinite(latency) && latency >= 0)) {
      throw new ArgumentError('latency', 'a finite number of milliseconds >= 0', latency);
    }
    for (const rules of this.#rulesOf(direction)) rules.delay = latency;
    this.#update();
  }

  /**
   * Lets at most so many bytes per second pass on each connection, until `heal()` or another rate; the direction
   * that is not named stays as it is. What cannot pass yet waits with the sender but for about 64 KiB. `Infinity` is no
   * limit.
   * @throws ArgumentError when `bytesPerSecond` is not a number > 0
   */
  throttle(bytesPerSecond: number, direction: FaultDirection = 'both'): void {
    if (!(typeof bytesPerSecond === 'number' && bytesPerSecond > 0)) {
      throw new ArgumentError('bytesPerSecond', 'a number > 0', bytesPerSecond);
    }
    for (const rules of this.#rulesOf(direction)) rules.rate = bytesPerSecond;
    this.#update();
  }

  /** Ends every fault: new connections work, and what was held back is delivered at once, in order. */
  heal(): void {
    this.#cut = false;
    for (const rules of this.#rulesOf('both')) Object.assign(rules, HEALTHY);
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

  #rulesOf(direction: FaultDirection): readonly FlowRules[] {
    if (direction === 'both') return [this.#toServer, this.#toClient];
    if (direction === 'to-server') return [this.#toServer];
    if (direction === 'to-client') return [this.#toClient];
    throw new ArgumentError('direction', "'both', 'to-server' or 'to-client'", direction);
  }

  #update(): void {
    for (const flow of [...this.#links].flatMap((link) => link.flows)) {
      flow.update();
    }
  }

  #reset(): void {
    for (const { client, server } of this.#links) {
      reset(client);
      reset(server);
    }
  }
}

function parse(target: string): Address {
  const [, path] = /^unix:(?:\/\/)?(\/.+)$/.exec(target) ?? [];
  if (path !== undefined) return { path };
  // With its own scheme a URL would lose a port that is the default there.
  const text = `tcp://${target.replace(/^[a-z]+:\/\//i, '')}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === '' || url.port === '') {
    throw new ArgumentError('target', 'host:port, a URL with a port, or unix:/path', target);
  }
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) };
}
