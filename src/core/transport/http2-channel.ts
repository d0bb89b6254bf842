import { Connection, type Owner } from './connection.js';
import { unconnected, unprocessed } from './status-error.js';
import { Target, type TlsMaterial } from './target.js';
import { UnaryCall, type UnaryRequest } from './unary-call.js';

/** How long a server may take to answer at first, in milliseconds: longer after every time it did not. */
const patience = { least: 2_000, most: 8_000 };

/** Unary gRPC calls to one server, over one HTTP/2 connection at a time: made when needed, and made anew when it breaks. */
export class Http2Channel {
  readonly #address: string;
  #target: Target;
  #connection: Connection | undefined;
  /** Those that are left too, as long as calls are on them. */
  readonly #connections = new Set<Connection>();
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
    const call = new UnaryCall(request);
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
    this.#connection?.retire();
  }

  /** Ends all calls and connections. */
  close(): void {
    this.#isClosed = true;
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
    this.#connection.take(call);
  }

  #connect(): Connection {
    const waited = this.#patience;
    let isOpen = false;
    const owner: Owner = {
      opened: () => {
        isOpen = true;
        this.#patience = patience.least;
      },
      retired: (retired) => {
        if (this.#connection === retired) this.#connection = undefined;
      },
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
