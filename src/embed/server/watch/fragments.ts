import type { Init } from '../wire/codec.js';
import { Event, type WatchResponse } from '../wire/watch.js';

/** A response as several, each with as many events as fit `size` bytes but at least one; all but the last say so. */
export function inFragments(
  response: Init<WatchResponse> & { readonly events: readonly Init<Event>[] },
  size: number,
): Init<WatchResponse>[] {
  const parts: Init<Event>[][] = [[]];
  let room = size;
  for (const event of response.events) {
    const length = Event.encode(event).length;
    if (length > room && parts.at(-1)?.length) {
      parts.push([]);
      room = size;
    }
    parts.at(-1)?.push(event);
    room -= length;
  }
  const { header, watchId } = response;
  return parts.map((events, index) => {
    return { header, watchId, events, fragment: index < parts.length - 1 };
  });
}
