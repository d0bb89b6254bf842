import { Client, credentials } from '@grpc/grpc-js';
import type { Init } from '../../src/embed/server/wire/codec.js';
import { CompactionRequest, HeaderOnly } from '../../src/embed/server/wire/kv.js';
import { WatchRequest, WatchResponse } from '../../src/embed/server/wire/watch.js';

/** Opens a connection of its own. */
function connect(endpoint: string): Client {
  return new Client(endpoint.replace(/^http:\/\//, ''), credentials.createInsecure());
}

/** Has an etcd forget what was before `revision`. */
export async function compact(endpoint: string, revision: number): Promise<void> {
  const client = connect(endpoint);
  await new Promise<void>((resolve, reject) => {
    client.makeUnaryRequest(
      '/etcdserverpb.KV/Compact',
      (request: Init<CompactionRequest>) => CompactionRequest.encode(request),
      (reply) => HeaderOnly.decode(reply),
      { revision },
      (error) => (error ? reject(error) : resolve()),
    );
  });
  client.close();
}

/** What is watched: one key, or with `end` a range. */
export interface RawWatch {
  readonly key: string;
  readonly end?: string;
}

/**
 * Sets watches on one stream, on bare `@grpc/grpc-js`; resolves when the server has confirmed all of them.
 *
 * @param onEvent - told of every event: which of the watches it came for, and the key
 * @returns a function that ends them
 */
export async function watchAll(
  endpoint: string,
  watches: readonly RawWatch[],
  onEvent: (watch: number, key: string) => void,
): Promise<() => void> {
  const client = connect(endpoint);
  const stream = client.makeBidiStreamRequest(
    '/etcdserverpb.Watch/Watch',
    (request: Init<WatchRequest>) => WatchRequest.encode(request),
    (bytes) => WatchResponse.decode(bytes),
  );
  let created = 0;
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject);
    stream.on('data', ({ watchId, events, created: isNew }: WatchResponse) => {
      for (const { kv } of events) onEvent(Number(watchId) - 1, kv?.key ?? '');
      if (isNew) created += 1;
      if (isNew && created === watches.length) resolve();
    });
    for (const [index, { key, end = '' }] of watches.entries()) {
      stream.write({ create: { key, rangeEnd: end, watchId: BigInt(index + 1) } });
    }
  });
  return () => {
    stream.removeAllListeners('error').on('error', () => {});
    stream.cancel();
    client.close();
  };
}
