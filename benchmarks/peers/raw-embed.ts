import { RawClient } from '../../test/support/raw-client.js';

/** Has an etcd forget what was before `revision`. */
export async function compact(endpoint: string, revision: number): Promise<void> {
  const client = new RawClient(endpoint);
  await client.call('KV.Compact', { revision });
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
  const client = new RawClient(endpoint);
  const stream = client.open('Watch.Watch');
  let created = 0;
  let ended = false;
  await new Promise<void>((resolve, reject) => {
    stream.listen(
      ({ watchId, events, created: isNew }) => {
        for (const { kv } of events) onEvent(Number(watchId) - 1, kv?.key ?? '');
        if (isNew) created += 1;
        if (isNew && created === watches.length) resolve();
      },
      (error) => {
        if (!ended) reject(error);
      },
    );
    for (const [index, { key, end = '' }] of watches.entries()) {
      stream.send({ create: { key, rangeEnd: end, watchId: BigInt(index + 1) } });
    }
  });
  return () => {
    ended = true;
    stream.close();
    client.close();
  };
}
