import type { Codec } from '../core/codec.js';
import type { WatchBatch, WatchChange } from '../core/events/change-queue.js';
import { keyId } from '../core/store/keys.js';
import { checkLimit, type RangeLimit } from '../core/store/range-reader.js';
import type { KeyValue } from '../core/store/store.js';
import { changeOf } from './change.js';
import type { IndexOf, MirrorChange, MirrorEntry, MirrorOptions } from './mirror-options.js';
import { Table } from './table.js';
import { ValueIndex } from './value-index.js';

/** How contents are read, and how much there may be. */
export interface ContentsSpec<T> {
  readonly codec: Codec<T>;
  readonly limit: RangeLimit;
  readonly undecodable: NonNullable<MirrorOptions<T>['undecodable']>;
}

/** A value that cannot be read, and why. */
export interface Fault {
  readonly key: string;
  readonly error: unknown;
}

/** What a step came to. */
export interface Applied<T> {
  readonly changes: readonly MirrorChange<T>[];
  readonly faults: readonly Fault[];
}

/** An index, and how many use it. */
interface SharedIndex<T> {
  readonly index: ValueIndex<T>;
  users: number;
}

/** The keys of a range with their values, decoded, as of one revision. */
export class Contents<T> {
  readonly table: Table<T> = new Table();
  readonly #spec: ContentsSpec<T>;
  readonly #indexes = new Map<IndexOf<T>, SharedIndex<T>>();
  /** By ID what is left out. */
  readonly #undecodable = new Map<string, Fault & { readonly bytes: number }>();
  #bytes = 0;

  constructor(spec: ContentsSpec<T>) {
    this.#spec = spec;
  }

  /** How many keys there are, also of values that cannot be read. */
  get size(): number {
    return this.table.size + this.#undecodable.size;
  }

  /** The IDs of these. */
  *ids(): Generator<string, void> {
    yield* this.table.ids();
    yield* this.#undecodable.keys();
  }

  /** Bytes of all keys and values. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What is left out, in no order. */
  get undecodable(): readonly Fault[] {
    return [...this.#undecodable.values()];
  }

  /** Leads to the next state. */
  apply(batch: WatchBatch): Applied<T> {
    const [changes, faults]: [MirrorChange<T>[], Fault[]] = [[], []];
    for (const each of batch.changes) {
      const change = this.#apply(each, faults);
      if (change) changes.push(change);
    }
    return { changes, faults };
  }

  /** @throws LimitError if there is too much. */
  checkLimit(): void {
    checkLimit({ keys: this.size, bytes: this.#bytes }, this.#spec.limit);
  }

  /** The index of this function, for one more user. */
  index(indexOf: IndexOf<T>): ValueIndex<T> {
    let shared = this.#indexes.get(indexOf);
    if (!shared) {
      shared = { index: new ValueIndex(indexOf), users: 0 };
      this.#indexes.set(indexOf, shared);
      for (const entry of this.table.list()) shared.index.place(keyId(entry.key), entry);
    }
    shared.users += 1;
    return shared.index;
  }

  /** One user less. */
  release(indexOf: IndexOf<T>): void {
    const shared = this.#indexes.get(indexOf);
    if (!shared) return;
    shared.users -= 1;
    if (shared.users === 0) this.#indexes.delete(indexOf);
  }

  #apply({ type, kv }: WatchChange, faults: Fault[]): MirrorChange<T> | undefined {
    const id = keyId(kv.key);
    const previous = this.table.get(id);
    // It was read once more, and stays the same entry.
    if (type === 'put' && previous?.modRevision === kv.modRevision) return undefined;
    this.#bytes -= previous?.bytes ?? this.#undecodable.get(id)?.bytes ?? 0;
    this.#undecodable.delete(id);
    const entry = type === 'put' ? this.#entryOf(id, kv, previous, faults) : undefined;
    this.#bytes += entry?.bytes ?? this.#undecodable.get(id)?.bytes ?? 0;
    if (entry) this.table.set(id, entry);
    else this.table.delete(id);
    for (const { index } of this.#indexes.values()) index.place(id, entry);
    return changeOf(previous, entry);
  }

  #entryOf(
    id: string,
    { key: bytesOfKey, value, ...place }: KeyValue,
    previous: MirrorEntry<T> | undefined,
    faults: Fault[],
  ): MirrorEntry<T> | undefined {
    const { codec, undecodable } = this.#spec;
    const bytes = bytesOfKey.length + value.length;
    try {
      const key = previous?.key ?? textOf(id);
      return { key, value: codec.decode(value), ...place, bytes };
    } catch (error) {
      const key = bytesOfKey.toString();
      faults.push({ key, error });
      if (previous && undecodable === 'keep') return { ...previous, bytes };
      this.#undecodable.set(id, { key, error, bytes });
      return undefined;
    }
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The key with this ID. @throws TypeError if it is no text: it could not be told from others. */
function textOf(id: string): string {
  return /^[ -~]*$/.test(id) ? id : utf8.decode(Buffer.from(id, 'latin1'));
}
