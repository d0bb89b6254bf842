import { covers, type Keys, keyAfter, rangeOf, type Span, spanOf } from '../store/key-span.js';
import { type Data, type KeyRange, keyId, toBytes } from '../store/keys.js';
import type { Compare, Operation } from '../store/store.js';

/** A key as a transaction sees it. */
export interface Pair {
  readonly key: Buffer;
  /** `undefined` if the key is missing. */
  readonly value: Buffer | undefined;
  /** The revision of its last change; 0 if it is missing. */
  readonly mod: bigint;
}

interface Write {
  readonly key: Buffer;
  /** `undefined` if it is to be deleted. */
  readonly value: Buffer | undefined;
  readonly lease: bigint;
}

interface Deletion {
  readonly range: KeyRange;
  readonly span: Span;
}

/** What a transaction is going to write. */
export class Writes {
  readonly #keys = new Map<string, Write>();
  readonly #deletions: Deletion[] = [];

  get isEmpty(): boolean {
    return this.#keys.size === 0 && this.#deletions.length === 0;
  }

  put(key: Data, value: Data, lease = 0n): void {
    // Copies: what the caller does with its bytes later must not change what is written.
    const write = { key: Buffer.from(toBytes(key)), value: Buffer.from(toBytes(value)), lease };
    this.#keys.set(keyId(key), write);
  }

  delete(keys: Keys): void {
    const range = rangeOf(keys);
    const key = Buffer.from(toBytes(range.key));
    if (range.end === undefined) {
      this.#keys.set(keyId(key), { key, value: undefined, lease: 0n });
      return;
    }
    const span = spanOf(range);
    for (const id of this.#keys.keys()) if (covers(span, id)) this.#keys.delete(id);
    this.#deletions.push({ range: { key, end: Buffer.from(toBytes(range.end)) }, span });
  }

  /** The `keyId` of each key that is put or deleted by itself. */
  ids(): Iterable<string> {
    return this.#keys.keys();
  }

  /** Whether the key is written, so that what etcd has of it does not matter. */
  has(id: string): boolean {
    return this.#keys.has(id) || this.#deletions.some(({ span }) => covers(span, id));
  }

  /** The pairs of a range as they are with these writes; `mod` is that of what is written. */
  over(range: KeyRange, pairs: readonly Pair[], mod = 0n): Pair[] {
    const span = spanOf(range);
    const result = new Map<string, Pair>();
    for (const pair of pairs) {
      const id = keyId(pair.key);
      if (!this.has(id)) result.set(id, pair);
    }
    for (const [id, { key, value }] of this.#keys) {
      if (value && covers(span, id)) result.set(id, { key, value, mod });
    }
    return [...result].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, pair]) => pair);
  }

  /** As steps of a transaction, which must not put a key where it deletes a range: such ranges are cut around it. */
  operations(): Operation[] {
    const puts: Operation[] = [];
    const deletes: Operation[] = [];
    for (const { key, value, lease } of this.#keys.values()) {
      if (value) puts.push({ put: { key, value, ...(lease && { lease }) } });
      else deletes.push({ delete: { key } });
    }
    for (const deletion of this.#deletions) {
      for (const range of this.#withoutPuts(deletion)) deletes.push({ delete: range });
    }
    return [...deletes, ...puts];
  }

  /** That nobody wrote any of it after `revision`, but for keys that are guarded otherwise. */
  guards(revision: bigint, guarded: ReadonlyMap<string, unknown>): Compare[] {
    const unchanged = { target: 'mod', is: '<', to: revision + 1n } as const;
    const guards: Compare[] = [];
    for (const [id, { key }] of this.#keys)
      if (!guarded.has(id)) guards.push({ key, ...unchanged });
    for (const { range } of this.#deletions) guards.push({ ...range, ...unchanged });
    return guards;
  }

  #withoutPuts({ range, span }: Deletion): KeyRange[] {
    const inside = [...this.#keys].filter(([id, { value }]) => value && covers(span, id));
    const parts: KeyRange[] = [];
    let from = toBytes(range.key);
    for (const [, { key }] of inside.toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if (!from.equals(key)) parts.push({ key: from, end: key });
      from = keyAfter(key);
    }
    const rest = { ...range, key: from };
    if (covers(spanOf(rest), keyId(from))) parts.push(rest);
    return parts;
  }
}
