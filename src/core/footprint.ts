import { covers, type Span, spanOf } from './key-span.js';
import { type Data, type KeyRange, keyId } from './keys.js';
import type { Operation, Txn } from './store.js';

/** Keys one by one, as `keyId` has them, and in ranges. */
interface Extent {
  readonly keys: string[];
  readonly spans: Span[];
}

/** What there is to know of a transaction before it is sent. Whatever it may do counts, in either branch. */
export interface Footprint {
  /** What is compared or read. */
  readonly reads: Extent;
  /** What is put or deleted. */
  readonly writes: Extent;
  /** How many operations etcd counts: the most in one list, and as many again as the largest transaction in it has. */
  readonly operations: number;
  /** About how long it is as a message. */
  readonly bytes: number;
}

/** Bytes of a step besides keys and values, roughly. */
const overhead = 32;

/** Whether a transaction may write. */
export function writes({ success = [], failure = [] }: Txn): boolean {
  const write = (operation: Operation): boolean =>
    'txn' in operation ? writes(operation.txn) : !('range' in operation);
  return success.some(write) || failure.some(write);
}

/** Looks at a transaction and all nested in it. */
export function footprintOf(txn: Txn): Footprint {
  const found: Draft = {
    reads: { keys: [], spans: [] },
    writes: { keys: [], spans: [] },
    bytes: 0,
  };
  const operations = add(txn, found);
  return { ...found, operations };
}

interface Draft {
  readonly reads: Extent;
  readonly writes: Extent;
  bytes: number;
}

/** Gives the number of operations. */
function add({ compare = [], success = [], failure = [] }: Txn, found: Draft): number {
  for (const each of compare) {
    found.bytes += addKeys(each, found.reads);
    if (each.target === 'value') found.bytes += sizeOf(each.to as Data);
  }
  let nested = 0;
  for (const each of success) nested = Math.max(nested, addStep(each, found));
  for (const each of failure) nested = Math.max(nested, addStep(each, found));
  found.bytes += overhead;
  return Math.max(compare.length, success.length, failure.length) + nested;
}

/** Gives the number of operations inside it. */
function addStep(step: Operation, found: Draft): number {
  if ('txn' in step) return add(step.txn, found);
  if ('range' in step) found.bytes += addKeys(step.range, found.reads);
  else if ('delete' in step) found.bytes += addKeys(step.delete, found.writes);
  else found.bytes += addKeys(step.put, found.writes) + sizeOf(step.put.value);
  return 0;
}

/** Gives the number of bytes. */
function addKeys(range: KeyRange, { keys, spans }: Extent): number {
  const { key, end } = range;
  // etcd takes an end without a byte for none.
  if (end === undefined || end.length === 0) keys.push(keyId(key));
  else spans.push(spanOf(range));
  return overhead + key.length + (end?.length ?? 0);
}

function sizeOf(value: Data): number {
  return typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength;
}

/** What several transactions read and write between them. */
export class Footprints {
  readonly #reads = new Union();
  readonly #writes = new Union();

  add({ reads, writes: written }: Footprint): void {
    this.#reads.add(reads);
    this.#writes.add(written);
  }

  /** Whether one of them writes what this one reads or writes, or reads what this one writes. */
  conflict({ reads, writes: written }: Footprint): boolean {
    return this.#writes.meets(written) || this.#writes.meets(reads) || this.#reads.meets(written);
  }
}

class Union {
  readonly #keys = new Set<string>();
  readonly #spans: Span[] = [];

  add({ keys, spans }: Extent): void {
    for (const key of keys) this.#keys.add(key);
    this.#spans.push(...spans);
  }

  meets({ keys, spans }: Extent): boolean {
    for (const key of keys) {
      if (this.#keys.has(key)) return true;
      for (const span of this.#spans) if (covers(span, key)) return true;
    }
    for (const span of spans) {
      for (const key of this.#keys) if (covers(span, key)) return true;
      for (const other of this.#spans) if (overlap(span, other)) return true;
    }
    return false;
  }
}

/** Whether two ranges have keys in common; said of some that are empty too. */
function overlap(a: Span, b: Span): boolean {
  return isBelow(a.low, b.high) && isBelow(b.low, a.high);
}

function isBelow(id: string, high: string | undefined): boolean {
  return high === undefined || id < high;
}
