import { refusal } from '../errors.js';
import { type Interval, intervalOf } from '../mvcc/interval.js';
import type { MvccStore } from '../mvcc/store.js';
import { NO_LEASE, type Version } from '../mvcc/version.js';
import type { KeyValue } from '../wire/common.js';
import type { RangeRequest } from '../wire/kv.js';
import { toKeyValue } from './key-value.js';

const BY_VALUE = 4;

/** What a read finds. */
export interface Found {
  readonly kvs: KeyValue[];
  readonly more: boolean;
  /** Keys in the range, before any filter or limit. */
  readonly count: number;
}

/** @throws EtcdError if the revision asked for is not there yet, or no more. */
export function checkRevision(store: MvccStore, revision: number): void {
  if (revision > store.revision) throw refusal('futureRevision');
  if (revision > 0 && revision < store.compacted) throw refusal('compacted');
}

/** As `checkRevision`, for a read in a transaction: there, a revision below 0 is one like any other. */
export function checkRevisionInTxn(store: MvccStore, revision: number): void {
  checkRevision(store, revision);
  if (revision < 0 && revision < store.compacted) throw refusal('compacted');
}

/**
 * Reads a range at the revision it asks for.
 *
 * @param now - the revision of the present: within a transaction that has written, the one it writes
 */
export function readRange(store: MvccStore, request: RangeRequest, now: number): Found {
  const { limit, revision, countOnly, keysOnly } = request;
  const interval = intervalOf(request.key, request.rangeEnd);
  const present = revision <= 0 || revision === now;
  if (countOnly && present) return { kvs: [], more: false, count: store.count(interval) };
  const fetched = present
    ? readPresent(store, interval, request)
    : countAll(store.readAt(interval, revision));
  if (countOnly) return { kvs: [], more: false, count: fetched.count };
  // etcd sorts after it has cut, unless an order or a filter is given.
  const cut = needsAll(request) || limit <= 0 ? fetched.all : fetched.all.slice(0, limit + 1);
  const sorted = sort(cut.filter(passes(request)), request);
  const more = limit > 0 && sorted.length > limit;
  const shown = (more ? sorted.slice(0, limit) : sorted).map(toKeyValue);
  const kvs = keysOnly ? shown.map((kv) => withoutValue(kv, request)) : shown;
  return { kvs, more, count: fetched.count };
}

/** etcd answers from its index, which has no leases, unless it needs the values for their order. */
function withoutValue(kv: KeyValue, { sortTarget }: RangeRequest): KeyValue {
  return { ...kv, value: '', lease: sortTarget === BY_VALUE ? kv.lease : NO_LEASE };
}

function readPresent(
  store: MvccStore,
  interval: Interval,
  request: RangeRequest,
): { all: Version[]; count: number } {
  if (request.limit <= 0 || needsAll(request)) return countAll(store.read(interval));
  const all = store.read(interval, request.limit + 1);
  const count = all.length <= request.limit ? all.length : store.count(interval);
  return { all, count };
}

function countAll(all: Version[]): { all: Version[]; count: number } {
  return { all, count: all.length };
}

function needsAll(request: RangeRequest): boolean {
  const { sortOrder, minModRevision, maxModRevision } = request;
  const { minCreateRevision, maxCreateRevision } = request;
  return (
    sortOrder !== 0 ||
    minModRevision !== 0 ||
    maxModRevision !== 0 ||
    minCreateRevision !== 0 ||
    maxCreateRevision !== 0
  );
}

function passes(request: RangeRequest): (version: Version) => boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  return ({ mod, create }) =>
    (minModRevision === 0 || mod >= minModRevision) &&
    (maxModRevision === 0 || mod <= maxModRevision) &&
    (minCreateRevision === 0 || create >= minCreateRevision) &&
    (maxCreateRevision === 0 || create <= maxCreateRevision);
}

const properties: readonly ((version: Version) => number | string)[] = [
  ({ key }) => key,
  ({ version }) => version,
  ({ create }) => create,
  ({ mod }) => mod,
  ({ value }) => value,
];

function sort(found: Version[], { sortOrder, sortTarget }: RangeRequest): Version[] {
  const property = properties[sortTarget];
  // They come in the order of their keys.
  if (property === undefined || (sortTarget === 0 && sortOrder !== 2)) return found;
  const sign = sortOrder === 2 ? -1 : 1;
  return found.toSorted((a, b) => {
    const [x, y] = [property(a), property(b)];
    return x === y ? 0 : x < y ? -sign : sign;
  });
}
