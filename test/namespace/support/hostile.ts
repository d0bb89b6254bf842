import { keyId, prefixEnd } from '../../../src/core/store/keys.js';
import type {
  Compare,
  KeyRange,
  Operation,
  RangeRequest,
  Txn,
  WatchOptions,
} from '../../../src/index.js';

/** Bytes written as text, one character each. */
export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** A revision by the number of the write that made it, to be put in for each side; 0 for none. */
export interface At {
  readonly write: number;
}

/** A request in which revisions are yet to be put in. */
export type Open<T> = {
  readonly [Name in keyof T]: T[Name] extends bigint | undefined ? T[Name] | At : T[Name];
};

/** Random requests with keys that nobody would choose who means well. */
export class Hostile {
  readonly #random: () => number;
  readonly #keys: readonly Buffer[];
  readonly #leases: readonly bigint[];
  /** How many writes there are to name the revision of. */
  writes = 0;

  constructor(random: () => number, keys: readonly Buffer[], leases: readonly bigint[]) {
    this.#random = random;
    this.#keys = keys;
    this.#leases = leases;
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  oneOf<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  lease(): bigint {
    return this.oneOf(this.#leases);
  }

  key(): Buffer {
    if (this.chance(0.02)) return Buffer.of();
    const key = this.oneOf(this.#keys);
    if (this.chance(0.8)) return key;
    return Buffer.concat([key, Buffer.of(this.oneOf([0, 1, 0x2f, 0x61, 0x80, 0xfe, 0xff]))]);
  }

  keys(): KeyRange {
    const key = this.key();
    switch (this.below(8)) {
      case 0:
        return { key, end: Buffer.of(0) };
      case 1:
        return { key, end: this.key() };
      case 2:
        return { key, end: prefixEnd(key) };
      case 3:
        return { key, end: '\0' };
      case 4:
        return { key: '\0', end: this.key() };
      case 5:
        return { key, end: '' };
      default:
        return { key };
    }
  }

  at(): At {
    return { write: this.below(this.writes + 1) };
  }

  range(): Open<RangeRequest> {
    const sortBy = this.oneOf([undefined, 'key', 'create', 'mod', 'version', 'value'] as const);
    return {
      ...this.keys(),
      ...(this.chance(0.3) && { limit: this.below(6) }),
      ...(sortBy && { sortBy, order: this.oneOf(['ascending', 'descending'] as const) }),
      ...(this.chance(0.1) && { minCreateRevision: this.at() }),
      ...(this.chance(0.1) && { maxCreateRevision: this.at() }),
      ...(this.chance(0.1) && { minModRevision: this.at() }),
      ...(this.chance(0.1) && { maxModRevision: this.at() }),
      ...(this.chance(0.2) && { keysOnly: true }),
      ...(this.chance(0.1) && { countOnly: true }),
      ...(this.chance(0.15) && { revision: this.at() }),
    };
  }

  compare(): Open<Compare> {
    const target = this.oneOf(['create', 'mod', 'version', 'lease', 'value'] as const);
    const to = {
      create: this.at(),
      mod: this.at(),
      version: BigInt(this.below(4)),
      lease: this.chance(0.5) ? 0n : this.lease(),
      value: this.value(),
    }[target];
    return {
      ...this.keys(),
      target,
      is: this.oneOf(['=', '!=', '<', '>'] as const),
      to,
    } as Open<Compare>;
  }

  txn(depth = 2): Open<Txn> {
    if (depth === 2 && this.chance(0.03))
      return { success: [{ delete: { key: this.key(), end: '\0' } }] };
    const some = <T>(most: number, make: () => T): T[] =>
      Array.from({ length: this.below(most + 1) }, make);
    return {
      compare: this.chance(0.5) ? [] : some(2, () => this.compare()),
      success: some(3, () => this.operation(depth)),
      failure: some(2, () => this.operation(depth)),
    };
  }

  operation(depth: number): Open<Operation> {
    const kind = this.below(10);
    if (kind === 0 && depth > 0) return { txn: this.txn(depth - 1) };
    if (kind < 4) return { range: this.range() as never };
    if (kind < 6) {
      const range: KeyRange = this.chance(0.9) ? { key: this.key() } : this.keys();
      // etcd does not notice that a put lies in a deletion without an upper bound, of which a namespace has none.
      const isUnbounded = range.end !== undefined && keyId(range.end) === '\0';
      const bounded = isUnbounded ? { key: range.key } : range;
      return { delete: { ...bounded, previous: this.chance(0.5) } };
    }
    const lease = this.chance(0.15) ? { lease: this.lease() } : {};
    const kept = this.chance(0.05) ? { keepLease: true } : lease;
    return { put: { key: this.key(), value: this.value(), previous: this.chance(0.3), ...kept } };
  }

  watchOptions(): Open<WatchOptions> {
    const only = this.oneOf([undefined, undefined, 'put', 'delete'] as const);
    return {
      previous: this.chance(0.5),
      ...(only && { only }),
      ...(this.chance(0.3) && this.writes > 0 && { from: { write: 1 + this.below(this.writes) } }),
    };
  }

  value(): Buffer {
    return this.oneOf([Buffer.of(), bytes('v'), bytes('\xff\0'), Buffer.of(this.below(256))]);
  }
}
