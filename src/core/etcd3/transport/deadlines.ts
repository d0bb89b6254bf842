import { performance } from 'node:perf_hooks';

/** What must be over at some time. */
interface Limited {
  /** When, as `performance.now` has it. */
  readonly deadline: number;
  /** Called when it is over that time. */
  expire(): void;
}

/**
 * Ends calls at their deadlines by one timer for all of them, as most are over long before. It keeps the process alive while
 * there are calls: a connection that breaks does not.
 */
export class Deadlines {
  readonly #calls = new Set<Limited>();
  #timer: NodeJS.Timeout | undefined;
  #next = Infinity;

  add(call: Limited): void {
    this.#calls.add(call);
    this.#wake(call.deadline);
    if (this.#calls.size === 1) this.#timer?.ref();
  }

  delete(call: Limited): void {
    this.#calls.delete(call);
    if (this.#calls.size === 0) this.#timer?.unref();
  }

  /** Looks at all calls then, if not before. */
  #wake(at: number): void {
    if (at >= this.#next) return;
    this.#next = at;
    clearTimeout(this.#timer);
    // A timer may run before what has arrived is read.
    const look = (): unknown => setImmediate(() => this.#look());
    this.#timer = setTimeout(look, Math.ceil(at - performance.now()));
    if (this.#calls.size === 0) this.#timer.unref();
  }

  #look(): void {
    this.#next = Infinity;
    const now = performance.now();
    for (const call of this.#calls) {
      if (call.deadline <= now) call.expire();
      else this.#wake(call.deadline);
    }
  }
}
