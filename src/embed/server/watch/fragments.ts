import type { Init } from '../wire/codec.js';
import { type Event, WatchResponse } from '../wire/watch.js';

/** What the header of a reply takes when it is whole: two random IDs, and the term. */
const HEADER = 24;

/**
 * A response as several that are smaller than `size` bytes but have at least one event each; all but the last say
 * so. One that is small enough stays whole.
 */
export function inFragments(
  response: Init<WatchResponse> & { readonly events: readonly Init<Event>[] },
  size: number,
): Init<WatchResponse>[] {
  const { header, watchId } = response;
  const empty = HEADER + WatchResponse.encode({ header, watchId, fragment: true }).length;
  const parts: Init<Event>[][] = [[]];
  let length = empty;
  for (const event of response.events) {
    const more = WatchResponse.encode({ events: [event] }).length;
    if (length + more >= size && parts.at(-1)?.length) {
      parts.push([]);
      length = empty;
    }
    parts.at(-1)?.push(event);
    length += more;
  }
  return parts.map((events, index) => {
    return { header, watchId, events, fragment: index < parts.length - 1 };
  });
}
