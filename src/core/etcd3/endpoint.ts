import {
  type CallOptions,
  type ChannelOptions,
  type Client,
  credentials as Credentials,
  type Metadata,
  status as Status,
} from '@grpc/grpc-js';
import {
  AuthClient,
  type ICallable,
  type IDuplexStream,
  type IWatchRequest,
  KVClient,
  LeaseClient,
  type Services,
} from 'etcd3';
// etcd3's pool shuffles, retries and breaks circuits on its own; its hosts are all we take of it.
import { Host } from 'etcd3/lib/connection-pool.js';
import { onAbort } from '../time/signals.js';
import { traced } from '../trace.js';
import { understood } from './status.js';
import { callGrpc } from './transport/grpc-call.js';
import { Http2Channel } from './transport/http2-channel.js';
import { methodOf } from './transport/methods.js';
import { StatusError } from './transport/status-error.js';
import type { TlsMaterial } from './transport/target.js';
import type { Call } from './wire/calls.js';
import { readWatchReply, type WatchReply } from './wire/watch.js';

export type { TlsMaterial };

/** What an endpoint is made of. */
export interface EndpointOptions {
  /** As it was configured, for messages. */
  readonly name: string;
  /** `host:port`, or `unix:` and a path. */
  readonly address: string;
  /** `undefined` for a connection without TLS. */
  readonly tls: TlsMaterial | undefined;
  /** Sent with every call as it is then. */
  readonly metadata: Metadata;
  /** What carries unary calls: ours over `node:http2`, or grpc-js. Streams are grpc-js's always. */
  readonly transport: 'http2' | 'grpc';
  /** Longest message taken from the server, in bytes; `undefined` for any. */
  readonly maxReceiveBytes: number | undefined;
  /** Longest message sent, in bytes. */
  readonly maxSendBytes: number;
}

/** How one attempt is limited. */
export interface AttemptOptions extends CallOptions {
  /** Milliseconds until the attempt is given up. */
  readonly limit?: number | undefined;
  /** Milliseconds until it is given up if it has not been sent, for want of a connection. @defaultValue `limit` */
  readonly sendWithin?: number | undefined;
  /** Gives the attempt up. */
  readonly signal?: AbortSignal | undefined;
  /** Whether it asks if the endpoint is well, rather than for what a caller wants. @defaultValue `false` */
  readonly probe?: boolean;
  /** Whether a member that knows of no leader is to answer all the same. @defaultValue `false` */
  readonly leaderless?: boolean;
}

/** Bytes that a message of a stream may have where calls have a transport of their own: watches ask for shorter ones then. */
const longestStreamed = 64 * 2 ** 20;
/** Has a member that sees no leader say so at once instead of keeping us waiting, or answering with what it has. */
export const needsLeader = 'hasleader';
const channelOptions: ChannelOptions = {
  // Members punish pings faster than 5 s; quicker notice of a hung one is the business of our own limits.
  'grpc.keepalive_time_ms': 6_000,
  'grpc.keepalive_timeout_ms': 2_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_retries': 0,
};

/** One etcd member as we reach it, and etcd3's typed clients over that. One attempt per call. */
export class Endpoint implements ICallable<Endpoint> {
  readonly kv: KVClient = new KVClient(this);
  readonly leases: LeaseClient = new LeaseClient(this);
  readonly auth: AuthClient = new AuthClient(this);
  readonly callOptionsFactory: undefined;
  /** As it was configured, for messages. */
  readonly name: string;
  readonly #options: EndpointOptions;
  readonly #channel: Http2Channel | undefined;
  #tls: TlsMaterial | undefined;
  #host: Host;
  #formerHost: Host | undefined;
  #renewals = 0;

  /** @throws Error if certificates cannot be read. */
  constructor(options: EndpointOptions) {
    const { name, address, tls, transport } = options;
    this.name = name;
    this.#options = options;
    this.#tls = tls;
    this.#host = this.#newHost();
    if (transport === 'http2') this.#channel = new Http2Channel(address, tls);
  }

  /** Makes a call of etcd3's typed clients. */
  async exec<T>(
    service: keyof typeof Services,
    name: string,
    request: unknown,
    options?: AttemptOptions,
  ): Promise<T> {
    const { path, requestSerialize, responseDeserialize } = methodOf(service, name);
    const message = encode(requestSerialize, request);
    return this.call(
      { path, message, readReply: (bytes) => responseDeserialize(bytes) as T },
      options,
    );
  }

