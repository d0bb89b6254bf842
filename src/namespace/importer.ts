import { ConflictError } from '../core/store/errors.js';
import { keyId } from '../core/store/keys.js';
import type { CallOptions, KeyValue, Operation, Store } from '../core/store/store.js';
import type { Pair } from './export-lines.js';

/** What an import did: the sum is the number of keys in it. */
export interface ImportReport {
  /** Keys that were not there. */
  readonly created: number;
  /** Keys that had another value, or hung on a lease. */
  readonly replaced: number;
  /** Keys that were there already, with their value. */
  readonly unchanged: number;
}

/** How much goes into one transaction. */
const batchBytes = 512 * 1024;

/** A pair that is yet to be written, and the revision of what was found in its place; 0 for nothing. */
interface Pending {
  readonly pair: Pair;
  readonly found: bigint;
}

/** Writes pairs in transactions, and counts what became of them. */
export class Importer {
  readonly #store: Store;
  readonly #batchKeys: number;
  readonly #overwrite: boolean;
  readonly #options: CallOptions;
  readonly #report = { created: 0, replaced: 0, unchanged: 0 };
  /** By key: of a key that comes twice the last counts. */
  #batch = new Map<string, Pending>();
  #bytes = 0;

  constructor(store: Store, batchKeys: number, overwrite: boolean, options: CallOptions) {
    this.#store = store;
    this.#batchKeys = batchKeys;
    this.#overwrite = overwrite;
    this.#options = options;
  }

  /** Writes a pair, now or with those that come. @throws as `flush` */
  async add(pair: Pair): Promise<void> {
    const size = pair.key.length + pair.value.length;
    const isFull = this.#batch.size === this.#batchKeys || this.#bytes + size > batchBytes;
    if (isFull || this.#batch.has(keyId(pair.key))) await this.flush();
    this.#batch.set(keyId(pair.key), { pair, found: 0n });
    this.#bytes += size;
  }

  /** Writes what is left: all of it, or nothing. @throws ConflictError if something else is there and must not be replaced */
  async flush(): Promise<ImportReport> {
    while (this.#batch.size > 0) await this.#try();
    this.#bytes = 0;
    return this.#report;
  }

  /** Writes the batch, if what is there is what we know of; otherwise learns what is. */
  async #try(): Promise<void> {
    const all = [...this.#batch.values()];
    const { succeeded, replies } = await this.#store.commit(
      {
        compare: all.map(({ pair, found }) => ({ key: pair.key, target: 'mod', to: found })),
        success: all.map(({ pair }): Operation => ({ put: pair })),
        failure: all.map(({ pair }): Operation => ({ range: { key: pair.key } })),
      },
      { ...this.#options, exactlyOnce: true },
    );
    for (const [index, { pair, found }] of all.entries()) {
      if (!succeeded) this.#learn(pair, replies[index]?.kvs[0]);
      else if (found === 0n) this.#report.created += 1;
      else this.#report.replaced += 1;
    }
    if (succeeded) this.#batch.clear();
  }

  #learn(pair: Pair, present: KeyValue | undefined): void {
    const id = keyId(pair.key);
    if (present?.value.equals(pair.value) && present.lease === 0n) {
      this.#batch.delete(id);
      this.#report.unchanged += 1;
    } else if (present && !this.#overwrite) {
      throw new ConflictError(`"${pair.key.toString()}" is there already, and not the same`);
    } else {
      this.#batch.set(id, { pair, found: present?.modRevision ?? 0n });
    }
  }
}
