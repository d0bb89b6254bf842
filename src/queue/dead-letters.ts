import { ArgumentError, LimitError } from '../core/store/errors.js';
import { keyAfter } from '../core/store/key-span.js';
import { keyId, prefixRange } from '../core/store/keys.js';
import { wasRefused } from '../core/store/refusals.js';
import type { CallOptions, KeyValue, Operation } from '../core/store/store.js';
import { nonEmpty, wholeFrom } from '../core/validate.js';
import { decodeRecord } from './job-record.js';
import type { JobView } from './job-view.js';
import { type JobPage, Listing, type PageOptions } from './listing.js';
import { entering, taken } from './passage.js';
import { namedAs } from './queue-keys.js';
import type { QueueParts } from './queue-parts.js';

/** Which dead letters are meant: those of these jobs, or all. */
export type Letters = readonly string[] | 'all';

/** How dead letters are put again. */
export interface RedriveOptions extends CallOptions {
  /** How many at most. @defaultValue no limit */
  readonly limit?: number;
}

/** So many are read and moved at once, as far as they are not too large. */
const together = 40;
/** Bytes, about, that travel together. */
const bytesTogether = 1_000_000;
/** So many are deleted at once. */
const deletedAtOnce = 1_000;

/** The jobs of a queue that were given up. */
export class DeadLetters<T> {
  readonly #parts: QueueParts<T>;
  readonly #listing: Listing<T>;

  constructor(parts: QueueParts<T>) {
    this.#parts = parts;
    this.#listing = new Listing(parts);
  }

  /** Some of them, in the order of their names. @throws ArgumentError, UnavailableError */
  list(page: PageOptions = {}): Promise<JobPage<T>> {
    return this.#listing.page('dead', page);
  }

  /** One of them; `undefined` if it is none. @throws ArgumentError, UnavailableError */
  async get(id: string, options: CallOptions = {}): Promise<JobView<T> | undefined> {
    const view = await this.#listing.get(id, options);
    return view?.state === 'dead' ? view : undefined;
  }

  /**
   * Puts them into the queue again: each at a new place, after all that wait, under the name that it had, with its history and
   * as many attempts as a new job, also where another of its `id` or `dedupe.key` was put meanwhile. Each is put once, whoever does the same at the same time, and is in one place at any time. Of
   * `'all'`, those that are given up meanwhile may be left.
   *
   * @returns how many were put again by this call
   * @throws ArgumentError, UnavailableError, RefusedError, or the reason of `options.signal`; some may have been put.
   */
  async redrive(
    which: Letters,
    { limit = Number.MAX_SAFE_INTEGER, ...options }: RedriveOptions = {},
  ): Promise<number> {
    wholeFrom(1, 'limit', limit);
    let moved = 0;
    for await (const letters of this.#pages(which, options)) {
      for (let rest = letters; rest.length > 0 && moved < limit; ) {
        const some = fitting(rest, Math.min(together, limit - moved));
        rest = rest.slice(some.length);
        moved += await this.#putAgain(some, options);
      }
      if (moved >= limit) break;
    }
    return moved;
  }

  /**
   * Deletes them. Of `'all'`, those that are given up meanwhile may be left.
   *
   * @returns how many were deleted
   * @throws as `redrive`.
   */
  async purge(which: Letters, options: CallOptions = {}): Promise<number> {
    const { store } = this.#parts.session;
    const { dead } = this.#parts.keys;
    if (which === 'all') return deleteAll(this.#parts, dead, options);
    let purged = 0;
    for (const ids of inGroups(checked(which), together)) {
      const success = ids.map((id) => ({ delete: { key: dead + id } }));
      const { replies } = await store.commit({ success }, { ...options, exactlyOnce: true });
      purged += replies.reduce((sum, { count }) => sum + count, 0);
    }
    return purged;
  }

  async *#pages(which: Letters, options: CallOptions): AsyncGenerator<readonly KeyValue[]> {
    const { keys, session, outbox } = this.#parts;
    const { store } = session;
    if (which !== 'all') {
      for (const ids of inGroups(checked(which), together)) yield await this.#read(ids, options);
      return;
    }
    const all = prefixRange(keys.dead);
    let [{ key }, limit] = [all, together];
    for (;;) {
      try {
        const { kvs, count, revision } = await store.read({ ...all, key, limit }, options);
        outbox.saw(revision);
        yield kvs;
        const last = kvs.at(-1);
        if (!last || kvs.length === count) return;
        key = keyAfter(last.key);
      } catch (error) {
        // Fewer at once, where they are large.
        if (!(error instanceof LimitError) || limit === 1) throw error;
        limit = Math.ceil(limit / 4);
      }
    }
  }

