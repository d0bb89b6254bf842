import type { Clock } from './clock.js';
import { CompactedError } from './errors.js';
import { keyAfter } from './key-span.js';
import { type KeyRange, keyId } from './keys.js';
import { persist } from './persist.js';
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

/** Reads a range through outages, and until the signal aborts. */
export class RangeReader {
  readonly #store: Store;
  readonly #range: KeyRange;
  readonly #signal: AbortSignal;
  readonly #clock: Clock;

  constructor(store: Store, range: KeyRange, signal: AbortSignal, clock: Clock) {
    this.#store = store;
    this.#range = range;
    this.#signal = signal;
    this.#clock = clock;
  }

  /** Everything as it is now, all at one revision. */
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
    let [{ key }, at, limit] = [this.#range, revision, firstPage];
    for (;;) {
      const page = { ...this.#range, key, limit, keysOnly, ...(at && { revision: at }) };
      const reply = await persist(
        (limits) => this.#store.read(page, { ...limits, signal: this.#signal }),
        this.#signal,
        this.#clock,
      );
      at ??= reply.revision;
      for (const kv of reply.kvs) kvs.push(kv);
      const last = reply.kvs.at(-1);
      if (!last || reply.kvs.length >= reply.count) return { revision: at, kvs };
      key = keyAfter(last.key);
      const size = reply.kvs.reduce((sum, kv) => sum + kv.key.length + kv.value.length, 0);
      limit = Math.ceil((bytes * reply.kvs.length) / size);
    }
  }
}
