import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { TLSSocket } from 'node:tls';
import { status as Status } from '@grpc/grpc-js';
import { watchOver } from './liveness.js';
import { StatusError, unconnected, unprocessed } from './status-error.js';
import type { Target } from './target.js';
import type { Carrier, UnaryCall } from './unary-call.js';

/** Who has a connection made, and sends calls elsewhere when it may not be used any more. */
export interface Owner {
  /** The server has answered for the first time. */
  opened(connection: Connection): void;
  /** A call that was sent on it got no reply in time, and nothing else came since. */
  silent(connection: Connection): void;
  /** It takes no more calls. */
  retired(connection: Connection): void;
  /** It has gone. */
  ended(connection: Connection): void;
  /** Did not get through, or is known to have been left alone by the server. */
  returned(call: UnaryCall): void;
}

/** Large enough that a long reply does not wait for our consent again and again. */
const streamWindow = 1 << 20;
const connectionWindow = 1 << 23;
/** They cannot be used again, and there are no more than 2 ** 31. */
const lastStream = 2 ** 30;

/** One HTTP/2 connection with the calls that wait for it, or are on it. */
export class Connection implements Carrier {
  readonly #target: Target;
  readonly #owner: Owner;
  readonly #socket: Socket;
  readonly #session: ClientHttp2Session;
  readonly #waiting = new Set<UnaryCall>();
  readonly #active = new Set<UnaryCall>();
  #isOpen = false;
  #isRetired = false;
  #error: Error | undefined;
  /** How many calls the server takes at once. */
  #room = 0;
  /** How often a call was told something. What comes in otherwise may be what Node could make nothing of. */
  #heard = 0;
  /** When the first call was sent that nothing was heard after, as `performance.now` has it. */
  #askedAt: number | undefined;
  readonly #began: number = performance.now();
  #slowness = 0;
  #goaway: { readonly code: number; readonly lastStream: number } | undefined;

