import type { Template } from './operations.js';

// What the real etcd dies of, for good: the request is in its log, so it dies again whenever it is started. None of
// this may ever be sent.

/**
 * etcd dies of a transaction that deletes a key and then puts it keeping its value or lease. It refuses most of these
 * itself, but not those that delete up to the last key. Such puts are made to keep nothing.
 */
export function withoutKept(txn: Template): Template {
  const isDeleted = deletedBy(txn);
  return mapPuts(txn, (put) =>
    isDeleted(put['key'] as string)
      ? { ...put, ignoreValue: undefined, ignoreLease: undefined }
      : put,
  ) as Template;
}

/**
 * Whether a transaction may delete a key and then put it. Once history is compacted to the very revision of one that
 * did, etcd dies of the next read of the key.
 */
export function mayRevive(txn: Template): boolean {
  const isDeleted = deletedBy(txn);
  let found = false;
  mapPuts(txn, (put) => {
    found ||= isDeleted(put['key'] as string);
    return put;
  });
  return found;
}

function deletedBy(txn: Template): (key: string) => boolean {
  const deletions = [...deletionsOf(txn)];
  return (key) =>
    deletions.some(({ key: low, rangeEnd: high }) => {
      if (!high) return key === low;
      return (low as string) <= key && (high === '\0' || key < (high as string));
    });
}

function* deletionsOf(template: unknown): Generator<Template> {
  if (typeof template !== 'object' || template === null) return;
  for (const [name, inner] of Object.entries(template)) {
    if (name === 'deleteRange') yield inner as Template;
    else yield* deletionsOf(inner);
  }
}

function mapPuts(template: unknown, map: (put: Template) => Template): unknown {
  if (Array.isArray(template)) return template.map((item) => mapPuts(item, map));
  if (typeof template !== 'object' || template === null) return template;
  return Object.fromEntries(
    Object.entries(template).map(([name, inner]) => [
      name,
      name === 'put' ? map(inner as Template) : mapPuts(inner, map),
    ]),
  );
}
