import { inParts } from '../in-parts.js';
import { CompactedError } from '../store/errors.js';
import { type Keys, rangeOf } from '../store/key-span.js';
import { type Data, type KeyRange, keyId, toBytes } from '../store/keys.js';
import type {
  CallOptions,
  Compare,
  KeyValue,
  Operation,
  OperationReply,
  Store,
  TxnReply,
} from '../store/store.js';
import { checkRead } from '../txn/check-txn.js';
import type { Level } from './stm-options.js';
import type { Pair } from './stm-writes.js';

/** What is known of some ranges at one revision, by `readId`. */
export interface Known {
  readonly revision: bigint;
  readonly pairs: ReadonlyMap<string, readonly Pair[]>;
}

/** Tells what would be read apart: for a single key its `keyId`. */
function readId({ key, end }: KeyRange): string {
  // Not a character that a `keyId` can have.
  return end === undefined ? keyId(key) : `${keyId(key)}\u0100${keyId(end)}`;
}

/** A range to read, in bytes of our own: the caller may change theirs. @throws ArgumentError if it is not usable. */
export function toRead(keys: Keys): KeyRange {
  const range = rangeOf(keys);
  checkRead(range);
  const { key, end } = range;
  return end === undefined ? { key: copyOf(key) } : { key: copyOf(key), end: copyOf(end) };
}

function copyOf(data: Data): Buffer {
  return Buffer.from(toBytes(data));
}

/** How reads are made. */
export interface ReadContext {
  readonly store: Store;
  readonly level: Level;
  /** Limits of a read from now on. */
  readonly limits: () => CallOptions;
  /** How many ranges etcd reads at once. */
  readonly maxOps: number;
  /** Called before the first read, with what is to be read; may give what needs no reading. */
  readonly before: (ids: readonly string[]) => Promise<Known | undefined>;
}

/**
 * What one run of a transaction reads: each key and range once. What is asked for at the same time travels
 * together, and where all reads must be of one moment, that is the first one's.
 */
export class Reads {
  readonly #context: ReadContext;
  readonly #known = new Map<string, readonly Pair[]>();
  /** What was asked for: it must not change. */
  readonly #ranges = new Map<string, KeyRange>();
  /** The keys in it, as they were first seen. */
  readonly #seen = new Map<string, Pair>();
  readonly #wanted = new Map<string, KeyRange>();
  #revision: bigint | undefined;
  #loading: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #loads = 0;
  #outdated = false;
  #isFrozen = false;

  constructor(context: ReadContext, known?: Known) {
    this.#context = context;
    if (known) this.#adopt(known);
  }

  /** Whether the moment to read is so long ago that etcd has forgotten it. */
  get outdated(): boolean {
    return this.#outdated;
  }

  /** Whether what was read may be of more than one moment. */
  get mixed(): boolean {
    return this.#loads > 1 && !this.#context.level.oneMoment;
  }

