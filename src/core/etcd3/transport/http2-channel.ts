import { Connection, type Owner } from './connection.js';
import { Deadlines } from './deadlines.js';
import { unconnected, unprocessed } from './status-error.js';
import { Target, type TlsMaterial } from './target.js';
import { UnaryCall, type UnaryRequest } from './unary-call.js';

/** How long a server may take to answer at first, in milliseconds: longer after every time it did not. */
const patience = { least: 2_000, most: 8_000 };
/** So many milliseconds calls wait for a connection that may be better, at least. */
const shortWait = 100;

/**
 * Unary gRPC calls to one server, over one HTTP/2 connection at a time: made when needed, and made anew when it breaks. A
 * connection that falls silent may be a flow that was forgotten on the way, or its server may be slow: another one is made
 * beside it, and takes its place once it stands.
 */
export class Http2Channel {
  readonly #address: string;
  #target: Target;
  #connection: Connection | undefined;
  /** Is being made beside a silent one. */
  #spare: Connection | undefined;
  /** Whether calls wait for the spare one, for as long as it usually takes to make one. */
  #isSpareFirst = false;
  #stopWait: NodeJS.Timeout | undefined;
  #usualWait = shortWait;
  /** Those that are left too, as long as calls are on them. */
  readonly #connections = new Set<Connection>();
  readonly #deadlines = new Deadlines();
  #patience = patience.least;
  #isClosed = false;

  /**
   * @param address - `host:port`, or `unix:` and a path
   * @throws Error if certificates cannot be read.
   */
  constructor(address: string, tls: TlsMaterial | undefined) {
    this.#address = address;
    this.#target = new Target(address, tls);
  }

  /** Makes a call. Its `reply` rejects with a `StatusError`. */
  call(request: UnaryRequest): UnaryCall {
    const call = new UnaryCall(request, this.#deadlines);
    this.#place(call);
    return call;
  }

  /**
   * Makes a new connection for calls from now on; those in flight finish where they are.
   *
   * @throws Error if certificates cannot be read; then nothing has changed.
   */
  renew(tls?: TlsMaterial): void {
    if (tls) this.#target = new Target(this.#address, tls);
    const old = [this.#connection, this.#spare];
    // Neither takes the place of the other: what waits for one of them is for a new one.
    this.#connection = undefined;
    this.#spare = undefined;
    for (const each of old) each?.retire();
  }

  /** Ends all calls and connections. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#stopWait);
    for (const connection of this.#connections) connection.destroy();
  }

  #place(call: UnaryCall): void {
    if (call.isOver) return;
    if (this.#isClosed) {
      call.fail(unconnected('the client was closed'));
      return;
    }
    try {
      this.#connection ??= this.#connect();
    } catch (error) {
      call.fail(unconnected((error as Error).message, error));
      return;
    }
    const spare = this.#isSpareFirst ? this.#spare : undefined;
    (spare ?? this.#connection).take(call);
  }

  /** Makes another connection. If that takes long, silence may mean no more than that all takes long. */
  #doubt(silent: Connection): void {
    if (silent !== this.#connection || this.#spare || this.#isClosed) return;
    const spare = this.#connect();
    this.#spare = spare;
    this.#isSpareFirst = true;
    const stopWaiting = (): void => {
      this.#isSpareFirst = false;
      if (this.#spare === spare) for (const call of spare.handOver()) this.#place(call);
    };
    clearTimeout(this.#stopWait);
    this.#stopWait = setTimeout(stopWaiting, this.#usualWait).unref();
  }

  #left(connection: Connection): void {
    if (connection === this.#connection) {
      this.#connection = this.#spare;
      this.#spare = undefined;
    } else if (connection === this.#spare) {
      this.#spare = undefined;
    }
  }

  #connect(): Connection {
    const waited = this.#patience;
    let isOpen = false;
    const owner: Owner = {
      opened: (opened) => {
        isOpen = true;
        this.#patience = patience.least;
        this.#usualWait = Math.max(shortWait, opened.slowness);
        if (opened === this.#spare) this.#connection?.retire();
      },
      silent: (silent) => this.#doubt(silent),
      retired: (retired) => this.#left(retired),
      ended: (ended) => {
        this.#connections.delete(ended);
        if (!isOpen) this.#patience = Math.min(patience.most, waited * 2);
      },
      returned: (call) => {
        call.returns += 1;
        // Once is bad luck: servers end connections now and then.
        if (call.returns > 1) call.fail(unprocessed('the server refused it twice'));
        else this.#place(call);
      },
    };
    const connection = new Connection(this.#target, owner, waited);
    this.#connections.add(connection);
    return connection;
  }
}
