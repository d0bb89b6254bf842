import type { CallOptions, ChannelCredentials, Client, Metadata } from '@grpc/grpc-js';
import {
  AuthClient,
  type ICallable,
  KVClient,
  LeaseClient,
  type Services,
  WatchClient,
} from 'etcd3';
// etcd3's pool shuffles, retries and breaks circuits on its own; its hosts are all we take of it.
import { Host } from 'etcd3/lib/connection-pool.js';
import { onAbort } from './signals.js';

/** How one attempt is limited. */
export interface AttemptOptions extends CallOptions {
  /** Milliseconds until the attempt is given up. */
  readonly limit?: number;
  /** Gives the attempt up. */
  readonly signal?: AbortSignal | undefined;
}

type UnaryMethod = (
  request: unknown,
  metadata: Metadata,
  options: CallOptions,
  done: (error: Error | null, reply: never) => void,
) => { cancel(): void };

const channelOptions = {
  // Members punish pings faster than 5 s; quicker notice of a hung one is the business of our own limits.
  'grpc.keepalive_time_ms': 6_000,
  'grpc.keepalive_timeout_ms': 2_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.max_receive_message_length': -1,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_retries': 0,
};

/** One etcd member as we reach it: a gRPC channel, and etcd3's typed clients over it. One attempt per call. */
export class Endpoint implements ICallable<Endpoint> {
  readonly kv: KVClient = new KVClient(this);
  readonly leases: LeaseClient = new LeaseClient(this);
  readonly watches: WatchClient = new WatchClient(this);
  readonly auth: AuthClient = new AuthClient(this);
  readonly callOptionsFactory: undefined;
  /** As it was configured, for messages. */
  readonly name: string;
  /** Until when the pool passes it over, in the clock's milliseconds. */
  asideUntil = 0;
  /** How often in a row it failed. */
  misses = 0;
  readonly #host: Host;
  readonly #metadata: Metadata;

  constructor(name: string, address: string, credentials: ChannelCredentials, metadata: Metadata) {
    this.name = name;
    this.#host = new Host(address, credentials, channelOptions);
    this.#metadata = metadata;
  }

  exec<T>(
    service: keyof typeof Services,
    method: string,
    request: unknown,
    { limit, signal }: AttemptOptions = {},
  ): Promise<T> {
    const client = this.#host.getServiceClient(service) as Client & Record<string, UnaryMethod>;
    const options = limit === undefined ? {} : { deadline: Date.now() + limit };
    return new Promise((resolve, reject) => {
      const done = (error: Error | null, reply: T): void => {
        stopListening();
        if (error) reject(error);
        else resolve(reply);
      };
      const call = untraced(() => client[method]?.(request, this.#metadata, options, done));
      const stopListening = onAbort(signal, () => call?.cancel());
    });
  }

  async withConnection<R>(
    service: keyof typeof Services,
    use: (args: { resource: Endpoint; client: Client; metadata: Metadata }) => Promise<R> | R,
  ): Promise<R> {
    const client = this.#host.getServiceClient(service);
    return use({ resource: this, client, metadata: this.#metadata });
  }

  /** Streams are watched over by who opened them. */
  markFailed(): void {}

  close(): void {
    this.#host.close();
  }
}

/** grpc-js takes a stack trace of every call, for the case that it fails; our errors have their own. */
function untraced<T>(run: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return run();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
