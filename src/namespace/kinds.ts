import { ArgumentError } from '../core/store/errors.js';
import { unescapedName } from '../core/store/keys.js';
import { nonEmpty } from '../core/validate.js';

/** Where recipes keep their keys. */
const kinds: readonly string[] = [
  'mutex',
  'read-write-lock',
  'semaphore',
  'held',
  'audit',
  'gate',
  'latch',
  'cyclic-barrier',
  'double-barrier',
  'election',
  'schedule',
  'queue',
  'group',
  'partitioner',
  'counter',
  'sequence',
  'value',
  'service',
  '.etcd-recipes',
];

/** Where a tenant's quota is kept: what was counted there, nowhere else. */
export const quotaFolder = '.etcd-recipes/quota/';

/** What a key is part of. */
export interface Belonging {
  /** The kind of recipe; `undefined` for keys that are of none. */
  readonly kind: string | undefined;
  /** Of a recipe its name; of other keys their part up to and with the first slash, which may be a namespace, or all of it. */
  readonly name: string;
  /** The bytes with which all keys begin that are part of the same. */
  readonly folder: Buffer;
}

/** Tells what a key is part of, by where it is. */
export function belonging(key: Buffer): Belonging {
  const first = key.indexOf('/') + 1;
  const top = key.toString('utf8', 0, Math.max(0, first - 1));
  if (!kinds.includes(top)) {
    const folder = first === 0 ? key : key.subarray(0, first);
    return { kind: undefined, name: folder.toString(), folder };
  }
  const second = key.indexOf('/', first) + 1;
  if (second === 0) return { kind: undefined, name: key.toString(), folder: key };
  const name = unescapedName(key.toString('utf8', first, second - 1));
  return { kind: top, name, folder: key.subarray(0, second) };
}

/**
 * Passes the prefix of a namespace or throws.
 *
 * @throws ArgumentError if it is empty, or there can be keys of recipes outside that begin with it.
 */
export function apartFromRecipes(prefix: string): string {
  nonEmpty('prefix', prefix);
  for (const kind of kinds) {
    const folder = `${kind}/`;
    if (!folder.startsWith(prefix) && !prefix.startsWith(folder)) continue;
    throw new ArgumentError('prefix', `apart from ${folder}, where recipes are`, prefix);
  }
  return prefix;
}