  /**
   * @param patience - milliseconds until the server must have answered
   * @throws Error if the address cannot be one.
   */
  constructor(target: Target, owner: Owner, patience: number) {
    this.#target = target;
    this.#owner = owner;
    const socket = target.connect();
    this.#socket = socket;
    this.#session = connect('http://localhost', {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: streamWindow },
      // What it limits is limited by the callers: too little would end streams that do no harm.
      maxSessionMemory: Number.MAX_SAFE_INTEGER,
    });
    this.#listen(patience);
    this.#hold();
  }

  get standstill(): StatusError {
    return this.#isOpen
      ? unprocessed(`the server takes no more than ${this.#room} calls at once`)
      : unconnected('not connected in time');
  }

  /** Milliseconds in which it would have answered, as long as making it took: round trips and all. */
  get slowness(): number {
    return this.#slowness;
  }

  get lost(): StatusError | undefined {
    if (!this.#session.destroyed) return undefined;
    const { code } = this.#goaway ?? {};
    const details = code ? `Connection dropped by GOAWAY with code ${code}` : 'Connection dropped';
    return new StatusError(Status.UNAVAILABLE, details);
  }

  /** Sends a call, or has it wait until that is possible. */
  take(call: UnaryCall): void {
    call.waitFor(this);
    if (this.#isOpen && this.#active.size < this.#room) this.#send(call);
    else this.#waiting.add(call);
    this.#hold();
  }

  isUnprocessed({ id, rstCode }: ClientHttp2Stream): boolean {
    if (id === undefined) return true;
    const { code, lastStream: last = Infinity } = this.#goaway ?? {};
    // Node gives all streams the code of the GOAWAY.
    const refused = constants.NGHTTP2_REFUSED_STREAM;
    return id > last || (rstCode === refused && code !== refused);
  }

  heard(): void {
    this.#heard += 1;
    this.#askedAt = undefined;
  }

  left(call: UnaryCall): void {
    this.#waiting.delete(call);
    if (this.#active.delete(call)) this.#sendMore();
    this.#hold();
    if (this.#isRetired && this.#active.size === 0) this.#drop();
  }

  returned(call: UnaryCall): void {
    this.#owner.returned(call);
  }

  expired(call: UnaryCall): void {
    if (this.#heard !== call.heardBefore || this.#askedAt === undefined) return;
    if (performance.now() - this.#askedAt >= this.#slowness) this.#owner.silent(this);
  }

  /** Those that wait to be sent, for another connection: they wait here no more. */
  handOver(): UnaryCall[] {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    this.#hold();
    return waiting;
  }

  /** Takes no more calls; those on their way may finish. */
  retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.#owner.retired(this);
    for (const call of this.#waiting) this.#owner.returned(call);
    this.#waiting.clear();
    if (this.#active.size === 0) this.#drop();
  }

  /** Ends it and all its calls. */
  destroy(): void {
    this.#isRetired = true;
    for (const call of this.#waiting) call.fail(unconnected('the client was closed'));
    for (const call of this.#active) {
      call.fail(new StatusError(Status.CANCELLED, 'The client was closed'));
    }
    this.#drop();
  }

  #listen(patience: number): void {
    const [session, socket] = [this.#session, this.#socket];
    const late = (): void => {
      this.#error = new Error(`no answer within ${patience} ms`);
      this.#drop();
    };
    const timer = setTimeout(late, patience).unref();
    const stopWatching = watchOver({
      session,
      heard: () => this.#heard,
      isBusy: () => this.#active.size > 0,
      dead: () => this.#drop(),
    });
    session.once('connect', () => this.#connected());
    session.on('remoteSettings', ({ maxConcurrentStreams = Infinity }) => {
      clearTimeout(timer);
      this.#room = maxConcurrentStreams;
      if (!this.#isOpen) this.#opened();
      this.#sendMore();
    });
    session.on('goaway', (code, last) => {
      this.#goaway = { code, lastStream: last };
      this.retire();
    });
    const failed = (error: Error): void => {
      this.#error ??= error;
    };
    socket.on('error', failed);
    session.on('error', failed);
    session.once('close', () => {
      clearTimeout(timer);
      stopWatching();
      this.#closed();
    });
  }

  #connected(): void {
    if (this.#session.destroyed) return;
    const { alpnProtocol } = this.#session;
    if (this.#socket instanceof TLSSocket && alpnProtocol !== 'h2') {
      this.#error = new Error('the server does not speak HTTP/2');
      this.#drop();
      return;
    }
    this.#session.setLocalWindowSize(connectionWindow);
  }

  #opened(): void {
    this.#isOpen = true;
    this.#slowness = 3 * (performance.now() - this.#began);
    this.#owner.opened(this);
  }

  #closed(): void {
    if (!this.#isOpen) {
      const error = unconnected(reasonOf(this.#error), this.#error);
      for (const call of this.#waiting) call.fail(error);
    }
    this.retire();
    this.#owner.ended(this);
  }

  #sendMore(): void {
    for (const call of this.#waiting) {
      if (this.#active.size >= this.#room || this.#isRetired) break;
      this.#waiting.delete(call);
      this.#send(call);
    }
  }

  #send(call: UnaryCall): void {
    const { scheme, authority } = this.#target;
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request(call.headers(scheme, authority));
    } catch (error) {
      if (this.#session.closed || this.#session.destroyed) {
        this.retire();
        this.#owner.returned(call);
      } else {
        call.fail(unprocessed(reasonOf(error as Error)));
      }
      return;
    }
    this.#active.add(call);
    this.#askedAt ??= performance.now();
    call.heardBefore = this.#heard;
    call.run(stream, this);
    if ((stream.id ?? 0) > lastStream) this.retire();
  }

  /** Keeps the process alive while somebody waits for an answer, and no longer. */
  #hold(): void {
    // One that is gone would remember each of these for when it connects.
    if (this.#socket.destroyed) return;
    if (this.#active.size + this.#waiting.size > 0) this.#socket.ref();
    else this.#socket.unref();
  }

  #drop(): void {
    this.#session.destroy();
    // A peer that does not answer would not let it end in peace either.
    setImmediate(() => this.#socket.destroy());
  }
}

/** One attempt at several addresses fails with an error without a text. */
function reasonOf(error: Error | undefined): string {
  const errors = error instanceof AggregateError ? (error.errors as Error[]) : [error];
  return errors.map((each) => each?.message || 'closed by the server').join(', ');
}
