import { keyId } from '../store/keys.js';
import type { WatchEvent } from '../store/store.js';

/** Where changes come from if not from etcd's history. */
export type ChangeOrigin = 'initial' | 'resync';

/** A change of one key, as the loop over a watch is given it. */
export interface WatchChange extends WatchEvent {
  /**
   * `initial`: the key was so when the watch began. `resync`: etcd had forgotten the changes themselves, and this is what
   * they came to; a deletion then has the revision at which the key was found missing. @defaultValue a change as it happened
   */
  readonly origin?: ChangeOrigin;
  /** How many changes of its key it stands for, with `coalesce`. @defaultValue 1 */
  readonly merged?: number;
}

/** Changes that lead from one state of the range to a later one: apply them together. */
export interface WatchBatch {
  /** The revision of the state they lead to. */
  readonly revision: bigint;
  /** In the order of their revisions; empty only where a look at the state found nothing, or nothing new. */
  readonly changes: readonly WatchChange[];
  /** As of each of its changes. */
  readonly origin?: ChangeOrigin;
}

/** Changes that wait for the loop. */
export class ChangeQueue {
  readonly #coalesce: boolean;
  /** By key what may be merged with a later change, and by itself what may not. */
  readonly #waiting = new Map<string | WatchBatch, WatchBatch>();
  /** One for many: a new one would go over all that was taken before. */
  #next: Iterator<[string | WatchBatch, WatchBatch]> | undefined;
  #size = 0;
  #pushed = 0n;

  constructor(coalesce: boolean) {
    this.#coalesce = coalesce;
  }

  /** How many changes wait. */
  get size(): number {
    return this.#size;
  }

  push(batch: WatchBatch): void {
    const { revision, changes, origin } = batch;
    this.#pushed = revision;
    if (this.#coalesce && origin !== 'initial') {
      for (const change of changes) this.#merge(change, revision);
    } else if (changes.length > 0 || origin) {
      this.#waiting.set(batch, batch);
      this.#size += changes.length;
    }
  }

  /** Takes what comes next; what may be merged `whole`, as one batch, or change by change. */
  shift(whole: boolean): WatchBatch | undefined {
    const first = this.#take();
    if (!first || !this.#coalesce || first.origin === 'initial') return first;
    const changes = [...first.changes];
    for (let more = whole && this.#take(); more; more = this.#take()) changes.push(...more.changes);
    // Others of the same revision may still wait.
    const revision = this.#size > 0 ? first.revision - 1n : this.#pushed;
    return { revision, changes };
  }

  clear(): void {
    this.#waiting.clear();
    this.#size = 0;
  }

  #merge(change: WatchChange, revision: bigint): void {
    const id = keyId(change.kv.key);
    const [earlier] = this.#waiting.get(id)?.changes ?? [];
    // What is changed again goes to the end, where its revision belongs.
    if (this.#waiting.delete(id)) this.#size -= 1;
    const changes = [earlier ? merged(earlier, change) : change];
    this.#waiting.set(id, { revision, changes });
    this.#size += 1;
  }

  #take(): WatchBatch | undefined {
    this.#next ??= this.#waiting.entries();
    const { value } = this.#next.next() as IteratorResult<
      [string | WatchBatch, WatchBatch],
      undefined
    >;
    if (!value) {
      this.#next = undefined;
      return undefined;
    }
    const [id, batch] = value;
    this.#waiting.delete(id);
    this.#size -= batch.changes.length;
    return batch;
  }
}

function merged(earlier: WatchChange, later: WatchChange): WatchChange {
  const { type, kv, origin } = later;
  const { previous } = earlier;
  const count = (earlier.merged ?? 1) + 1;
  // The pair before is that before all of them.
  return { type, kv, merged: count, ...(origin && { origin }), ...(previous && { previous }) };
}
