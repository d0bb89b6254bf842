import type { Span } from '../store/key-span.js';

/** Ranges of keys. A single key is one whose `high` is its `low`. */
export class SpanSet {
  /** In order, and none has keys in common with another. */
  readonly #spans: Span[] = [];

  add(span: Span): void {
    const spans = this.#spans;
    const from = this.#firstMeeting(span);
    let after = from;
    let whole = span;
    for (let next = spans[after]; next && overlap(next, whole); next = spans[after]) {
      whole = hull(next, whole);
      after += 1;
    }
    if (after === from + 1) spans[from] = whole;
    else if (after > from) spans.splice(from, after - from, whole);
    else this.#insert(from, whole);
  }

  addAll(spans: readonly Span[]): void {
    for (const span of spans) this.add(span);
  }

  /** Whether it has keys in common with others; said of some ranges that are empty too. */
  meets(others: readonly Span[]): boolean {
    for (const span of others) {
      const found = this.#spans[this.#firstMeeting(span)];
      if (found && overlap(found, span)) return true;
    }
    return false;
  }

  /** As `splice` does, without a list of what it did not take out. */
  #insert(place: number, span: Span): void {
    const spans = this.#spans;
    for (let at = spans.push(span) - 1; at > place; at -= 1) {
      spans[at] = spans[at - 1] as Span;
      spans[at - 1] = span;
    }
  }

  /** Where the first is that has keys in common with a range, if any has; else where the range belongs. */
  #firstMeeting(span: Span): number {
    let from = 0;
    let to = this.#spans.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (isBefore(this.#spans[middle] as Span, span)) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

/** Whether one ends before the other begins. */
function isBefore(a: Span, b: Span): boolean {
  return a.low < b.low && a.high !== undefined && (a.high === a.low || a.high <= b.low);
}

function overlap(a: Span, b: Span): boolean {
  return !isBefore(a, b) && !isBefore(b, a);
}

function hull(a: Span, b: Span): Span {
  const low = a.low < b.low ? a.low : b.low;
  if (a.high === undefined || b.high === undefined) return { low, high: undefined };
  return { low, high: a.high > b.high ? a.high : b.high };
}
