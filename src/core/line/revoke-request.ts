import type { Owner } from '../session/session.js';
import type { Data } from '../store/keys.js';
import type { KeyValue, Store, Watch } from '../store/store.js';
import type { Place } from './place.js';
import { fieldsIn } from './ticket.js';

/** Somebody asks for something to be given back. */
export interface RevokeRequest {
  /** Why. */
  readonly reason: string;
  /** Who asks. */
  readonly by: Owner;
}

/** The value of a holder's key with a request in it. What else it tells stays there. */
export function withRequest(value: Uint8Array, revoke: RevokeRequest): Data {
  return JSON.stringify({ ...fieldsIn(value), revoke });
}

/**
 * Tells of requests that are put into any key of a place until the watches are closed: who asks may know of any, and one may be
 * all that is left.
 */
export function watchRequests(
  store: Store,
  { keys, token }: Pick<Place, 'keys' | 'token'>,
  listener: (request: RevokeRequest) => void,
): Watch[] {
  const hear = ({ value }: KeyValue): void => {
    const { revoke } = fieldsIn(value);
    if (isRequest(revoke)) listener(revoke);
  };
  const look = async (key: string): Promise<void> => {
    for (const kv of (await store.read({ key })).kvs) hear(kv);
  };
  const watch = (key: string): Watch =>
    store.watch(
      { key },
      {
        events: (events) => {
          for (const { kv } of events) hear(kv);
        },
        // Whoever asks again is heard again.
        gap: () => void look(key).catch(() => {}),
        closed: () => {},
      },
      { from: token + 1n, only: 'put' },
    );
  return keys.map(watch);
}

function isRequest(value: unknown): value is RevokeRequest {
  return typeof value === 'object' && value !== null && 'reason' in value && 'by' in value;
}
