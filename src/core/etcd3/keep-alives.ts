import { status } from '@grpc/grpc-js';
import type { IDuplexStream, ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from 'etcd3';
import { checkCall } from '../commit/commit-limits.js';
import { ClosedError, UnavailableError } from '../store/errors.js';
import type { CallOptions } from '../store/store.js';
import type { Clock } from '../time/clock.js';
import { abortable } from '../time/signals.js';
import { tell } from '../trace.js';
import { checkNumber } from '../validate.js';
import type { Endpoint } from './endpoint.js';
import type { EndpointPool } from './pool.js';
import { failureOf, refusalOf } from './status.js';
import { SteadyStream, type StreamUser } from './stream.js';

interface Renewal {
  resolve(ttl: number): void;
  reject(error: Error): void;
  met(): void;
}

const nothing = (): void => {};

/** Renews all leases of a process over one stream. */
export class KeepAlives implements StreamUser<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse> {
  readonly #stream: SteadyStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>;
  readonly #pool: EndpointPool;
  readonly #clock: Clock;
  /** Renewals on their way. Answers of one lease come in the order of its requests. */
  readonly #pending = new Map<string, Renewal[]>();
  #closed = false;

  constructor(pool: EndpointPool, clock: Clock) {
    this.#stream = new SteadyStream(pool, clock, this);
    this.#pool = pool;
    this.#clock = clock;
  }

  /**
   * Renews once; gives the milliseconds the lease now has, 0 if it is gone. Whose `timeout` is over waits no more; silence of
   * `attemptTimeout` breaks the stream of all.
   *
   * @throws RefusedError if etcd refuses that time and again; ArgumentError if a limit is none.
   */
  async renew(lease: bigint, options: CallOptions): Promise<number> {
    if (this.#closed) throw new ClosedError('store');
    // One that cannot be ended or timed would end the stream for all leases.
    checkCall(options);
    checkNumber('lease', lease);
    const id = String(lease);
    const { signal, timeout, attemptTimeout } = options;
    const renewal = new Promise<number>((resolve, reject) => {
      // A renewal given up keeps its place: its answer must not be taken for that of a later one,
      // which would count the lease's time from a request sent too late.
      const heard = this.#stream.expect(attemptTimeout);
      const stop = timeout === undefined ? nothing : this.#after(timeout, reject);
      const met = (): void => {
        heard();
        stop();
      };
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

  lost(endpoint: string, error: unknown, forGood: boolean): void {
    tell('restart', () => ({ stream: 'keep-alive', endpoint, error }));
    const unknown = (): Error => new UnavailableError('unknown', [failureOf(endpoint, error)]);
    this.#rejectAll(forGood ? refusalOf(error) : unknown());
  }

  needed(): boolean {
    return this.#pending.size > 0;
  }

  close(): void {
    this.#closed = true;
    this.#stream.close();
    this.#rejectAll(new ClosedError('store'));
  }

  #after(timeout: number, reject: (error: Error) => void): () => void {
    // As for calls that are repeated: who asks may not have learned yet how slow all are, or that there is no connection.
    const ms = Math.max(timeout, 2 * this.#pool.patience.needed);
    return this.#clock.after(ms, () => {
      const late = { code: status.DEADLINE_EXCEEDED, details: `no answer within ${ms} ms` };
      reject(new UnavailableError('unknown', [failureOf('etcd', late)]));
    });
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
