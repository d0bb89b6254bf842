import type * as kv from '../../../src/embed/server/wire/kv.js';
import type { Attempt } from './intruder.js';

/** Keys, from one up to another; without `rangeEnd` one, up to a zero byte all that come after. */
interface Keys {
  readonly key: string;
  readonly rangeEnd?: string | undefined;
}

/** What a user must be allowed to do for a request; nobody but `root` may do what is not about keys. */
type Need = { readonly right: 'read' | 'write'; readonly keys: Keys } | 'root';

/** Which keys hang on which lease. */
export type Leased = ReadonlyMap<bigint, readonly string[]>;

/** Where a user may do what: from the first key up to the second. */
export interface Rights {
  readonly read: readonly (readonly [low: string, high: string])[];
  readonly write: readonly (readonly [low: string, high: string])[];
}

/**
 * Where lies what a request may touch, whichever branches of it run. With nothing outside it is `void` if something in it is no key, or
 * a range without any: etcd may refuse that or not.
 */
export type Place = 'inside' | 'outside' | 'void';

/** Where a request lies for a user. */
export function placeOf(attempt: Attempt, rights: Rights, leased: Leased): Place {
  const placeOfNeed = (need: Need): Place => {
    if (need === 'root') return 'outside';
    const { key, rangeEnd } = need.keys;
    const high = rangeEnd ? (rangeEnd === '\0' ? undefined : rangeEnd) : `${key}\0`;
    if (key === '' || (high !== undefined && high <= key)) return 'void';
    const isInside = rights[need.right].some(
      ([from, to]) => from <= key && high !== undefined && high <= to,
    );
    return isInside ? 'inside' : 'outside';
  };
  const places = new Set(needsOf(attempt, leased).map(placeOfNeed));
  return (['outside', 'void'] as const).find((place) => places.has(place)) ?? 'inside';
}

function needsOf({ does, request }: Attempt, leased: Leased): Need[] {
  const ofLease = (right: 'read' | 'write'): Need[] =>
    each(right, leased.get(request['id'] as bigint));
  switch (does) {
    case 'KV.Range':
    case 'range stream':
      return [{ right: 'read', keys: request as unknown as kv.RangeRequest }];
    case 'Watch.Watch': {
      const { key, rangeEnd } = request as unknown as Keys;
      return [{ right: 'read', keys: { key: key || '\0', rangeEnd } }];
    }
    case 'KV.Put':
      return needsOfPut(request as unknown as kv.PutRequest, leased);
    case 'KV.DeleteRange':
      return needsOfDelete(request as unknown as kv.DeleteRangeRequest);
    case 'KV.Txn':
      return needsOfTxn(request as unknown as kv.TxnRequest, leased);
    case 'Lease.LeaseGrant':
      return [];
    case 'Lease.LeaseRevoke':
    case 'Lease.LeaseKeepAlive':
      return ofLease('write');
    case 'Lease.LeaseTimeToLive':
      return request['keys'] ? ofLease('read') : [];
    case 'Lease.LeaseLeases':
      return [...leased.values()].flatMap((keys) => each('read', keys));
    default:
      return ['root'];
  }
}

function each(right: 'read' | 'write', keys: readonly string[] = []): Need[] {
  return keys.map((key) => ({ right, keys: { key } }));
}

/** A put under a lease takes what it takes to end that. */
function needsOfPut({ key, lease, prevKv }: kv.PutRequest, leased: Leased): Need[] {
  const writes = each('write', [key, ...(leased.get(lease) ?? [])]);
  return prevKv ? [...writes, ...each('read', [key])] : writes;
}

function needsOfDelete(keys: kv.DeleteRangeRequest): Need[] {
  const write: Need = { right: 'write', keys };
  return keys.prevKv ? [write, { right: 'read', keys }] : [write];
}

function needsOfTxn({ compare, success, failure }: kv.TxnRequest, leased: Leased): Need[] {
  return [
    ...compare.map((keys): Need => ({ right: 'read', keys })),
    ...[...success, ...failure].flatMap(({ range, put, deleteRange, txn }): Need[] => {
      if (range) return [{ right: 'read', keys: range }];
      if (put) return needsOfPut(put, leased);
      if (deleteRange) return needsOfDelete(deleteRange);
      return txn ? needsOfTxn(txn, leased) : [];
    }),
  ];
}
