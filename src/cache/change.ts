import type { MirrorChange, MirrorEntry } from './mirror-options.js';

/** What leads from one entry of a key to another; `undefined` if there is neither, or nothing has changed. */
export function changeOf<T>(
  previous: MirrorEntry<T> | undefined,
  entry: MirrorEntry<T> | undefined,
): MirrorChange<T> | undefined {
  if (!entry) return previous && { type: 'removed', key: previous.key, previous };
  if (!previous) return added(entry);
  if (previous.modRevision === entry.modRevision) return undefined;
  return { type: 'changed', key: entry.key, entry, previous };
}

/** The change by which an entry comes. */
export function added<T>(entry: MirrorEntry<T>): MirrorChange<T> {
  return { type: 'added', key: entry.key, entry };
}
