import type { Metadata } from '@grpc/grpc-js';
import { ClosedError, type EndpointFailure, UnavailableError } from '../store/errors.js';
import { Backoff } from '../time/backoff.js';
import type { Clock } from '../time/clock.js';
import { abortable, waitScope } from '../time/signals.js';
import { discover, membersOf, type SrvOptions } from './discovery.js';
import { Endpoint } from './endpoint.js';
import { checkEndpoint, type Etcd3Options } from './options.js';
import { type IsWell, Rotation } from './rotation.js';
import { TlsSource } from './tls.js';

/** By then, in milliseconds, calls at an endpoint that was replaced have ended. */
const longestCall = 60_000;

/**
 * The members of the cluster as endpoints: those given, found by name, or told by the cluster itself. Keeps their
 * certificates up to date.
 */
export class Members {
  readonly rotation: Rotation;
  readonly #options: Etcd3Options;
  readonly #clock: Clock;
  readonly #metadata: Metadata;
  readonly #tls: TlsSource | undefined;
  readonly #srv: SrvOptions | undefined;
  #looking: Promise<string[]> | undefined;
  /** No longer used, but calls may be on their way: with how to stop waiting for those. */
  readonly #retired = new Map<Endpoint, () => void>();
  #stopSync = (): void => {};
  readonly #life = new AbortController();

  /** @param metadata - goes with every request */
  constructor(options: Etcd3Options, clock: Clock, metadata: Metadata, isWell: IsWell) {
    const { tls, discoverySrv: srv, endpoints = [] } = options;
    this.#options = options;
    this.#clock = clock;
    this.#metadata = metadata;
    this.#tls = tls && new TlsSource(tls, clock);
    this.#srv = typeof srv === 'string' ? { domain: srv } : srv;
    this.rotation = new Rotation(this.#made(endpoints), clock, isWell);
  }

  /**
   * Looks the endpoints up where that is due, until there are some.
   *
   * @throws UnavailableError at the deadline, telling what was looked for in vain.
   */
  async find(deadline: number, signal?: AbortSignal): Promise<void> {
    if (this.rotation.endpoints.length > 0) return;
    const timeout = Math.max(0, deadline - this.#clock.now());
    const life = this.#life.signal;
    // A name server that is silent is asked for longer than anybody wants to wait.
    const scope = waitScope({ timeout, ...(signal && { signal }) }, life, this.#clock);
    const pause = new Backoff();
    let cause = new Error('no answer');
    try {
      while (this.rotation.endpoints.length === 0) {
        try {
          await abortable(this.#lookUp(), scope.signal);
        } catch (error) {
          scope.signal.throwIfAborted();
          cause = error as Error;
          await this.#clock.sleep(pause.next(), scope.signal);
        }
      }
    } catch {
      signal?.throwIfAborted();
      life.throwIfAborted();
      throw this.#notFound(cause);
    } finally {
      scope.dispose();
    }
  }

  /** Looks the endpoints up again in the background, if they were found by name: others may have taken their place. */
  lookUpAgain(): void {
    this.#lookUp().catch(() => {});
  }

  /** Has new connections made with what the files of certificates hold now. */
  async refreshTls(): Promise<void> {
    if (!(await this.#tls?.refresh())) return;
    for (const endpoint of this.rotation.endpoints) {
      if (endpoint.isSecure) endpoint.renew(this.#tls?.material);
    }
  }

  /** Asks for the cluster's members from now on, as often as the options say. */
  keepInSync(ask: (ask: typeof membersOf) => Promise<string[]>): void {
    const { syncInterval = 0 } = this.#options;
    if (syncInterval === 0 || this.#life.signal.aborted) return;
    const sync = async (): Promise<void> => {
      try {
        this.#use(await ask(membersOf));
      } catch {
        // Where nobody answers, or tells what we can use, the endpoints that we have are the best that we know of.
      }
      this.keepInSync(ask);
    };
    this.#stopSync = this.#clock.after(syncInterval, () => void sync());
  }

  close(): void {
    this.#life.abort(new ClosedError('store'));
    this.#stopSync();
    this.rotation.close();
    for (const stop of this.#retired.values()) stop();
    for (const endpoint of [...this.rotation.endpoints, ...this.#retired.keys()]) endpoint.close();
  }

  /** Whoever comes while another is at it waits for that. */
  async #lookUp(): Promise<void> {
    const srv = this.#srv;
    if (!srv) return;
    this.#looking ??= discover(srv).finally(() => {
      this.#looking = undefined;
    });
    this.#use(await this.#looking);
  }

  #notFound(cause: Error): UnavailableError {
    const endpoint = this.#srv?.domain ?? '';
    const { message } = cause;
    const failure: EndpointFailure = { endpoint, phase: 'discovery', status: 'NOT_FOUND', message };
    return new UnavailableError('not-applied', [failure], { cause });
  }

  #use(names: readonly string[]): void {
    if (this.#life.signal.aborted || names.length === 0) return;
    const present = new Map(this.rotation.endpoints.map((each) => [each.id, each]));
    // Members behind one address are one endpoint to us.
    const endpoints = new Map<string, Endpoint>();
    for (const name of names) {
      const endpoint = this.#endpoint(name);
      endpoints.set(endpoint.id, present.get(endpoint.id) ?? endpoint);
    }
    for (const gone of this.rotation.replace([...endpoints.values()])) this.#retire(gone);
  }

  #retire(endpoint: Endpoint): void {
    const close = (): void => {
      this.#retired.delete(endpoint);
      endpoint.close();
    };
    this.#retired.set(endpoint, this.#clock.after(longestCall, close));
  }

  #made(names: readonly string[]): Endpoint[] {
    const endpoints = names.map((name) => this.#endpoint(name));
    if (!this.#options.shuffle) return endpoints;
    const first = Math.floor(Math.random() * endpoints.length);
    return [...endpoints.slice(first), ...endpoints.slice(0, first)];
  }

  #endpoint(name: string): Endpoint {
    const { tls, transport = 'http2', maxReceiveBytes, maxSendBytes = 2 * 2 ** 20 } = this.#options;
    checkEndpoint('endpoint', name, false);
    const [, scheme, address = name] = /^(?:(https?):\/\/)?([^/]+)\/?$/.exec(name) ?? [];
    const secure = scheme === 'https' || (scheme === undefined && tls !== undefined);
    const material = secure ? (this.#tls?.material ?? {}) : undefined;
    const metadata = this.#metadata;
    return new Endpoint({
      name,
      address,
      tls: material,
      metadata,
      transport,
      maxReceiveBytes,
      maxSendBytes,
    });
  }
}
