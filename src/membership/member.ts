import type { Codec } from '../core/codec.js';
import { fieldsIn, ownerOf, ticketOf } from '../core/line/ticket.js';
import type { Owner } from '../core/session/session.js';
import { ArgumentError } from '../core/store/errors.js';
import { type Data, folderOf, unescapedName } from '../core/store/keys.js';
import type { KeyValue } from '../core/store/store.js';
import { nonEmpty } from '../core/validate.js';

/** One of a group, as others see it. */
export interface Member<T> {
  /** What tells it from the others; it keeps it when it joins again. */
  readonly id: string;
  /** What it says of itself. */
  readonly payload: T;
  /** The revision at which it joined: who is older comes first. Another after it has joined again. */
  readonly token: bigint;
  /** The revision of the last change of its payload. */
  readonly revision: bigint;
  /** The lease that keeps it in the group. */
  readonly lease: bigint;
  /** Its key in etcd. */
  readonly key: string;
  /** Which process it is; `undefined` where somebody else wrote the key. */
  readonly owner: Owner | undefined;
  /** When it wrote its payload, in milliseconds since 1970 by its own wall clock: to look at, not to rely on. */
  readonly writtenAt: number | undefined;
}

/** What members write down, and other things of JSON beside them. One for all, so that mirrors share what they read. */
export const fields: Codec<Readonly<Record<string, unknown>>> = {
  encode: (value) => JSON.stringify(value),
  decode: fieldsIn,
};

/** A key whose value was read with `fields`. */
export type FieldsEntry = Pick<KeyValue, 'createRevision' | 'modRevision' | 'lease'> & {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
};

/** Keys as a mirror with `fields` would show them. */
export function entriesOf(kvs: readonly KeyValue[]): FieldsEntry[] {
  return kvs.map((kv) => ({ ...kv, key: kv.key.toString(), value: fields.decode(kv.value) }));
}

/** The key of a member, in the folder of all. @throws ArgumentError unless the ID is a text that is not empty. */
export function keyOfMember(folder: string, id: string): string {
  return folderOf(folder.slice(0, -1), nonEmpty('id', id)).slice(0, -1);
}

/** What the key of a member has. @throws ArgumentError unless JSON can carry the payload. */
export function memberValue(owner: Owner, payload: unknown): Data {
  try {
    return ticketOf(owner, { payload });
  } catch {
    throw new ArgumentError('payload', 'something that JSON can carry', payload);
  }
}

/**
 * The members whose keys are in a folder, in the order in which they joined. Those that are known, and have not changed, are the same
 * objects. A key that no member could have stands for none.
 */
export function membersOf<T>(
  folder: string,
  entries: Iterable<FieldsEntry>,
  known: ReadonlyMap<string, Member<T>> = new Map(),
): Member<T>[] {
  return [...entries]
    .flatMap((entry) => {
      const id = unescapedName(entry.key.slice(folder.length));
      const before = known.get(id);
      if (before && isSame(before, entry)) return [before];
      return id !== '' && keyOfMember(folder, id) === entry.key ? [memberOf<T>(id, entry)] : [];
    })
    .toSorted((a, b) => Number(a.token - b.token) || (a.id < b.id ? -1 : 1));
}

function memberOf<T>(id: string, entry: FieldsEntry): Member<T> {
  const { key, value, createRevision: token, modRevision: revision, lease } = entry;
  const { payload, at } = value;
  return {
    id,
    payload: payload as T,
    token,
    revision,
    lease,
    key,
    owner: ownerOf(value),
    writtenAt: typeof at === 'number' ? at : undefined,
  };
}

function isSame({ token, revision, key }: Member<unknown>, entry: FieldsEntry): boolean {
  return token === entry.createRevision && revision === entry.modRevision && key === entry.key;
}
