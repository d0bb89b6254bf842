/** Something that falls due at a time. */
export interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

interface Entry extends Timer {
  /** Tells apart what falls due together: first set, first served. */
  readonly turn: number;
  /** Where it is in the heap. */
  place: number;
}

/** Timers in the order in which they fall due, as a binary heap: each step costs the logarithm of their number. */
export class TimerQueue {
  readonly #heap: Entry[] = [];
  #turns = 0;

  /** The timer that falls due next. */
  get next(): Timer | undefined {
    return this.#heap[0];
  }

  /** Adds a timer; the function returned takes it out, if it is still there. */
  add(at: number, callback: () => void): () => void {
    this.#turns += 1;
    const entry: Entry = { at, callback, turn: this.#turns, place: this.#heap.length };
    this.#heap.push(entry);
    this.#rise(entry);
    return () => this.#remove(entry);
  }

  /** Takes the timer out that falls due next. */
  shift(): void {
    const [first] = this.#heap;
    if (first) this.#remove(first);
  }

  #remove(entry: Entry): void {
    if (this.#heap[entry.place] !== entry) return;
    const last = this.#heap.pop();
    if (last === undefined || last === entry) return;
    this.#put(last, entry.place);
    this.#sink(last);
    this.#rise(last);
  }

  #rise(entry: Entry): void {
    while (entry.place > 0) {
      const parent = this.#heap[(entry.place - 1) >> 1];
      if (!parent || isBefore(parent, entry)) return;
      this.#swap(parent, entry);
    }
  }

  #sink(entry: Entry): void {
    for (;;) {
      const left = this.#heap[2 * entry.place + 1];
      const right = this.#heap[2 * entry.place + 2];
      const child = left && right && isBefore(right, left) ? right : left;
      if (!child || isBefore(entry, child)) return;
      this.#swap(entry, child);
    }
  }

  #swap(a: Entry, b: Entry): void {
    const { place } = a;
    this.#put(a, b.place);
    this.#put(b, place);
  }

  #put(entry: Entry, place: number): void {
    this.#heap[place] = entry;
    entry.place = place;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.turn < b.turn);
}
