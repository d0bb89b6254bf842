/** Something that falls due at a time; `turn` and `place` are the queue's own. */
export interface Timed {
  readonly at: number;
  /** Tells apart what falls due together: first added, first served. */
  turn: number;
  /** Where it is in the heap. */
  place: number;
}

/** What falls due, in that order, as a binary heap: each step costs the logarithm of their number. */
export class TimerQueue<T extends Timed> {
  readonly #heap: T[] = [];
  #turns = 0;

  /** How many there are. */
  get size(): number {
    return this.#heap.length;
  }

  /** What falls due next. */
  get next(): T | undefined {
    return this.#heap[0];
  }

  /** Adds something that is in no queue. */
  add(entry: T): void {
    this.#turns += 1;
    entry.turn = this.#turns;
    entry.place = this.#heap.length;
    this.#heap.push(entry);
    this.#rise(entry);
  }

  /** Takes what falls due next out. */
  shift(): void {
    const [first] = this.#heap;
    if (first) this.remove(first);
  }

  /** Takes something out, if it is still there. */
  remove(entry: T): void {
    if (this.#heap[entry.place] !== entry) return;
    const last = this.#heap.pop();
    if (last === undefined || last === entry) return;
    this.#put(last, entry.place);
    this.#sink(last);
    this.#rise(last);
  }

  #rise(entry: T): void {
    while (entry.place > 0) {
      const parent = this.#heap[(entry.place - 1) >> 1];
      if (!parent || isBefore(parent, entry)) return;
      this.#swap(parent, entry);
    }
  }

  #sink(entry: T): void {
    for (;;) {
      const left = this.#heap[2 * entry.place + 1];
      const right = this.#heap[2 * entry.place + 2];
      const child = left && right && isBefore(right, left) ? right : left;
      if (!child || isBefore(entry, child)) return;
      this.#swap(entry, child);
    }
  }

  #swap(a: T, b: T): void {
    const { place } = a;
    this.#put(a, b.place);
    this.#put(b, place);
  }

  #put(entry: T, place: number): void {
    this.#heap[place] = entry;
    entry.place = place;
  }
}

function isBefore(a: Timed, b: Timed): boolean {
  return a.at < b.at || (a.at === b.at && a.turn < b.turn);
}
