import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  type handleUnaryCall,
  type Metadata,
  Server,
  type ServerDuplexStream,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { longest } from '../../core/validate.js';
import type { EtcdPings } from '../shared-options.js';
import { Caller } from './auth/caller.js';
import type { Backend } from './backend.js';
import { EtcdError, refusal } from './errors.js';
import type { Faults, RpcName } from './faults.js';
import { addMethod, type MethodKind } from './grpc-method.js';
import { allowWrites } from './kv/permissions.js';
import { checkRangeStream, inPieces } from './kv/range-stream.js';
import { refuseTheRest } from './not-served.js';
import type { UnaryRpc } from './unary-rpc.js';
import { HealthCheckResponse } from './wire/cluster.js';
import type { Codec, Init } from './wire/codec.js';
import { RangeRequest, type RangeResponse, RangeStreamResponse } from './wire/kv.js';
import { LeaseId, LeaseKeepAliveResponse } from './wire/lease.js';
import { WatchRequest, WatchResponse } from './wire/watch.js';

/** What a request gains, at least, on its way through etcd's consensus. */
const ENVELOPE = 17;
/** Larger messages are not even read; smaller ones that are too large get etcd's own words. */
const LARGEST_READ = 64 * 1024 * 1024;

/** A stream of ours: requests come as bytes, so that what is wrong with them is said in etcd's words. */
type Stream<T extends object> = ServerDuplexStream<Buffer, Init<T>>;

/** What a stream does with its client's messages. */
interface StreamUser<Request> {
  request(message: Request): void;
  /** More may be sent again. */
  drained?(): void;
  close?(): void;
}

/** What there is to serve. */
export interface Served {
  readonly backend: Backend;
  readonly rpcs: ReadonlyMap<RpcName, UnaryRpc>;
  readonly faults: Faults;
  readonly keepAlive: EtcdPings;
}

/** etcd's gRPC services over a backend. It is given connections; it does not listen itself. */
export function grpcServer(served: Served): Server {
  const { backend, rpcs, keepAlive } = served;
  const server = new Server({
    'grpc.max_receive_message_length': LARGEST_READ,
    'grpc.max_send_message_length': -1,
    // Statistics of every call that nobody asks for.
    'grpc.enable_channelz': 0,
    // gRPC takes the longest time that it can count for none at all.
    'grpc.keepalive_time_ms': keepAlive.interval || longest,
    'grpc.keepalive_timeout_ms': keepAlive.timeout || longest,
  });
  for (const [name, rpc] of rpcs) {
    addMethod(server, name, 'unary', (reply) => rpc.encode(reply), unary(served, name, rpc));
  }
  const add = <T extends object>(
    name: string,
    kind: MethodKind,
    reply: Codec<T>,
    handle: (stream: Stream<T> & ServerWritableStream<Buffer, Init<T>>) => void,
  ): void => addMethod(server, name, kind, (message) => reply.encode(message as Init<T>), handle);
  add('Lease.LeaseKeepAlive', 'duplex', LeaseKeepAliveResponse, (stream) => {
    serve(stream, 'Lease.LeaseKeepAlive', LeaseId, served, keepAlives(backend, stream));
  });
  add('Watch.Watch', 'duplex', WatchResponse, (stream) => {
    const send = (response: Init<WatchResponse>): boolean => stream.write(whole(backend, response));
    const user = backend.watchStream(send, callerOf(backend, stream));
    serve(stream, 'Watch.Watch', WatchRequest, served, user);
  });
  add(
    'KV.RangeStream',
    'replies',
    RangeStreamResponse,
    (stream) => void rangeStream(served, stream),
  );
  add('Health.Watch', 'replies', HealthCheckResponse, (stream) => stream.write({ status: 1 }));
  refuseTheRest(server);
  return server;
}

function unary(
  { backend, faults }: Served,
  name: RpcName,
  rpc: UnaryRpc,
): handleUnaryCall<Buffer, object> {
  return (call, done) => {
    const act = (): object => {
      // A request that was held up is not served any more when its client has gone.
      if (call.cancelled) throw new EtcdError(status.CANCELLED, 'context canceled');
      const { request: bytes } = call;
      const request = parse(backend, bytes, (message) => rpc.decode(message));
      const caller = callerOf(backend, call, () => {
        if (bytes.length + ENVELOPE > backend.maxRequestBytes) throw refusal('requestTooLarge');
      });
      return rpc.run(request, caller);
    };
    if (!faults.none) {
      void settle(faults.run(name, act, goneOf(call)), done);
      return;
    }
    try {
      done(null, act());
    } catch (error) {
      done(toStatus(error));
    }
  };
}

