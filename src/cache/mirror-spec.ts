import { type Codec, json } from '../core/codec.js';
import { ArgumentError } from '../core/store/errors.js';
import type { KeyRange } from '../core/store/keys.js';
import type { Store } from '../core/store/store.js';
import type { Clock } from '../core/time/clock.js';
import { checkRead } from '../core/txn/check-txn.js';
import { milliseconds, oneOf, wholeFrom } from '../core/validate.js';
import type { MirrorOptions } from './mirror-options.js';
import type { ReplicaSpec } from './replica.js';

/** One for all, so that mirrors without another share what they read. */
const usual = json<unknown>();

/** What a mirror with these options shows. @throws ArgumentError if a key or an option is not usable. */
export function specOf<T>(
  store: Store,
  clock: Clock,
  range: KeyRange,
  options: MirrorOptions<T>,
): ReplicaSpec<T> {
  const { codec = usual as Codec<T>, indexes = {}, limit = {} } = options;
  const { staleAfter = 10_000, undecodable = 'omit', onFailure = 'end' } = options;
  const { keys = 1_000_000, bytes = 256 * 1024 * 1024 } = limit;
  checkRead(range);
  if (typeof codec?.decode !== 'function') {
    throw new ArgumentError('codec', 'something that can decode', codec);
  }
  for (const [name, indexOf] of Object.entries(indexes)) {
    if (typeof indexOf !== 'function') {
      throw new ArgumentError(`indexes.${name}`, 'a function', indexOf);
    }
  }
  return {
    onFailure: oneOf('onFailure', onFailure, ['end', 'retry']),
    store,
    clock,
    range,
    codec,
    undecodable: oneOf('undecodable', undecodable, ['omit', 'keep']),
    staleAfter: milliseconds('staleAfter', staleAfter, 1),
    limit: { keys: wholeFrom(1, 'limit.keys', keys), bytes: wholeFrom(1, 'limit.bytes', bytes) },
  };
}
