import type { Clock } from '../time/clock.js';
import { persist } from '../time/persist.js';
import { CompactedError, LimitError } from './errors.js';
import { keyAfter } from './key-span.js';
import { type KeyRange, keyId } from './keys.js';
import type { KeyValue, Store } from './store.js';

/** Pairs of the first page, and about how many bytes of keys and values later ones have. */
const firstPage = 200;
const pageBytes = 2 * 1024 * 1024;

/** The keys of a range at one revision. */
export interface RangeState {
  readonly revision: bigint;
  /** In the order of their keys. */
  readonly kvs: readonly KeyValue[];
}

/** How much of a range may be kept. */
export interface RangeLimit {
  readonly keys: number;
  /** Of all keys and values. */
  readonly bytes: number;
}

/** Refuses what is more than may be. @throws LimitError that names the limit. */
export function checkLimit({ keys, bytes }: RangeLimit, limit: RangeLimit): void {
  if (keys > limit.keys) throw new LimitError('range', 'limit.keys', keys, limit.keys);
  if (bytes > limit.bytes) throw new LimitError('range', 'limit.bytes', bytes, limit.bytes);
}

/** Reads a range through outages, and until the signal aborts. */
export class RangeReader {
  readonly #store: Store;
  readonly #range: KeyRange;
  readonly #signal: AbortSignal;
  readonly #clock: Clock;
  readonly #limit: RangeLimit | undefined;

  constructor(
    store: Store,
    range: KeyRange,
    signal: AbortSignal,
    clock: Clock,
    limit?: RangeLimit,
  ) {
    this.#store = store;
    this.#range = range;
    this.#signal = signal;
    this.#clock = clock;
    this.#limit = limit;
  }

  /** Everything as it is now, all at one revision. @throws LimitError if that is too much. */
  async now(keysOnly: boolean): Promise<RangeState> {
    for (let bytes = pageBytes; ; bytes *= 4) {
      try {
        return await this.#pages(undefined, bytes, keysOnly);
      } catch (error) {
        // The revision was compacted meanwhile. With larger pages it takes fewer: in the end one.
        if (!(error instanceof CompactedError)) throw error;
      }
    }
  }

  /** The keys that there were. @throws CompactedError if etcd does not know any more. */
  async keysAt(revision: bigint): Promise<Set<string>> {
    // The first revision is that of an etcd in which nothing was written.
    if (revision <= 1n) return new Set();
    const { kvs } = await this.#pages(revision, pageBytes, true);
    return new Set(kvs.map(({ key }) => keyId(key)));
  }

  async #pages(
    revision: bigint | undefined,
    bytes: number,
    keysOnly: boolean,
  ): Promise<RangeState> {
    const kvs: KeyValue[] = [];
    let [{ key }, at, limit, total] = [this.#range, revision, firstPage, 0];
    for (;;) {
      const page = { ...this.#range, key, limit, keysOnly, ...(at && { revision: at }) };
      const reply = await persist(
        (limits) => this.#store.read(page, { ...limits, signal: this.#signal }),
        this.#signal,
        this.#clock,
      );
      at ??= reply.revision;
      for (const kv of reply.kvs) kvs.push(kv);
      const size = reply.kvs.reduce((sum, kv) => sum + kv.key.length + kv.value.length, 0);
      total += size;
      const keys = kvs.length - reply.kvs.length + reply.count;
      if (this.#limit) checkLimit({ keys, bytes: total }, this.#limit);
      const last = reply.kvs.at(-1);
      if (!last || reply.kvs.length >= reply.count) return { revision: at, kvs };
      key = keyAfter(last.key);
      limit = Math.ceil((bytes * reply.kvs.length) / size);
    }
  }
}
