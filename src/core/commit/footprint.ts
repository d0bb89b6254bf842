import { type Span, spanOf } from '../store/key-span.js';
import { type Data, type KeyRange, keyId, lengthOf } from '../store/keys.js';
import type { Operation, Txn } from '../store/store.js';
import { SpanSet } from './span-set.js';

/** What there is to know of a transaction before it is sent. Whatever it may do counts, in either branch. */
export interface Footprint {
  /** What is compared or read. */
  readonly reads: readonly Span[];
  /** What is put or deleted. */
  readonly writes: readonly Span[];
  /** How many operations etcd counts: the most in one list, and as many again as the largest transaction in it has. */
  readonly operations: number;
  /** About how long it is as a message. */
  readonly bytes: number;
  /** Whether it may put a key, and so needs space. */
  readonly puts: boolean;
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
  const found: Draft = { reads: [], writes: [], operations: 0, bytes: 0, puts: false };
  found.operations = add(txn, found);
  const { reads, writes: written } = found;
  // Who writes a key is in conflict with the same others, whether he reads it or not.
  if (reads.length <= few && written.length <= few) {
    found.reads = reads.filter((span, i) => !isIn(written, span) && !isIn(reads, span, i + 1));
  }
  return found;
}

/** In so many spans it is quicker to look for one that is there twice than to live with it. */
const few = 8;

function isIn(spans: readonly Span[], { low, high }: Span, from = 0): boolean {
  for (let i = from; i < spans.length; i += 1) {
    const span = spans[i] as Span;
    if (span.low === low && span.high === high) return true;
  }
  return false;
}

interface Draft extends Footprint {
  reads: Span[];
  readonly writes: Span[];
  operations: number;
  bytes: number;
  puts: boolean;
}

/** Gives the number of operations. */
function add({ compare = [], success = [], failure = [] }: Txn, found: Draft): number {
  for (const each of compare) {
    found.bytes += addKeys(each, found.reads);
    if (each.target === 'value') found.bytes += lengthOf(each.to as Data);
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
  else {
    found.bytes += addKeys(step.put, found.writes) + lengthOf(step.put.value);
    found.puts = true;
  }
  return 0;
}

/** Gives the number of bytes. */
function addKeys(range: KeyRange, spans: Span[]): number {
  const { key, end } = range;
  spans.push(spanAt(range));
  return overhead + key.length + (end?.length ?? 0);
}

function spanAt(range: KeyRange): Span {
  // etcd takes an end without a byte for none.
  if (range.end !== undefined && range.end.length > 0) return spanOf(range);
  const id = keyId(range.key);
  return { low: id, high: id };
}

/** What several transactions read and write between them. */
export class Footprints {
  readonly #reads = new SpanSet();
  readonly #writes = new SpanSet();

  add({ reads, writes: written }: Footprint): void {
    this.#reads.addAll(reads);
    this.#writes.addAll(written);
  }

  /** Whether one of them writes what this one reads or writes, or reads what this one writes. */
  conflict({ reads, writes: written }: Footprint): boolean {
    return this.#writes.meets(written) || this.#writes.meets(reads) || this.#reads.meets(written);
  }
}
