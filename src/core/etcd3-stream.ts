import { status } from '@grpc/grpc-js';
import type { IDuplexStream } from 'etcd3';
import { Backoff } from './backoff.js';
import type { Clock } from './clock.js';
import type { Endpoint } from './etcd3-endpoint.js';
import type { EndpointPool } from './etcd3-pool.js';
import { judge } from './etcd3-status.js';

/** What travels over a steady stream, and what to do when it has to begin anew. */
export interface StreamUser<Request, Reply> {
  open(endpoint: Endpoint): Promise<IDuplexStream<Request, Reply>>;
  /** A new stream stands: send all that should be on it. */
  opened(): void;
  data(reply: Reply): void;
  /** The stream broke; what was on it got no answer. */
  lost(endpoint: string, error: unknown): void;
  /** Whether a stream that broke is to be opened again without a `send`. */
  needed(): boolean;
}

/**
 * One stream, opened when first needed at the best endpoint, and opened again at another when it breaks,
 * falls silent, or its endpoint is set aside.
 */
export class SteadyStream<Request, Reply> {
  readonly #pool: EndpointPool;
  readonly #clock: Clock;
  readonly #user: StreamUser<Request, Reply>;
  readonly #pause = new Backoff(20, 2_000);
  readonly #expected = new Set<() => void>();
  #stream: IDuplexStream<Request, Reply> | undefined;
  #endpoint: Endpoint | undefined;
  #heardAt = 0;
  #opening = false;
  #closed = false;

  constructor(pool: EndpointPool, clock: Clock, user: StreamUser<Request, Reply>) {
    this.#pool = pool;
    this.#clock = clock;
    this.#user = user;
    pool.onSetAside.add((endpoint) => this.#move(endpoint));
  }

  /** When it last said anything, by the clock; 0 if it never did. */
  get heardAt(): number {
    return this.#heardAt;
  }

  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  /** Sends on the open stream. Without one it says no and opens it; `opened` then decides what to send. */
  send(request: Request): boolean {
    if (this.#stream) this.#stream.write(request);
    else void this.#open();
    return this.isOpen;
  }

  /**
   * Breaks the stream if it says nothing at all for `ms`, until the function returned is called or the
   * stream has ended. Answers come in order: one that says anything is on its way to ours.
   */
  expect(ms: number): () => void {
    let stop: (() => void) | undefined;
    const met = (): void => {
      stop?.();
      this.#expected.delete(met);
    };
    const wait = (from: number): void => {
      stop = this.#clock.after(from + ms - this.#clock.now(), () => {
        const standstill = this.#clock.now() - (from + ms) > 20;
        // A timer may run before what has arrived is read.
        setImmediate(() => {
          if (!this.#expected.has(met)) return;
          if (this.#heardAt > from) wait(this.#heardAt);
          // While our own loop stood still, not even the request may have left.
          else if (standstill) wait(this.#clock.now());
          else this.fail({ code: status.DEADLINE_EXCEEDED, details: `nothing heard for ${ms} ms` });
        });
      });
    };
    this.#expected.add(met);
    wait(this.#clock.now());
    return met;
  }

  /** Gives the present stream up, as if it had broken. */
  fail(error: unknown): void {
    this.#break(this.#stream, error);
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  async #open(): Promise<void> {
    if (this.#opening || this.#closed) return;
    this.#opening = true;
    let endpoint: Endpoint | undefined;
    try {
      endpoint = this.#pool.pick();
      await this.#pool.login(endpoint);
      const stream = await this.#user.open(endpoint);
      this.#opening = false;
      if (this.#closed) {
        stream.on('error', () => {});
        stream.cancel();
        return;
      }
      this.#stand(endpoint, stream);
    } catch (error) {
      this.#opening = false;
      this.#broken(endpoint, error);
    }
  }

  #stand(endpoint: Endpoint, stream: IDuplexStream<Request, Reply>): void {
    this.#endpoint = endpoint;
    this.#stream = stream;
    stream.on('data', (reply) => {
      if (this.#stream !== stream) return;
      this.#heardAt = this.#clock.now();
      this.#pause.reset();
      this.#user.data(reply);
    });
    stream.on('error', (error) => this.#break(stream, error));
    stream.on('end', () => this.#break(stream, { code: status.UNAVAILABLE, details: 'ended' }));
    this.#user.opened();
  }

  #break(stream: IDuplexStream<Request, Reply> | undefined, error: unknown): void {
    if (stream !== this.#stream || this.#closed) return;
    const endpoint = this.#endpoint;
    this.#drop();
    this.#broken(endpoint, error);
  }

  #broken(endpoint: Endpoint | undefined, error: unknown): void {
    if (this.#closed) return;
    if (judge(error) === 'unauthenticated') this.#pool.forgetLogin();
    else if (endpoint) this.#pool.setAside(endpoint);
    this.#user.lost(endpoint?.name ?? 'etcd', error);
    this.#clock.after(this.#pause.next(), () => {
      if (!this.#stream && this.#user.needed()) void this.#open();
    });
  }

  #move(endpoint: Endpoint): void {
    // With nowhere else to go a stream is left alone: one slow call must not cost it.
    if (this.#stream && endpoint === this.#endpoint && this.#pool.pick() !== endpoint) {
      this.#drop();
      this.#user.lost(endpoint.name, { code: status.UNAVAILABLE, details: 'endpoint set aside' });
      if (this.#user.needed()) void this.#open();
    }
  }

  #drop(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#endpoint = undefined;
    for (const met of this.#expected) met();
    // A cancelled stream still reports an error.
    stream?.cancel();
  }
}
