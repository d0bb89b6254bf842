import { status } from '@grpc/grpc-js';
import type { IDuplexStream } from 'etcd3';
import { Backoff } from '../time/backoff.js';
import type { Clock } from '../time/clock.js';
import type { Endpoint } from './endpoint.js';
import type { IsAbandoned } from './lookout.js';
import type { EndpointPool } from './pool.js';
import { judge, type Verdict } from './status.js';

/** What travels over a steady stream, and what to do when it has to begin anew. */
export interface StreamUser<Request, Reply> {
  open(endpoint: Endpoint): Promise<IDuplexStream<Request, Reply>>;
  /** A new stream stands: send all that should be on it. */
  opened(): void;
  data(reply: Reply): void;
  /** The stream broke; what was on it got no answer. `forGood` if etcd refuses to serve another, too. */
  lost(endpoint: string, error: unknown, forGood: boolean): void;
  /** Whether a stream that broke is to be opened again without a `send`. */
  needed(): boolean;
}

/** A stream that spoke for so many milliseconds was well: when it breaks, pauses begin anew. */
const settled = 250;
/** An endpoint that refuses so many times, with no better word from any other, means it. */
const refusalsAtMost = 3;

/**
 * One stream, opened when first needed at the best endpoint, and opened again at another when it breaks,
 * falls silent, says what cannot be understood, or its endpoint is set aside.
 */
export class SteadyStream<Request, Reply> {
  readonly #pool: EndpointPool;
  readonly #clock: Clock;
  readonly #user: StreamUser<Request, Reply>;
  readonly #pause = new Backoff(20, 2_000);
  /** What waits for an answer, by how to stop its timer: since when. */
  readonly #expected = new Map<() => void, number>();
  /** Where streams broke since one said anything: who is well for calls need not be so for streams. */
  readonly #tried = new Set<Endpoint>();
  /** How often endpoints refused since one did anything else. */
  readonly #refusals = new Map<Endpoint, number>();
  #stream: IDuplexStream<Request, Reply> | undefined;
  /** Where the stream is, or was last. */
  #endpoint: Endpoint | undefined;
  #stoodAt = 0;
  #heardAt = 0;
  #stopPause = (): void => {};
  #opening = false;
  #closed = false;

