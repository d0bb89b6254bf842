import { Client, type ClientDuplexStream, credentials, type ServiceError } from '@grpc/grpc-js';
import { pathOf } from '../../src/embed/server/grpc-method.js';
import type { Codec, Init } from '../../src/embed/server/wire/codec.js';
import { Empty } from '../../src/embed/server/wire/common.js';
import * as kv from '../../src/embed/server/wire/kv.js';
import * as lease from '../../src/embed/server/wire/lease.js';
import { WatchRequest, WatchResponse } from '../../src/embed/server/wire/watch.js';

/** Requests and replies of etcd's unary calls. */
export interface Calls {
  'KV.Range': [kv.RangeRequest, kv.RangeResponse];
  'KV.Put': [kv.PutRequest, kv.PutResponse];
  'KV.DeleteRange': [kv.DeleteRangeRequest, kv.DeleteRangeResponse];
  'KV.Txn': [kv.TxnRequest, kv.TxnResponse];
  'KV.Compact': [kv.CompactionRequest, kv.HeaderOnly];
  'Lease.LeaseGrant': [lease.LeaseGrantRequest, lease.LeaseGrantResponse];
  'Lease.LeaseRevoke': [lease.LeaseId, kv.HeaderOnly];
  'Lease.LeaseTimeToLive': [lease.LeaseTimeToLiveRequest, lease.LeaseTimeToLiveResponse];
  'Lease.LeaseLeases': [Empty, lease.LeaseLeasesResponse];
}

/** Messages of etcd's streams: the client's, and the server's. */
export interface Streams {
  'Lease.LeaseKeepAlive': [lease.LeaseId, lease.LeaseKeepAliveResponse];
  'Watch.Watch': [WatchRequest, WatchResponse];
}

type Codecs<T extends Record<keyof T, [object, object]>> = {
  readonly [K in keyof T]: readonly [Codec<T[K][0]>, Codec<T[K][1]>];
};

const calls: Codecs<Calls> = {
  'KV.Range': [kv.RangeRequest, kv.RangeResponse],
  'KV.Put': [kv.PutRequest, kv.PutResponse],
  'KV.DeleteRange': [kv.DeleteRangeRequest, kv.DeleteRangeResponse],
  'KV.Txn': [kv.TxnRequest, kv.TxnResponse],
  'KV.Compact': [kv.CompactionRequest, kv.HeaderOnly],
  'Lease.LeaseGrant': [lease.LeaseGrantRequest, lease.LeaseGrantResponse],
  'Lease.LeaseRevoke': [lease.LeaseId, kv.HeaderOnly],
  'Lease.LeaseTimeToLive': [lease.LeaseTimeToLiveRequest, lease.LeaseTimeToLiveResponse],
  'Lease.LeaseLeases': [Empty, lease.LeaseLeasesResponse],
};

const streams: Codecs<Streams> = {
  'Lease.LeaseKeepAlive': [lease.LeaseId, lease.LeaseKeepAliveResponse],
  'Watch.Watch': [WatchRequest, WatchResponse],
};

/** A stream of an etcd. What was sent can be read once, in order. */
export interface RawStream<Request, Reply> {
  send(request: Init<Request>): void;
  /** Called with each reply, and once with the error that ends the stream, if it does. */
  listen(onReply: (reply: Reply) => void, onError: (error: ServiceError) => void): void;
  close(): void;
}

/** An etcd as it is on the wire: no retries, no defaults, nothing hidden. Keys and values are `latin1` text. */
export class RawClient {
  readonly #client: Client;

  /** @param endpoint - such as `http://127.0.0.1:2379` */
  constructor(endpoint: string) {
    this.#client = new Client(new URL(endpoint).host, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.enable_retries': 0,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** Calls etcd once. @throws ServiceError with what etcd refuses with */
  call<K extends keyof Calls>(name: K, request: Init<Calls[K][0]>): Promise<Calls[K][1]> {
    const [requests, replies] = calls[name] as unknown as readonly [
      Codec<object>,
      Codec<Calls[K][1]>,
    ];
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest<Init<object>, Calls[K][1]>(
        pathOf(name),
        (message) => requests.encode(message),
        (bytes) => replies.decode(bytes),
        request as Init<object>,
        (error, reply) => (error ? reject(error) : resolve(reply as Calls[K][1])),
      );
    });
  }

  /** Reads as a stream, and gives the pieces. @throws ServiceError with what etcd refuses with */
  async rangeStream(request: Init<kv.RangeRequest>): Promise<readonly kv.RangeResponse[]> {
    const stream = this.#client.makeServerStreamRequest<
      Init<kv.RangeRequest>,
      kv.RangeStreamResponse
    >(
      pathOf('KV.RangeStream'),
      (message) => kv.RangeRequest.encode(message),
      (bytes) => kv.RangeStreamResponse.decode(bytes),
      request,
    );
    const pieces: kv.RangeResponse[] = [];
    for await (const { rangeResponse } of stream as AsyncIterable<kv.RangeStreamResponse>) {
      pieces.push(rangeResponse ?? kv.RangeResponse.create());
    }
    return pieces;
  }

  open<K extends keyof Streams>(name: K): RawStream<Streams[K][0], Streams[K][1]> {
    const [requests, replies] = streams[name] as unknown as readonly [
      Codec<object>,
      Codec<Streams[K][1]>,
    ];
    const stream: ClientDuplexStream<
      Init<object>,
      Streams[K][1]
    > = this.#client.makeBidiStreamRequest<Init<object>, Streams[K][1]>(
      pathOf(name),
      (message) => requests.encode(message),
      (bytes) => replies.decode(bytes),
    );
    return {
      send: (request) => void stream.write(request),
      listen: (onReply, onError) => void stream.on('data', onReply).on('error', onError),
      close: () => stream.cancel(),
    };
  }

  close(): void {
    this.#client.close();
  }
}
