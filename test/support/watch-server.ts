import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type StatusObject,
} from '@grpc/grpc-js';
import { pathOf } from '../../src/embed/server/grpc-method.js';
import type { Init } from '../../src/embed/server/wire/codec.js';
import {
  type WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from '../../src/embed/server/wire/watch.js';
import type { TestEtcd } from './etcd.js';

/** A client's stream, as the server has it. */
export interface ServedStream {
  /** What the client asked for, in order. */
  readonly creates: readonly WatchCreateRequest[];
  /** IDs that the client cancelled. */
  readonly cancels: readonly string[];
  /** Sends a message, or bytes that need not be one. */
  send(response: Init<WatchResponse> | Buffer): void;
  /** Ends it with an error. */
  fail(error: Partial<StatusObject>): void;
}

/** A server of watches that does what a test has it do, sense or nonsense. */
export interface WatchServer {
  readonly endpoint: string;
  /** All streams so far. */
  readonly streams: readonly ServedStream[];
}

/** What answers a request for a watch; without it each is confirmed at revision 10. */
export type OnCreate = (stream: ServedStream, request: WatchCreateRequest, count: number) => void;

export const created = (watchId: bigint, revision = 10): Init<WatchResponse> => ({
  header: { revision },
  watchId,
  created: true,
});

/** Events of puts at these revisions, each with a value that says when. */
export const puts = (watchId: bigint, ...revisions: readonly number[]): Init<WatchResponse> => ({
  header: { revision: 1_000 },
  watchId,
  events: revisions.map((revision) => ({
    type: 0,
    kv: { key: 'k', value: `${revision}`, createRevision: 1, modRevision: revision, version: 1 },
  })),
});

/** Starts one, for one test. Reads prove that it `isWell`, or fail. */
export async function startWatchServer(
  etcd: TestEtcd,
  onCreate: OnCreate = (stream, { watchId }) => stream.send(created(watchId)),
  onStream: (stream: ServedStream) => void = () => {},
  isWell = false,
): Promise<WatchServer> {
  const server = new Server();
  const streams: ServedStream[] = [];
  let creates = 0;
  const serve = (call: ServerDuplexStream<WatchRequest, Init<WatchResponse> | Buffer>): void => {
    const own = { creates: [] as WatchCreateRequest[], cancels: [] as string[] };
    const stream: ServedStream = {
      ...own,
      send: (response) => void call.write(response),
      fail: (error) => void call.emit('error', error),
    };
    streams.push(stream);
    call.on('error', () => {});
    call.on('data', ({ create, cancel }: WatchRequest) => {
      if (cancel) own.cancels.push(`${cancel.watchId}`);
      if (!create) return;
      own.creates.push(create);
      creates += 1;
      onCreate(stream, create, creates);
    });
    call.on('end', () => call.end());
    onStream(stream);
  };
  server.register(
    pathOf('Watch.Watch'),
    serve,
    (response) => (Buffer.isBuffer(response) ? response : WatchResponse.encode(response)),
    (bytes) => WatchRequest.decode(bytes),
    'bidi',
  );
  const tellThatItIsWell = (_: unknown, answer: (error: null, reply: Buffer) => void): void =>
    answer(null, Buffer.alloc(0));
  const asIs = (bytes: Buffer): Buffer => bytes;
  if (isWell) server.register(pathOf('KV.Range'), tellThatItIsWell, asIs, asIs, 'unary');
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  etcd.defer(() => server.forceShutdown());
  return { endpoint: `127.0.0.1:${port}`, streams };
}