  constructor(pool: EndpointPool, clock: Clock, user: StreamUser<Request, Reply>) {
    this.#pool = pool;
    this.#clock = clock;
    this.#user = user;
    const { onSetAside, onAbandon } = pool.rotation;
    onSetAside.add((endpoint) => this.#setAside(endpoint));
    onAbandon.add((isAbandoned) => this.#abandon(isAbandoned));
  }

  /** When it last said anything, by the clock; 0 if it never did. */
  get heardAt(): number {
    return this.#heardAt;
  }

  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  get #isUnheard(): boolean {
    return this.#heardAt < this.#stoodAt;
  }

  /** Sends on the open stream. Without one it says no and opens it; `opened` then decides what to send. */
  send(request: Request): boolean {
    if (this.#stream) this.#stream.write(request);
    else void this.#open();
    return this.isOpen;
  }

  /**
   * Breaks the stream if it says nothing at all for so long as calls are waited for, or for `ms`, until the function
   * returned is called or the stream has ended. Answers come in order: one that says anything is on its way to ours.
   */
  expect(atMost: number = Infinity): () => void {
    const { patience } = this.#pool;
    // Where nothing was heard yet, the connection may have to be made first.
    const needed = patience.needed * (this.#stream && !this.#isUnheard ? 1 : 2);
    const ms = Math.max(needed, Math.min(atMost, patience.of(0)));
    const most = Math.min(atMost, patience.of(1));
    const began = this.#clock.now();
    let stopTimer: (() => void) | undefined;
    const stop = (): void => stopTimer?.();
    const wait = (from: number): void => {
      stopTimer = this.#clock.after(from + ms - this.#clock.now(), () => {
        const standstill = this.#clock.now() - (from + ms) > 20;
        // A timer may run before what has arrived is read.
        setImmediate(() => {
          if (!this.#expected.has(stop)) return;
          if (this.#heardAt > from) wait(this.#heardAt);
          // While our own loop stood still, not even the request may have left.
          else if (standstill) wait(this.#clock.now());
          // Where nobody answers anywhere, all may be slow.
          else if (this.#isNobodyWell && this.#clock.now() - began < most) wait(this.#clock.now());
          else
            this.#giveUp({ code: status.DEADLINE_EXCEEDED, details: `nothing heard for ${ms} ms` });
        });
      });
    };
    this.#expected.set(stop, began);
    wait(began);
    return () => {
      stop();
      if (this.#expected.delete(stop)) patience.answered(this.#clock.now() - began, ms);
    };
  }

  /** Gives the present stream up, as if it had broken. */
  fail(error: unknown): void {
    this.#break(this.#stream, error);
  }

  close(): void {
    this.#closed = true;
    this.#stopPause();
    this.#drop();
  }

  #giveUp(error: unknown): void {
    this.#renewSilent();
    this.fail(error);
  }

  /** A connection that is still being made, to where nobody answers, would keep all that come after waiting, too. */
  #renewSilent(): void {
    if (this.#isUnheard) this.#endpoint?.renewStreams();
  }

  async #open(): Promise<void> {
    if (this.#opening || this.#closed) return;
    this.#opening = true;
    let endpoint: Endpoint | undefined;
    try {
      endpoint = await this.#pool.pick(this.#avoided);
      this.#endpoint = endpoint;
      await this.#pool.login(endpoint);
      const stream = await this.#user.open(endpoint);
      this.#opening = false;
      if (this.#closed) {
        stream.on('error', () => {});
        stream.cancel();
        return;
      }
      this.#stand(stream);
    } catch (error) {
      this.#opening = false;
      this.#broken(endpoint, error);
    }
  }

  #stand(stream: IDuplexStream<Request, Reply>): void {
    this.#stream = stream;
    this.#stoodAt = this.#clock.now();
    stream.on('data', (reply) => this.#hear(stream, reply));
    stream.on('error', (error) => this.#break(stream, error));
    stream.on('end', () => this.#break(stream, { code: status.UNAVAILABLE, details: 'ended' }));
    this.#user.opened();
  }

  #hear(stream: IDuplexStream<Request, Reply>, reply: Reply): void {
    if (this.#stream !== stream) return;
    this.#heardAt = this.#clock.now();
    this.#refusals.clear();
    this.#tried.clear();
    try {
      this.#user.data(reply);
    } catch (error) {
      // No sense can be made of it: another stream may do better.
      this.#break(stream, error);
    }
  }

  #break(stream: IDuplexStream<Request, Reply> | undefined, error: unknown): void {
    if (stream !== this.#stream || this.#closed) return;
    const endpoint = this.#endpoint;
    if (this.#heardAt - this.#stoodAt >= settled) this.#pause.reset();
    this.#drop();
    this.#broken(endpoint, error);
  }

  #broken(endpoint: Endpoint | undefined, error: unknown): void {
    if (this.#closed) return;
    const verdict = judge(error);
    if (verdict === 'unauthenticated') this.#pool.forgetLogin();
    else if (endpoint) this.#leave(endpoint);
    const forGood = this.#isForGood(endpoint, verdict);
    this.#user.lost(endpoint?.name ?? 'etcd', error, forGood);
    this.#stopPause();
    this.#stopPause = this.#clock.after(this.#pause.next(), () => {
      if (!this.#stream && this.#user.needed()) void this.#open();
    });
  }

  #leave(endpoint: Endpoint): void {
    this.#tried.add(endpoint);
    if (this.#tried.size >= this.#pool.rotation.endpoints.length) {
      this.#tried.clear();
      this.#tried.add(endpoint);
    }
    this.#pool.setAside(endpoint);
  }

  /** Whom not to use; nobody where only those are left that are not well. */
  get #avoided(): ReadonlySet<Endpoint> | undefined {
    const { rotation } = this.#pool;
    const isOpen = (each: Endpoint): boolean => !this.#tried.has(each) && !rotation.isAside(each);
    return rotation.endpoints.some(isOpen) ? this.#tried : undefined;
  }

  get #isNobodyWell(): boolean {
    const { rotation } = this.#pool;
    return rotation.endpoints.every((each) => rotation.isAside(each));
  }

  /** One refusal may be that of a member, or of something in between, which others do not share. */
  #isForGood(endpoint: Endpoint | undefined, verdict: Verdict): boolean {
    if (!endpoint || (verdict !== 'refused' && verdict !== 'unauthenticated')) {
      this.#refusals.clear();
      return false;
    }
    const times = (this.#refusals.get(endpoint) ?? 0) + 1;
    this.#refusals.set(endpoint, times);
    if (times < refusalsAtMost) return false;
    this.#refusals.clear();
    return true;
  }

  #setAside(endpoint: Endpoint): void {
    // With nowhere else to go a stream is left alone: one slow call must not cost it.
    if (this.#stream && endpoint === this.#endpoint && this.#pool.rotation.best() !== endpoint) {
      this.#move(endpoint, 'another endpoint is better');
    }
  }

  /** Somebody is well: no more pauses, and what was asked for is asked for anew. */
  #abandon(isAbandoned: IsAbandoned): void {
    const endpoint = this.#endpoint;
    const [since = 0] = this.#expected.values();
    if (!endpoint || !isAbandoned(endpoint, since)) return;
    const isIdle = this.#stream && this.#expected.size === 0;
    if (isIdle && !this.#pool.rotation.isAside(endpoint)) return;
    this.#renewSilent();
    this.#move(endpoint, 'what is owed since an outage is asked for anew');
  }

  #move(endpoint: Endpoint, details: string): void {
    if (this.#stream) {
      this.#drop();
      this.#user.lost(endpoint.name, { code: status.UNAVAILABLE, details }, false);
    }
    if (this.#user.needed()) void this.#open();
  }

  #drop(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    for (const stop of this.#expected.keys()) stop();
    this.#expected.clear();
    // A cancelled stream still reports an error.
    stream?.cancel();
  }
}