  /** Reads these: fewer at once, where they are large. */
  async #read(ids: readonly string[], options: CallOptions): Promise<readonly KeyValue[]> {
    const { keys, session, outbox } = this.#parts;
    const success = ids.map((id) => ({ range: { key: keys.dead + id } }));
    try {
      const { replies, revision } = await session.store.commit({ success }, options);
      // What is put again is named after a revision that is there.
      outbox.saw(revision);
      return replies.flatMap(({ kvs }) => kvs);
    } catch (error) {
      if (!(error instanceof LimitError) || ids.length === 1) throw error;
      const half = Math.ceil(ids.length / 2);
      const first = await this.#read(ids.slice(0, half), options);
      return [...first, ...(await this.#read(ids.slice(half), options))];
    }
  }

  async #putAgain(letters: readonly KeyValue[], options: CallOptions): Promise<number> {
    const { store } = this.#parts.session;
    const success = letters.flatMap((letter) => this.#step(letter) ?? []);
    if (success.length === 0) return 0;
    try {
      const { replies } = await store.commit({ success }, { ...options, exactlyOnce: true });
      return replies.filter(({ txn }) => txn?.succeeded).length;
    } catch (error) {
      if (!wasRefused(error) || letters.length === 1) throw error;
      let moved = 0;
      for (const letter of letters) moved += await this.#putAgain([letter], options);
      return moved;
    }
  }

  /** Moves it if it is still as it was; what is no job is left to be looked at. */
  #step({ key: bytes, value, modRevision }: KeyValue): Operation | undefined {
    const { keys, outbox } = this.#parts;
    const key = keyId(bytes);
    const id = key.slice(keys.dead.length);
    try {
      const { header, value: content } = decodeRecord(key, value);
      const { tried: _, reason: _reason, cancelled: _cancelled, ...rest } = header;
      const name = outbox.newId(namedAs(id));
      const again = [
        ...entering(keys, id, name, { header: rest, value: content }),
        ...taken(keys, header, id),
      ];
      const compare = [{ key, target: 'mod', to: modRevision }] as const;
      return { txn: { compare, success: [{ delete: { key } }, ...again] } };
    } catch {
      return undefined;
    }
  }
}

/** Deletes what is in a folder, page by page; says how many keys. What comes meanwhile may be left. */
export async function deleteAll<T>(
  { session }: QueueParts<T>,
  folder: string,
  options: CallOptions,
): Promise<number> {
  const { store } = session;
  const all = prefixRange(folder);
  let deleted = 0;
  for (let { key } = all; ; ) {
    const request = { ...all, key, limit: deletedAtOnce, keysOnly: true };
    const { kvs, count } = await store.read(request, options);
    const last = kvs.at(-1);
    if (!last) return deleted;
    const end = keyAfter(last.key);
    const success = [{ delete: { key, end } }];
    const { replies } = await store.commit({ success }, { ...options, exactlyOnce: true });
    deleted += replies[0]?.count ?? 0;
    if (kvs.length === count) return deleted;
    key = end;
  }
}

/** The first of them that may travel together: one at least. */
function fitting(letters: readonly KeyValue[], most: number): readonly KeyValue[] {
  let bytes = 0;
  const end = letters.findIndex((letter, i) => {
    bytes += letter.value.length + 3 * letter.key.length;
    return i >= most || (i > 0 && bytes > bytesTogether);
  });
  return end < 0 ? letters : letters.slice(0, end);
}

function checked(ids: readonly string[]): readonly string[] {
  if (!Array.isArray(ids)) throw new ArgumentError('which', "names of jobs, or 'all'", ids);
  for (const id of ids) nonEmpty('id', id);
  return [...new Set(ids)];
}

function inGroups<Item>(items: readonly Item[], size: number): (readonly Item[])[] {
  const groups = Array.from({ length: Math.ceil(items.length / size) }, (_, i) => i * size);
  return groups.map((from) => items.slice(from, from + size));
}
