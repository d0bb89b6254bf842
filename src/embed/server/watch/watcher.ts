import { contains, type Interval, isSingle } from '../mvcc/interval.js';
import type { MvccStore } from '../mvcc/store.js';
import { asOf, isDeletion, type Version } from '../mvcc/version.js';

/** Most revisions told at once. */
const MOST_REVISIONS = 1000;
/** Most changes looked at before others get their turn. */
const MOST_CHANGES = 20_000;

/** Who is told. */
export interface Receiver {
  /** Whether it takes more at present. If not, the watcher falls behind until it is resumed. */
  isReady(): boolean;
  /** Changes in their order, each once, those of one revision together. */
  events(changes: readonly Version[]): void;
  /** Changes that it has not been told of are forgotten; it is told no more. */
  compacted(revision: number): void;
}

/** What is watched. */
export interface WatchSpec {
  readonly interval: Interval;
  /** The first revision of interest. */
  readonly from: number;
  readonly puts: boolean;
  readonly deletions: boolean;
}

/** One watch of a range, and how far it is. What it has yet to be told stays in the history of the store. */
export class Watcher implements WatchSpec {
  readonly interval: Interval;
  readonly from: number;
  readonly puts: boolean;
  readonly deletions: boolean;
  readonly receiver: Receiver;
  /** The first revision that it may not have been told of. */
  next: number;
  /** Whether it was told of everything, and is told of what happens as it happens. */
  live = false;

  constructor(spec: WatchSpec, receiver: Receiver) {
    this.interval = spec.interval;
    this.from = spec.from;
    this.puts = spec.puts;
    this.deletions = spec.deletions;
    this.receiver = receiver;
    this.next = spec.from;
  }

  /** Passes on what happens, or falls behind if the receiver is not ready. */
  offer(changes: readonly Version[], revision: number): void {
    if (!this.live || revision < this.from) return;
    if (!this.receiver.isReady()) {
      this.live = false;
      this.next = revision;
      return;
    }
    this.#tell(changes);
  }

  /** Tells some of what was missed; `live` says whether that was all. */
  catchUp(store: MvccStore): void {
    const { changes, next } = this.#chain(store) ?? this.#scan(store);
    this.next = next;
    this.live = next > store.revision;
    this.#tell(changes);
  }

  #tell(changes: readonly Version[]): void {
    const wanted =
      this.puts && this.deletions
        ? changes
        : changes.filter((change) => (isDeletion(change) ? this.deletions : this.puts));
    if (wanted.length > 0) this.receiver.events(wanted);
  }

  /** The history of a single key hangs together; if it is not too long, nothing else needs to be looked at. */
  #chain(store: MvccStore): Batch | undefined {
    if (!isSingle(this.interval)) return undefined;
    const found: Version[] = [];
    let change = store.newest(this.interval.low);
    for (; change && change.mod >= this.next; change = change.previous) {
      if (found.length === MOST_CHANGES) return undefined;
      found.push(change);
    }
    return cut(found.toReversed(), store.revision + 1);
  }

  #scan({ log, revision }: MvccStore): Batch {
    const found: Version[] = [];
    const start = log.indexOf(this.next);
    let current = this.next;
    for (let index = start; index < log.length; index += 1) {
      const change = log.at(index) as Version;
      // A revision is told whole, however much it changed.
      if (index - start >= MOST_CHANGES && change.mod !== current) return cut(found, change.mod);
      current = change.mod;
      if (contains(this.interval, change.key)) found.push(change);
    }
    return cut(found, revision + 1);
  }
}

/** What is told at once, and the first revision after it. */
interface Batch {
  readonly changes: readonly Version[];
  readonly next: number;
}

/** The changes before the revision `next`, but not of too many revisions. */
function cut(changes: readonly Version[], next: number): Batch {
  let [revisions, current] = [0, 0];
  for (const [index, { mod }] of changes.entries()) {
    if (mod === current) continue;
    if (revisions === MOST_REVISIONS) return { changes: changes.slice(0, index), next: mod };
    revisions += 1;
    current = mod;
  }
  return { changes, next };
}

/** What a key was before a change: before its whole revision, and only if the key was not created in it. */
export function before(change: Version, { compacted }: MvccStore): Version | undefined {
  const revision = change.mod - 1;
  if (change.create === change.mod || revision < compacted) return undefined;
  return asOf(change.previous, revision);
}
