import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { pathOf } from '../../src/embed/server/grpc-method.js';
import * as auth from '../../src/embed/server/wire/auth.js';
import * as cluster from '../../src/embed/server/wire/cluster.js';
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
  'Maintenance.Alarm': [cluster.AlarmRequest, cluster.AlarmResponse];
  'Auth.AuthEnable': [Empty, kv.HeaderOnly];
  'Auth.AuthDisable': [Empty, kv.HeaderOnly];
  'Auth.AuthStatus': [Empty, auth.AuthStatusResponse];
  'Auth.Authenticate': [auth.Credentials, auth.AuthenticateResponse];
  'Auth.UserAdd': [auth.UserAddRequest, kv.HeaderOnly];
  'Auth.UserGet': [auth.Named, auth.NamesResponse];
  'Auth.UserList': [Empty, auth.NamesResponse];
  'Auth.UserDelete': [auth.Named, kv.HeaderOnly];
  'Auth.UserChangePassword': [auth.Credentials, kv.HeaderOnly];
  'Auth.UserGrantRole': [auth.UserRoleRequest, kv.HeaderOnly];
  'Auth.UserRevokeRole': [auth.UserRoleRequest, kv.HeaderOnly];
  'Auth.RoleAdd': [auth.Named, kv.HeaderOnly];
  'Auth.RoleGet': [auth.Named, auth.RoleGetResponse];
  'Auth.RoleList': [Empty, auth.NamesResponse];
  'Auth.RoleDelete': [auth.Named, kv.HeaderOnly];
  'Auth.RoleGrantPermission': [auth.RoleGrantPermissionRequest, kv.HeaderOnly];
  'Auth.RoleRevokePermission': [auth.RoleRevokePermissionRequest, kv.HeaderOnly];
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
  'Maintenance.Alarm': [cluster.AlarmRequest, cluster.AlarmResponse],
  'Auth.AuthEnable': [Empty, kv.HeaderOnly],
  'Auth.AuthDisable': [Empty, kv.HeaderOnly],
  'Auth.AuthStatus': [Empty, auth.AuthStatusResponse],
  'Auth.Authenticate': [auth.Credentials, auth.AuthenticateResponse],
  'Auth.UserAdd': [auth.UserAddRequest, kv.HeaderOnly],
  'Auth.UserGet': [auth.Named, auth.NamesResponse],
  'Auth.UserList': [Empty, auth.NamesResponse],
  'Auth.UserDelete': [auth.Named, kv.HeaderOnly],
  'Auth.UserChangePassword': [auth.Credentials, kv.HeaderOnly],
  'Auth.UserGrantRole': [auth.UserRoleRequest, kv.HeaderOnly],
  'Auth.UserRevokeRole': [auth.UserRoleRequest, kv.HeaderOnly],
  'Auth.RoleAdd': [auth.Named, kv.HeaderOnly],
  'Auth.RoleGet': [auth.Named, auth.RoleGetResponse],
  'Auth.RoleList': [Empty, auth.NamesResponse],
  'Auth.RoleDelete': [auth.Named, kv.HeaderOnly],
  'Auth.RoleGrantPermission': [auth.RoleGrantPermissionRequest, kv.HeaderOnly],
  'Auth.RoleRevokePermission': [auth.RoleRevokePermissionRequest, kv.HeaderOnly],
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
  async call<K extends keyof Calls>(
    name: K,
    request: Init<Calls[K][0]>,
    token?: string,
  ): Promise<Calls[K][1]> {
    const [requests, replies] = calls[name] as unknown as readonly [
      Codec<object>,
      Codec<Calls[K][1]>,
    ];
    const message = requests.encode(request);
    return replies.decode(await this.callBytes(name, message, token));
  }

  /** Calls etcd once with a message as it is on the wire, and gives such a reply. @throws ServiceError with what etcd refuses with */
  callBytes(name: string, message: Buffer = Buffer.alloc(0), token?: string): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest<Buffer, Buffer>(
        pathOf(name),
        (bytes) => bytes,
        (bytes) => bytes,
        message,
        metadataWith(token),
        (error, reply) => (error ? reject(error) : resolve(reply as Buffer)),
      );
    });
  }

  /** Reads as a stream, and gives the pieces. @throws ServiceError with what etcd refuses with */
  async rangeStream(
    request: Init<kv.RangeRequest>,
    token?: string,
  ): Promise<readonly kv.RangeResponse[]> {
    const stream = this.#client.makeServerStreamRequest<
      Init<kv.RangeRequest>,
      kv.RangeStreamResponse
    >(
      pathOf('KV.RangeStream'),
      (message) => kv.RangeRequest.encode(message),
      (bytes) => kv.RangeStreamResponse.decode(bytes),
      request,
      metadataWith(token),
    );
    const pieces: kv.RangeResponse[] = [];
    for await (const { rangeResponse } of stream as AsyncIterable<kv.RangeStreamResponse>) {
      pieces.push(rangeResponse ?? kv.RangeResponse.create());
    }
    return pieces;
  }

  open<K extends keyof Streams>(name: K, token?: string): RawStream<Streams[K][0], Streams[K][1]> {
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
      metadataWith(token),
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

/** What a call carries for a user who logged in. */
function metadataWith(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('token', token);
  return metadata;
}
