import type { IDuplexStream, ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from 'etcd3';
import type { Clock } from './clock.js';
import { ClosedError, UnavailableError } from './errors.js';
import type { Endpoint } from './etcd3-endpoint.js';
import type { EndpointPool } from './etcd3-pool.js';
import { failureOf } from './etcd3-status.js';
import { SteadyStream, type StreamUser } from './etcd3-stream.js';
import { abortable } from './signals.js';
import type { CallOptions } from './store.js';
import { tell } from './trace.js';

interface Renewal {
  resolve(ttl: number): void;
  reject(error: Error): void;
  met(): void;
}

/** Renews all leases of a process over one stream. */
export class KeepAlives implements StreamUser<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse> {
  readonly #stream: SteadyStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>;
  readonly #attemptTimeout: number;
  /** Renewals on their way. Answers of one lease come in the order of its requests. */
  readonly #pending = new Map<string, Renewal[]>();
  #closed = false;

  constructor(pool: EndpointPool, clock: Clock) {
    this.#stream = new SteadyStream(pool, clock, this);
    this.#attemptTimeout = pool.attemptTimeout;
  }

  /** Renews once; gives the milliseconds the lease now has, 0 if it is gone. */
  async renew(lease: bigint, options: CallOptions): Promise<number> {
    if (this.#closed) throw new ClosedError('store');
    const id = String(lease);
    const { signal, timeout = this.#attemptTimeout } = options;
    const renewal = new Promise<number>((resolve, reject) => {
      // A renewal given up keeps its place: its answer must not be taken for that of a later one,
      // which would count the lease's time from a request sent too late.
      const met = this.#stream.expect(timeout);
      const waiting = this.#pending.get(id) ?? [];
      waiting.push({ resolve, reject, met });
      this.#pending.set(id, waiting);
    });
    this.#stream.send({ ID: id });
    return signal ? abortable(renewal, signal) : renewal;
  }

  open(
    endpoint: Endpoint,
  ): Promise<IDuplexStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>> {
    return endpoint.leases.leaseKeepAlive();
  }

  opened(): void {
    for (const [id, waiting] of this.#pending) {
      for (const _ of waiting) this.#stream.send({ ID: id });
    }
  }

  data({ ID, TTL }: ILeaseKeepAliveResponse): void {
    const waiting = this.#pending.get(ID);
    const renewal = waiting?.shift();
    if (waiting?.length === 0) this.#pending.delete(ID);
    renewal?.met();
    renewal?.resolve(Number(TTL) * 1_000);
  }

  lost(endpoint: string, error: unknown): void {
    tell('restart', () => ({ stream: 'keep-alive', endpoint, error }));
    this.#rejectAll(new UnavailableError('unknown', [failureOf(endpoint, error)]));
  }

  needed(): boolean {
    return this.#pending.size > 0;
  }

  close(): void {
    this.#closed = true;
    this.#stream.close();
    this.#rejectAll(new ClosedError('store'));
  }

  #rejectAll(error: Error): void {
    const renewals = [...this.#pending.values()].flat();
    this.#pending.clear();
    for (const renewal of renewals) {
      renewal.met();
      renewal.reject(error);
    }
  }
}
