import { keyId } from '../store/keys.js';
import type { RangeState } from '../store/range-reader.js';
import type { KeyValue, WatchEvent, WatchOptions } from '../store/store.js';
import type { ChangeOrigin, WatchChange } from './change-queue.js';

/** Gives the IDs of the keys that there are, as told. */
export type KnownKeys = () => Iterable<string>;

/** What somebody knows of a range who was told of all changes up to a revision. */
export class ToldState {
  readonly #only: WatchOptions['only'];
  /** What is kept here; somebody else's is only looked at. */
  #keys: Set<string> | undefined;
  readonly #known: KnownKeys | undefined;
  #revision: bigint;

  /** @param keys - those that there are; `undefined` if nobody will ask what has changed, or if they are not known */
  constructor(
    revision: bigint,
    keys: Set<string> | KnownKeys | undefined,
    only: WatchOptions['only'],
  ) {
    this.#revision = revision;
    if (typeof keys === 'function') this.#known = keys;
    else this.#keys = keys;
    this.#only = only;
  }

  /** Up to which revision everything was told. */
  get revision(): bigint {
    return this.#revision;
  }

  /** Whether enough is known to tell what has changed by a look at a later state. */
  get isComparable(): boolean {
    return (this.#known ?? this.#keys) !== undefined || this.#only === 'put';
  }

  /** The changes of one revision; gives those of them that are to be told. */
  tell(revision: bigint, events: readonly WatchEvent[]): readonly WatchEvent[] {
    this.#revision = revision;
    if (this.#keys) {
      for (const { type, kv } of events) {
        if (type === 'put') this.#keys.add(keyId(kv.key));
        else this.#keys.delete(keyId(kv.key));
      }
    }
    return this.#only ? events.filter(({ type }) => type === this.#only) : events;
  }

  /**
   * What has changed until `state`: keys with a later revision, in the order of these, then deletions of those that are
   * not there any more, at the revision of the state.
   */
  compare({ revision, kvs }: RangeState, origin: ChangeOrigin): readonly WatchChange[] {
    const told = this.#revision;
    // A key that was deleted and came back is news to who wants to know of deletions only.
    const kept = this.#only === 'delete' ? kvs.filter((kv) => kv.createRevision <= told) : kvs;
    const present = idsOf(kept);
    const gone = [...(this.#known?.() ?? this.#keys ?? [])].filter((id) => !present.has(id));
    const changed = this.#only === 'delete' ? [] : kvs.filter((kv) => kv.modRevision > told);
    if (this.#keys) this.#keys = kept === kvs ? present : idsOf(kvs);
    this.#revision = revision;
    return [
      ...changed
        .toSorted((a, b) => Number(a.modRevision - b.modRevision))
        .map((kv): WatchChange => ({ type: 'put', kv, origin })),
      ...gone.map((id): WatchChange => ({ type: 'delete', kv: deleted(id, revision), origin })),
    ];
  }
}

function idsOf(kvs: readonly KeyValue[]): Set<string> {
  return new Set(kvs.map(({ key }) => keyId(key)));
}

/** As etcd tells of a deletion. */
function deleted(id: string, modRevision: bigint): KeyValue {
  const [key, value] = [Buffer.from(id, 'latin1'), Buffer.alloc(0)];
  return { key, value, createRevision: 0n, modRevision, version: 0n, lease: 0n };
}
