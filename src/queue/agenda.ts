import { ConflictError } from '../core/store/errors.js';
import { type Timed, TimerQueue } from '../core/time/timer-queue.js';

/** Something to be done with a key at a time. */
export interface Item extends Timed {
  readonly key: string;
  /** The revision of the key's last change, as far as it is known. */
  readonly modified: bigint;
  /** What the key has. */
  readonly bytes: number;
}

/** So many are done together, and so many bytes, about. */
const together = 100;
const bytesTogether = 1_000_000;

/** What is to be done when. About 300 bytes of memory each, whatever the keys have. */
export class Agenda {
  readonly #items = new Map<string, Item>();
  readonly #queue = new TimerQueue<Item>();

  /** When there is something to do. */
  get next(): number {
    return this.#queue.next?.at ?? Number.POSITIVE_INFINITY;
  }

  get size(): number {
    return this.#queue.size;
  }

  /** @throws ConflictError if that is no time */
  set(key: string, { at, modified, bytes }: Pick<Item, 'at' | 'modified' | 'bytes'>): void {
    this.delete(key);
    if (typeof at !== 'number' || Number.isNaN(at)) {
      throw new ConflictError(`${key} says no time: somebody else writes there`);
    }
    const item = { key, at, modified, bytes, turn: 0, place: 0 };
    this.#items.set(key, item);
    this.#queue.add(item);
  }

  delete(key: string): void {
    const item = this.#items.get(key);
    if (!item) return;
    this.#items.delete(key);
    this.#queue.remove(item);
  }

  /** Takes out what is due at a time, in its order; not more than is done together. */
  take(now: number, most: number = together): Item[] {
    const taken: Item[] = [];
    let bytes = 0;
    for (let { next } = this.#queue; next && next.at <= now; { next } = this.#queue) {
      bytes += next.bytes;
      if (taken.length >= most || (taken.length > 0 && bytes > bytesTogether)) break;
      this.delete(next.key);
      taken.push(next);
    }
    return taken;
  }
}
