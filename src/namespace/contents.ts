import { markOperations } from '../core/commit/mark.js';
import { scan } from '../core/scan.js';
import { ArgumentError, CompactedError } from '../core/store/errors.js';
import { keyAfter } from '../core/store/key-span.js';
import type { Data } from '../core/store/keys.js';
import type { CallOptions, KeyValue, Store } from '../core/store/store.js';
import { headLine, pairLine, pairsIn, tailLine } from './export-lines.js';
import { Importer, type ImportReport } from './importer.js';
import { type Belonging, belonging, quotaFolder } from './kinds.js';
import { Namespace } from './namespace.js';

/** A recipe that has keys, or other keys that begin alike. */
export interface ContentsEntry {
  /** The kind of recipe; `undefined` for keys that are of none. */
  readonly kind: string | undefined;
  /** Of a recipe its name; of other keys their part up to and with the first slash, which may be a namespace, or all of it. */
  readonly name: string;
  /** How many keys it has. */
  readonly keys: number;
}

/** How much there is. */
export interface Amount {
  readonly keys: number;
  /** Of keys, without the namespace's prefix, and of values. */
  readonly bytes: number;
}

/** How much there is in all, and of what. */
export interface ContentsUsage extends Amount {
  /** By kind of recipe, with `other` for keys that are of none; only of what there is. */
  readonly kinds: Readonly<Record<string, Amount>>;
}

/** How to write what was exported. */
export interface ImportOptions extends CallOptions {
  /** Whether keys that are there get the value of the export. @defaultValue `false`: they are refused */
  readonly overwrite?: boolean;
}

/** Pairs that are read at once, where their values are. */
const page = 200;
/** Keys that are read, and deleted, at once. */
const keysPage = 1_000;
/** Operations of a transaction that a mark and a quota need. */
const others = markOperations + 1;
const everything = { key: '\0', end: '\0' } as const;

/**
 * Everything in a namespace, for those who operate it. There may be any number of keys: no more than some hundreds with
 * their values, or some thousands without, are in memory at a time.
 */
export class Contents {
  readonly #store: Store;
  readonly #batchKeys: number;

  /** @param maxTxnOps - how many operations etcd takes in a transaction */
  constructor(store: Store, maxTxnOps: number) {
    this.#store = store;
    this.#batchKeys = Math.max(1, Math.floor((maxTxnOps - others) / 2));
  }

  /**
   * What there is, in the order of keys. Keys that come and go meanwhile may be counted or not.
   *
   * @throws UnavailableError if no endpoint answers.
   */
  async *list(options?: CallOptions): AsyncGenerator<ContentsEntry, void, void> {
    let [entry, keys] = [belonging(Buffer.of()), 0];
    for await (const { key } of this.#walk(keysPage, true, options)) {
      const next = belonging(key);
      if (keys > 0 && !next.folder.equals(entry.folder)) {
        yield entryOf(entry, keys);
        keys = 0;
      }
      entry = next;
      keys += 1;
    }
    if (keys > 0) yield entryOf(entry, keys);
  }

  /**
   * How many keys and bytes there are, and of what kind. Keys that come and go meanwhile may be counted or not.
   *
   * @throws UnavailableError if no endpoint answers.
   */
  async usage(options?: CallOptions): Promise<ContentsUsage> {
    const kinds: Record<string, { keys: number; bytes: number }> = {};
    const total = { keys: 0, bytes: 0 };
    for await (const { key, value } of this.#walk(page, false, options)) {
      const of = (kinds[belonging(key).kind ?? 'other'] ??= { keys: 0, bytes: 0 });
      for (const amount of [of, total]) {
        amount.keys += 1;
        amount.bytes += key.length + value.length;
      }
    }
    return { ...total, kinds };
  }

  /**
   * Deletes all that is in the namespace, in transactions of 1,000 keys, and gives how many keys that were. Whoever holds or
   * waits for something in there loses it; what is put meanwhile may stay. It can be called again after an error.
   *
   * @throws ArgumentError if this is no namespace: all of etcd is never cleared.
   * @throws UnavailableError if no endpoint answers.
   */
  async clear(options?: CallOptions): Promise<number> {
    if (!Namespace.isPart(this.#store)) {
      throw new ArgumentError('clear', 'called in a namespace', 'all of etcd');
    }
    let [key, cleared, isMore]: [Data, number, boolean] = ['\0', 0, true];
    while (isMore) {
      const found = await this.#store.read(
        { key, end: '\0', limit: keysPage, keysOnly: true },
        options,
      );
      const last = found.kvs.at(-1);
      if (!last) break;
      const end = keyAfter(last.key);
      const { replies } = await this.#store.commit(
        { success: [{ delete: { key, end } }] },
        { ...options, exactlyOnce: true },
      );
      cleared += replies[0]?.count ?? 0;
      isMore = found.count > found.kvs.length;
      key = end;
    }
    return cleared;
  }

  /**
   * All keys with their values at one revision, as lines of JSON: for `import`, elsewhere or later. Bytes that are not
   * UTF-8 are in base64. Keys on a lease are left out, as they tell of processes that are alive: what is held, and who waits. So is
   * what was counted for the quota of a tenant: it is counted anew.
   *
   * @throws CompactedError if etcd forgets the revision meanwhile; what was given so far has no last line, and `import` says so.
   * @throws UnavailableError if no endpoint answers.
   */
  async *export(options?: CallOptions): AsyncGenerator<string, void, void> {
    const { revision } = await this.#store.read({ ...everything, countOnly: true }, options);
    yield headLine(revision);
    let [keys, leased] = [0, 0];
    for await (const kv of scan(this.#store, everything, {
      ...options,
      revision,
      pageSize: page,
    })) {
      if (kv.lease !== 0n) {
        leased += 1;
        continue;
      }
      if (kv.key.includes(quotaFolder)) continue;
      keys += 1;
      yield pairLine(kv);
    }
    yield tailLine(keys, leased);
  }

  /**
   * Writes what `export` gave, in transactions of some keys each, and counts. After an error some may have been written: import
   * the same lines again, those are `unchanged` then.
   *
   * @throws ConflictError if a key is there with another value or on a lease, unless told to overwrite; nothing of its transaction
   * was written.
   * @throws ArgumentError if a line is none of an export, or the last one is missing; those before were written.
   * @throws UnavailableError if no endpoint answers.
   */
  async import(
    lines: AsyncIterable<string> | Iterable<string>,
    { overwrite = false, ...options }: ImportOptions = {},
  ): Promise<ImportReport> {
    const importer = new Importer(this.#store, this.#batchKeys, overwrite, options);
    for await (const pair of pairsIn(lines)) await importer.add(pair);
    return importer.flush();
  }

  /** All there is by key, each key once: at one revision, or at several where etcd forgets one. */
  async *#walk(
    pageSize: number,
    keysOnly: boolean,
    options: CallOptions = {},
  ): AsyncGenerator<KeyValue, void, void> {
    for (let key: Data = '\0'; ; ) {
      try {
        const range = { key, end: '\0' };
        for await (const kv of scan(this.#store, range, { ...options, pageSize, keysOnly })) {
          key = keyAfter(kv.key);
          yield kv;
        }
        return;
      } catch (error) {
        if (!(error instanceof CompactedError)) throw error;
      }
    }
  }
}

function entryOf({ kind, name }: Belonging, keys: number): ContentsEntry {
  return { kind, name, keys };
}
