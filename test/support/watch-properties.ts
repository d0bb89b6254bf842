import { type KeyRange, keyId } from '../../src/core/store/keys.js';
import type { KeyValue, WatchEvent } from '../../src/index.js';

/** The changes that one transaction made, as told by who made it. Keys and values are `latin1` text. */
export interface Written {
  readonly revision: bigint;
  readonly changes: readonly {
    readonly key: string;
    /** `undefined` for a deletion. */
    readonly value: string | undefined;
  }[];
}

/** What a watch told at once. */
export interface ToldBatch {
  /** Up to which revision all was told then. */
  readonly revision: bigint;
  readonly changes: readonly WatchEvent[];
  /**
   * `initial`: the whole state; `resync`: how the state differs from what was told; `gap`: changes up to `revision` may be
   * missing. @defaultValue changes as they happened
   */
  readonly origin?: 'initial' | 'resync' | 'gap';
}

/** A watch, and all that it told. */
export interface WatchHistory {
  readonly name: string;
  readonly range: KeyRange;
  readonly only?: 'put' | 'delete';
  /** Whether it gives the pairs before. */
  readonly previous?: boolean;
  /** The first revision that it was to tell of. */
  readonly since: bigint;
  readonly batches: readonly ToldBatch[];
  /** Up to which revision it must have told everything by now. */
  readonly until: bigint;
}

/** What etcd's own tests check of watches. */
export type WatchProperty =
  | 'filter'
  | 'ordered'
  | 'unique'
  | 'atomic'
  | 'bookmarkable'
  | 'resumable'
  | 'reliable'
  | 'is-create'
  | 'prev_kv';

/** A promise that a watch broke. */
export interface Breach {
  readonly property: WatchProperty;
  readonly watch: string;
  readonly what: string;
}

interface Version {
  readonly revision: bigint;
  /** `undefined` for a deletion. */
  readonly value: string | undefined;
  readonly create: bigint;
  readonly version: bigint;
}

/**
 * What watches did wrong, given all that was ever written in their ranges. Pairs before changes may be missing where
 * history was compacted up to `compacted`.
 */
export function breachesOf(
  written: readonly Written[],
  watches: readonly WatchHistory[],
  compacted = 0n,
): readonly Breach[] {
  const truth = new Truth(written);
  return watches.flatMap((watch) => new Check(truth, watch, compacted).run());
}

/** Every version of every key. */
class Truth {
  readonly revisions: readonly Written[];
  readonly #keys = new Map<string, Version[]>();

  constructor(written: readonly Written[]) {
    this.revisions = written.toSorted((a, b) => Number(a.revision - b.revision));
    for (const { revision, changes } of this.revisions) {
      for (const { key, value } of changes) {
        const versions = this.#keys.get(key) ?? [];
        this.#keys.set(key, versions);
        const last = versions.at(-1);
        const isNew = last?.value === undefined;
        const create = isNew ? revision : last.create;
        versions.push({ revision, value, create, version: isNew ? 1n : last.version + 1n });
      }
    }
  }

  get keys(): Iterable<string> {
    return this.#keys.keys();
  }

  /** The last change of a key up to a revision. */
  at(key: string, revision: bigint): Version | undefined {
    return this.#keys.get(key)?.findLast((version) => version.revision <= revision);
  }
}

class Check {
  readonly #truth: Truth;
  readonly #watch: WatchHistory;
  readonly #compacted: bigint;
  readonly #breaches: Breach[] = [];
  readonly #seen = new Set<string>();
  /** Up to which revision all was told. */
  #told: bigint;
  /** The revision of the last event. */
  #last = 0n;
  #hasTold = false;

  constructor(truth: Truth, watch: WatchHistory, compacted: bigint) {
    this.#truth = truth;
    this.#watch = watch;
    this.#compacted = compacted;
    this.#told = watch.since - 1n;
  }

  run(): readonly Breach[] {
    for (const batch of this.#watch.batches) {
      if (batch.origin === 'gap') this.#told = batch.revision;
      else if (batch.origin) this.#difference(batch);
      else this.#live(batch);
      this.#hasTold = true;
    }
    this.#expect(this.#watch.until, new Set());
    return this.#breaches;
  }