async function rangeStream(
  { backend, faults }: Served,
  stream: ServerWritableStream<Buffer, Init<RangeStreamResponse>>,
): Promise<void> {
  const read = (): Init<RangeResponse> => {
    const request = parse(backend, stream.request, (b) => RangeRequest.decode(b));
    checkRangeStream(request);
    const result = backend.kv.range(request, callerOf(backend, stream));
    return { ...result, header: backend.header(result.header) };
  };
  try {
    const result = await faults.run('KV.RangeStream', read, goneOf(stream));
    const pieces = Readable.from(inPieces(result, backend.maxRequestBytes));
    const messages = pieces.map((rangeResponse: Init<RangeResponse>) => ({ rangeResponse }));
    await pipeline(messages, stream as unknown as Writable);
  } catch (error) {
    stream.emit('error', toStatus(error));
  }
}

/** Aborts when the client of a call is gone. */
function goneOf(call: { once(event: 'cancelled', listener: () => void): unknown }): AbortSignal {
  const controller = new AbortController();
  call.once('cancelled', () => controller.abort());
  return controller.signal;
}

async function settle(reply: Promise<object>, done: sendUnaryData<object>): Promise<void> {
  try {
    done(null, await reply);
  } catch (error) {
    done(toStatus(error));
  }
}

function serve<Request extends object, Reply extends object>(
  stream: Stream<Reply>,
  name: RpcName,
  codec: Codec<Request>,
  { backend, faults }: Served,
  user: StreamUser<Request>,
): void {
  const act = (bytes: Buffer): void => {
    if (!stream.cancelled) user.request(parse(backend, bytes, (b) => codec.decode(b)));
    // Who does not read answers gets no more of them by asking.
    if (stream.writableNeedDrain) stream.pause();
  };
  const gone = goneOf(stream);
  const close = (): void => user.close?.();
  // Messages keep their order, whatever holds one of them up, and none gets through a connection that broke.
  let before = Promise.resolve();
  let broken = false;
  const then = (step: () => Promise<void> | void): void => {
    const unlessBroken = async (): Promise<void> => {
      if (!broken) await step();
    };
    before = before.then(unlessBroken).catch((error: unknown) => {
      broken = true;
      close();
      stream.emit('error', toStatus(error));
    });
  };
  stream.on('data', (bytes: Buffer) => then(() => faults.run(name, () => act(bytes), gone)));
  stream.on('end', () =>
    then(() => {
      close();
      stream.end();
    }),
  );
  stream.on('drain', () => {
    stream.resume();
    user.drained?.();
  });
  // Also when the connection is gone.
  stream.on('cancelled', close);
  stream.on('error', close);
}

function keepAlives(backend: Backend, stream: Stream<LeaseKeepAliveResponse>): StreamUser<LeaseId> {
  const caller = callerOf(backend, stream);
  return {
    request({ id }) {
      caller.requireUser();
      allowWrites(caller, backend.leases.keysOf(id));
      // etcd's header tells of the time before the renewal.
      const header = backend.header();
      stream.write({ header, id, ttl: backend.leases.keepAlive(id) });
    },
  };
}

/** Whoever sent the token that goes with a call; etcd takes it under two names. */
function callerOf(
  { auth }: Backend,
  { metadata }: { readonly metadata: Metadata },
  checkSize?: () => void,
): Caller {
  const [token] = [...metadata.get('token'), ...metadata.get('authorization')];
  return new Caller(auth, token?.toString().replace(/^Bearer /, ''), checkSize);
}

function whole(backend: Backend, response: Init<WatchResponse>): Init<WatchResponse> {
  return { ...response, header: backend.header(response.header) };
}

function parse<T>({ maxMessageBytes }: Backend, bytes: Buffer, decode: (bytes: Buffer) => T): T {
  if (bytes.length > maxMessageBytes) {
    const sizes = `${bytes.length} vs. ${maxMessageBytes}`;
    const details = `grpc: received message larger than max (${sizes})`;
    throw new EtcdError(status.RESOURCE_EXHAUSTED, details);
  }
  try {
    return decode(bytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EtcdError(status.INTERNAL, `grpc: error unmarshalling request: ${reason}`);
  }
}

function toStatus(error: unknown): { code: status; details: string } {
  if (error instanceof EtcdError) return { code: error.code, details: error.details };
  const details = error instanceof Error ? error.message : String(error);
  return { code: status.UNKNOWN, details };
}