  /** Makes a call. Rejects with an error that has a gRPC status. */
  call<T>(call: Call<T>, options: AttemptOptions = {}): Promise<T> {
    return traced(
      'rpc',
      () => ({
        method: call.path.replace('/etcdserverpb.', ''),
        endpoint: this.name,
        probe: options.probe ?? false,
      }),
      () => this.#call(call, options),
    );
  }

  /** Opens a stream of watches. */
  watch(): IDuplexStream<IWatchRequest, WatchReply> {
    const { path, requestSerialize } = methodOf('Watch', 'watch');
    const client = this.#host.getServiceClient('Watch');
    const { metadata } = this.#options;
    return client.makeBidiStreamRequest(path, requestSerialize, readWatchReply, metadata);
  }

  /** Whether it is reached over TLS. */
  get isSecure(): boolean {
    return this.#options.tls !== undefined;
  }

  /** What makes it the same endpoint as another, however it is written. */
  get id(): string {
    return `${this.isSecure ? 'https' : 'http'}://${this.#options.address}`;
  }

  async withConnection<R>(
    service: keyof typeof Services,
    use: (args: { resource: Endpoint; client: Client; metadata: Metadata }) => Promise<R> | R,
  ): Promise<R> {
    const client = this.#host.getServiceClient(service);
    return use({ resource: this, client, metadata: this.#options.metadata });
  }

  /** Streams are watched over by who opened them. */
  markFailed(): void {}

  /**
   * Makes new connections for calls and streams from now on, with other certificates if given. Calls in flight finish
   * where they are; streams stay there until they end.
   *
   * @throws Error if certificates cannot be read; then nothing has changed.
   */
  renew(tls?: TlsMaterial): void {
    this.#channel?.renew(tls);
    if (tls) this.#tls = tls;
    this.renewStreams();
  }

  /** Makes a new connection for streams from now on; those that there are stay where they are. */
  renewStreams(): void {
    // A stream that was just about to start would not survive the end of its host.
    this.#formerHost?.close();
    this.#formerHost = this.#host;
    this.#renewals += 1;
    this.#host = this.#newHost();
  }

  /** Ends all calls. */
  close(): void {
    this.#channel?.close();
    this.#formerHost?.close();
    this.#host.close();
  }

  async #call<T>(
    { path, message, readReply }: Call<T>,
    { limit, sendWithin = limit, signal, leaderless = false }: AttemptOptions,
  ): Promise<T> {
    const { maxSendBytes, maxReceiveBytes = Infinity } = this.#options;
    let { metadata } = this.#options;
    if (leaderless) {
      metadata = metadata.clone();
      metadata.remove(needsLeader);
    }
    if (message.length > maxSendBytes) {
      const details = `Sent message larger than max (${message.length} vs. ${maxSendBytes})`;
      throw new StatusError(Status.RESOURCE_EXHAUSTED, details);
    }
    const request = { path, message, metadata, limit, sendWithin, maxReceiveBytes };
    const sent =
      this.#channel?.call(request) ?? callGrpc(this.#host.getServiceClient('KV'), request);
    const stopListening = onAbort(signal, () => sent.cancel());
    try {
      const reply = await sent.reply;
      return understood(() => readReply(reply));
    } finally {
      stopListening();
    }
  }

  #newHost(): Host {
    const { ca = null, cert = null, key = null, serverName } = this.#tls ?? {};
    const { transport, maxReceiveBytes = transport === 'http2' ? longestStreamed : -1 } =
      this.#options;
    const credentials = this.#tls
      ? Credentials.createSsl(ca, key, cert)
      : Credentials.createInsecure();
    return new Host(this.#options.address, credentials, {
      ...channelOptions,
      ...(serverName !== undefined && { 'grpc.ssl_target_name_override': serverName }),
      'grpc.max_receive_message_length': maxReceiveBytes,
      // Channels that are alike share a connection.
      'etcd-recipes.renewals': this.#renewals,
    });
  }
}

function encode(serialize: (request: unknown) => Buffer, request: unknown): Buffer {
  try {
    return serialize(request);
  } catch (error) {
    const details = `Request message serialization failure: ${(error as Error).message}`;
    throw new StatusError(Status.INTERNAL, details, { cause: error });
  }
}
