import {
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { performance } from 'node:perf_hooks';
import { type Metadata, status as Status } from '@grpc/grpc-js';
import type { Deadlines } from './deadlines.js';
import { frameOf, MessageReader } from './message-reader.js';
import { isGrpc, type ReplyHeaders, statusOfReply, statusOfReset } from './reply-status.js';
import { StatusError } from './status-error.js';
import { timeoutHeader } from './timeout.js';

/** One message to send, and what its reply may take. */
export interface UnaryRequest {
  readonly path: string;
  readonly message: Buffer;
  readonly metadata: Metadata;
  /** Milliseconds until it is given up; `undefined` for never. */
  readonly limit: number | undefined;
  /** Milliseconds until it is given up if it has not been sent; `undefined` for never. */
  readonly sendWithin: number | undefined;
  /** Longest reply taken, in bytes. */
  readonly maxReceiveBytes: number;
}

/** The connection that has a call. */
export interface Carrier {
  /** Why a call that has not been sent is still waiting. */
  readonly standstill: StatusError;
  /** What a call on the wire ends with if the connection has gone; `undefined` while it stands. */
  readonly lost: StatusError | undefined;
  /** Whether it is certain that the server did nothing with what was sent on a stream. */
  isUnprocessed(stream: ClientHttp2Stream): boolean;
  /** The server has said something. */
  heard(): void;
  /** The call is not waiting any more, and its stream has gone. */
  left(call: UnaryCall): void;
  /** The call is to be sent again. */
  returned(call: UnaryCall): void;
  /** A call that was sent got no reply in time. */
  expired(call: UnaryCall): void;
}

/** One request and its one reply, from when it is asked for until it is settled. */
export class UnaryCall {
  /** The reply's bytes. Rejects with a `StatusError`. */
  readonly reply: Promise<Buffer>;
  /** How often it came back unprocessed. */
  returns = 0;
  /** How often something had been heard when it was sent; for its connection. */
  heardBefore = 0;
  /** When it is given up, as `performance.now` has it: first if it has not been sent, then if it has no reply. */
  deadline: number;
  readonly #replyDeadline: number;
  readonly #request: UnaryRequest;
  readonly #deadlines: Deadlines;
  #resolve: (reply: Buffer) => void = () => {};
  #reject: (error: StatusError) => void = () => {};
  #carrier: Carrier | undefined;
  #stream: ClientHttp2Stream | undefined;
  #headers: ReplyHeaders | undefined;
  #trailers: IncomingHttpHeaders | undefined;
  #reader: MessageReader;
  #unreadable: StatusError | undefined;
  #isOver = false;

  constructor(request: UnaryRequest, deadlines: Deadlines) {
    this.#request = request;
    this.#deadlines = deadlines;
    this.#reader = new MessageReader(request.maxReceiveBytes);
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { limit = Infinity, sendWithin = Infinity } = request;
    const now = performance.now();
    this.deadline = now + sendWithin;
    this.#replyDeadline = now + limit;
    if (this.deadline !== Infinity) deadlines.add(this);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** It waits to be sent by a connection. */
  waitFor(carrier: Carrier): void {
    this.#carrier = carrier;
  }

  /** What gRPC says about a call before its message. */
  headers(scheme: string, authority: string): OutgoingHttpHeaders {
    const headers: OutgoingHttpHeaders = {
      ':method': 'POST',
      ':scheme': scheme,
      ':authority': authority,
      ':path': this.#request.path,
      'content-type': 'application/grpc+proto',
      te: 'trailers',
      'user-agent': 'etcd-recipes',
      ...this.#request.metadata.toHttp2Headers(),
    };
    if (this.#replyDeadline !== Infinity) {
      headers['grpc-timeout'] = timeoutHeader(this.#replyDeadline - performance.now());
    }
    return headers;
  }

  /** Sends its message and reads the reply. */
  run(stream: ClientHttp2Stream, carrier: Carrier): void {
    this.#stream = stream;
    this.#waitUntil(this.#replyDeadline);
    stream.on('response', (headers, flags) => {
      carrier.heard();
      this.#headers = headers;
      if (flags & constants.NGHTTP2_FLAG_END_STREAM) this.#trailers = headers;
    });
    stream.on('trailers', (trailers) => {
      this.#trailers = trailers;
    });
    stream.on('data', (piece: Buffer) => {
      carrier.heard();
      this.#read(piece);
    });
    stream.on('end', () => this.#ended(stream, carrier));
    // The end of a stream says the same, and comes always.
    stream.on('error', () => {});
    stream.on('close', () => {
      const isBack = !this.#isOver && !this.#headers && carrier.isUnprocessed(stream);
      if (isBack) this.#stream = undefined;
      else this.#settle(stream, carrier);
      carrier.left(this);
      if (isBack) carrier.returned(this);
    });
    stream.end(frameOf(this.#request.message));
  }

  #waitUntil(deadline: number): void {
    if (deadline === this.deadline) return;
    this.deadline = deadline;
    this.#deadlines.add(this);
  }

  /** Nobody wants the reply any more. */
  cancel(): void {
    this.fail(new StatusError(Status.CANCELLED, 'Cancelled on client'));
  }

  /** Ends it without a reply. */
  fail(error: StatusError): void {
    if (this.#isOver) return;
    this.#end();
    this.#reject(error);
    if (this.#stream) this.#stream.close(constants.NGHTTP2_CANCEL);
    else this.#carrier?.left(this);
  }

  /** Its time has passed. */
  expire(): void {
    if (this.#isOver) return;
    if (!this.#stream) {
      this.fail(this.#carrier?.standstill ?? new StatusError(Status.DEADLINE_EXCEEDED, 'Not sent'));
      return;
    }
    const seconds = (this.#request.limit ?? 0) / 1_000;
    this.fail(new StatusError(Status.DEADLINE_EXCEEDED, `Deadline exceeded after ${seconds}s`));
    this.#carrier?.expired(this);
  }

  #read(piece: Buffer): void {
    if (this.#isOver || this.#unreadable) return;
    try {
      this.#reader.add(piece);
    } catch (error) {
      // What the reply's headers say may explain it: they are told of after the first pieces.
      this.#unreadable = error as StatusError;
      this.#stream?.close(constants.NGHTTP2_CANCEL);
    }
  }

  #ended(stream: ClientHttp2Stream, carrier: Carrier): void {
    // A stream that was reset may end too, before it tells why.
    if (stream.closed && !this.#trailers) return;
    this.#settle(stream, carrier);
    // The server has answered without waiting for all of the request.
    if (!stream.writableFinished) stream.close(constants.NGHTTP2_CANCEL);
  }

  #settle(stream: ClientHttp2Stream, carrier: Carrier): void {
    if (this.#isOver) return;
    this.#end();
    const error = this.#judge(stream, carrier);
    if (error) {
      this.#reject(error);
      return;
    }
    try {
      this.#resolve(this.#reader.take());
    } catch (unreadable) {
      this.#reject(unreadable as StatusError);
    }
  }

  /** Why there is no reply; `undefined` if there is one. */
  #judge(stream: ClientHttp2Stream, carrier: Carrier): StatusError | undefined {
    const headers = this.#headers;
    if (headers && this.#trailers)
      return statusOfReply(headers, this.#trailers) ?? this.#unreadable;
    if (headers && !isGrpc(headers)) return statusOfReply(headers, {});
    if (this.#unreadable) return this.#unreadable;
    if (carrier.lost) return carrier.lost;
    const wasReset = !headers || stream.rstCode !== constants.NGHTTP2_NO_ERROR;
    return wasReset ? statusOfReset(stream.rstCode) : statusOfReply(headers, {});
  }

  #end(): void {
    this.#isOver = true;
    this.#deadlines.delete(this);
  }
}