  #breach(property: WatchProperty, what: string): void {
    this.#breaches.push({ property, watch: this.#watch.name, what });
  }

  #isInRange(key: string): boolean {
    const { range } = this.#watch;
    const from = keyId(range.key);
    if (range.end === undefined) return key === from;
    const end = keyId(range.end);
    return key >= from && (end === '\0' || key < end);
  }

  #isOfInterest(key: string, type: WatchEvent['type']): boolean {
    return this.#isInRange(key) && (this.#watch.only ?? type) === type;
  }

  #live({ revision, changes }: ToldBatch): void {
    const now = new Set<string>();
    const earlier = this.#last;
    for (const change of changes) {
      const { key, modRevision } = change.kv;
      const id = `${keyId(key)} at ${modRevision}`;
      if (!this.#isOfInterest(keyId(key), change.type)) this.#breach('filter', id);
      if (this.#seen.has(id)) this.#breach('unique', id);
      else if (modRevision < this.#last) this.#breach('ordered', `${id} after ${this.#last}`);
      else if (modRevision === earlier) this.#breach('atomic', `${id} is told in parts`);
      else if (modRevision < this.#watch.since) this.#breach('resumable', `${id} is too early`);
      else if (modRevision <= this.#told) this.#breach('bookmarkable', `${id} after ${this.#told}`);
      this.#last = modRevision > this.#last ? modRevision : this.#last;
      this.#seen.add(id);
      now.add(id);
      this.#compare(change, id);
    }
    if (revision < this.#last) this.#breach('bookmarkable', `${this.#last} beyond ${revision}`);
    this.#expect(revision, now);
  }

  /** All up to a revision must be among what is told now. */
  #expect(revision: bigint, now: ReadonlySet<string>): void {
    for (const { revision: at, changes } of this.#truth.revisions) {
      if (at <= this.#told || at > revision) continue;
      const expected = changes
        .filter(({ key, value }) => this.#isOfInterest(key, value === undefined ? 'delete' : 'put'))
        .map(({ key }) => `${key} at ${at}`);
      const missing = expected.filter((id) => !now.has(id));
      if (missing.length === 0) continue;
      const isPart = missing.length < expected.length;
      const property = isPart ? 'atomic' : this.#hasTold ? 'reliable' : 'resumable';
      this.#breach(property, `${missing.join(', ')} is missing`);
    }
    if (revision > this.#told) this.#told = revision;
  }

  #compare({ type, kv, previous }: WatchEvent, id: string): void {
    const truth = this.#truth.at(keyId(kv.key), kv.modRevision);
    const value = type === 'put' ? kv.value.toString('latin1') : undefined;
    if (truth?.revision !== kv.modRevision || truth.value !== value) {
      this.#breach('reliable', `${type} ${id} was never written so`);
      return;
    }
    const isSame = truth.create === kv.createRevision && truth.version === kv.version;
    if (type === 'put' && !isSame) {
      this.#breach('is-create', `${id} is version ${kv.version} since ${kv.createRevision}`);
    }
    if (this.#watch.previous) this.#comparePrevious(kv, previous, id);
  }

  #comparePrevious(
    { key, modRevision }: KeyValue,
    previous: KeyValue | undefined,
    id: string,
  ): void {
    const before = this.#truth.at(keyId(key), modRevision - 1n);
    const value = previous?.value.toString('latin1');
    if (previous === undefined && modRevision - 1n < this.#compacted) return;
    if (before?.value !== value || (previous && before?.revision !== previous.modRevision)) {
      this.#breach('prev_kv', `${id}: ${value} instead of ${before?.value}`);
    }
  }

  /** What leads from what was told to a state must be told, exactly. */
  #difference({ revision, changes, origin }: ToldBatch): void {
    const told = origin === 'initial' ? 0n : this.#told;
    const expected = new Set<string>();
    for (const key of this.#truth.keys) {
      const [before, after] = [this.#truth.at(key, told), this.#truth.at(key, revision)];
      if (!after || after.revision <= told) continue;
      if (after.value !== undefined && this.#isOfInterest(key, 'put')) {
        expected.add(`put ${key} at ${after.revision}: ${after.value}`);
      }
      // Who wants to know of deletions only is told of a key that came back, too.
      const isGone =
        after.value === undefined || (this.#watch.only === 'delete' && after.create > told);
      if (isGone && before?.value !== undefined && this.#isOfInterest(key, 'delete')) {
        expected.add(`delete ${key} at ${revision}: `);
      }
    }
    let last = 0n;
    for (const { type, kv } of changes) {
      const id = `${type} ${keyId(kv.key)} at ${kv.modRevision}: ${kv.value.toString('latin1')}`;
      const isDifference = expected.delete(id) || this.#wasDeleted(kv, type, revision);
      if (!isDifference) this.#breach('reliable', `${id} is no difference`);
      if (kv.modRevision < last) this.#breach('ordered', `${id} after ${last}`);
      last = kv.modRevision;
    }
    for (const id of expected) this.#breach('reliable', `${id} is missing from a ${origin}`);
    this.#told = revision;
    this.#last = revision;
  }

  /** A watch of deletions may know of a key whose creation nobody was told of. */
  #wasDeleted({ key }: KeyValue, type: WatchEvent['type'], revision: bigint): boolean {
    return (
      type === 'delete' &&
      this.#watch.only === 'delete' &&
      this.#truth.revisions.some(
        ({ revision: at, changes }) =>
          at > this.#told &&
          at <= revision &&
          changes.some((change) => change.key === keyId(key) && change.value === undefined),
      )
    );
  }
}