  /** The pairs of a range. */
  async read(range: KeyRange): Promise<readonly Pair[]> {
    const id = readId(range);
    const single = range.end === undefined;
    if (!(single && this.#seen.has(id))) {
      if (!this.#known.has(id)) await this.prefetch([range]);
      const found = this.#known.get(id) ?? [];
      if (this.#isFrozen) return found;
      this.#ranges.set(id, range);
      for (const pair of found) this.#see(keyId(pair.key), pair);
      if (!single) return this.#present(found.map(({ key }) => keyId(key)));
      this.#see(id, { key: Buffer.from(id, 'latin1'), value: undefined, mod: 0n });
    }
    return this.#present([id]);
  }

  /** From here on nothing counts as read: what is still on its way was not waited for. */
  freeze(): void {
    this.#isFrozen = true;
  }

  /** Reads ranges, so that `read` has them at once. */
  async prefetch(ranges: readonly KeyRange[]): Promise<void> {
    const missing = ranges.filter((range) => !this.#known.has(readId(range)));
    if (missing.length === 0) return;
    for (const range of missing) this.#wanted.set(readId(range), range);
    this.#next ??= this.#loadAfter(this.#loading);
    await this.#next;
  }

  /** What was asked for. */
  ranges(): KeyRange[] {
    return [...this.#ranges.values()];
  }

  /** The keys that were seen, by `keyId`. */
  seen(): ReadonlyMap<string, Pair> {
    return this.#seen;
  }

  /** The revision of the first read, if all reads are as of then. */
  get revision(): bigint | undefined {
    return this.#revision;
  }

  /** That nothing has changed of what was read. */
  guards(): Compare[] {
    const { guardsReads, oneMoment } = this.#context.level;
    if (!guardsReads) return [];
    const guards: Compare[] = [];
    for (const { key, mod } of this.#seen.values()) guards.push({ key, target: 'mod', to: mod });
    if (!oneMoment) return guards;
    // Who went from a range or changed is noticed by its own key; who came is newer than our reading.
    const to = (this.#revision ?? 0n) + 1n;
    for (const range of this.#ranges.values()) {
      if (range.end !== undefined) guards.push({ ...range, target: 'mod', is: '<', to });
    }
    return guards;
  }

  /** The steps that read it all again. */
  again(): Operation[] {
    return this.ranges().map((range) => ({ range }));
  }

  /** What the steps of `again` gave. */
  knownBy({ revision, replies }: TxnReply): Known {
    const ids = [...this.#ranges.keys()];
    return { revision, pairs: new Map(ids.map((id, i) => [id, pairsOf(replies[i]?.kvs)])) };
  }

  #adopt({ revision, pairs }: Known): void {
    if (this.#context.level.oneMoment) this.#revision = revision;
    for (const [id, found] of pairs) this.#known.set(id, found);
    this.#loads += 1;
  }

  /** As first seen, for what is read again later must be the same. */
  #present(ids: readonly string[]): Pair[] {
    return ids.flatMap((id) => {
      const pair = this.#seen.get(id);
      return pair?.value ? [pair] : [];
    });
  }

  #see(id: string, pair: Pair): void {
    if (!this.#seen.has(id)) this.#seen.set(id, pair);
  }

  async #loadAfter(previous: Promise<void>): Promise<void> {
    // Whether the one before failed is for those who wait for it.
    await previous.catch(() => {});
    this.#loading = this.#next ?? previous;
    this.#next = undefined;
    const asked = [...this.#wanted];
    this.#wanted.clear();
    // Who has left would not leave the line again.
    if (this.#loads === 0 && !this.#isFrozen) {
      const known = await this.#context.before(asked.map(([id]) => id));
      if (known) this.#adopt(known);
    }
    const wanted = asked.filter(([id]) => !this.#known.has(id));
    const { maxOps } = this.#context;
    try {
      for (const some of inParts(wanted, maxOps)) await this.#load(some);
    } catch (error) {
      if (error instanceof CompactedError) this.#outdated = true;
      throw error;
    }
  }

  async #load(wanted: readonly (readonly [string, KeyRange])[]): Promise<void> {
    const { store, level, limits } = this.#context;
    const at = this.#revision;
    const [only, ...others] = wanted.map(([, range]) =>
      at === undefined ? range : Object.assign({ revision: at }, range),
    );
    if (!only) return;
    let replies: readonly OperationReply[];
    let revision: bigint;
    if (others.length > 0) {
      const success = [only, ...others].map((range) => ({ range }));
      ({ replies, revision } = await store.commit({ success }, limits()));
    } else {
      // What was is the same at every member; only the first look must not be behind.
      const serializable = !level.oneMoment || at !== undefined;
      const reply = await store.read(only, { ...limits(), serializable });
      [replies, revision] = [[reply], reply.revision];
    }
    const pairs = new Map(wanted.map(([id], i) => [id, pairsOf(replies[i]?.kvs)]));
    this.#adopt({ revision: at ?? revision, pairs });
  }
}

function pairsOf(kvs: readonly KeyValue[] = []): Pair[] {
  return kvs.map(({ key, value, modRevision }) => ({ key, value, mod: modRevision }));
}
